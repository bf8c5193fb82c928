"""Reproduction of RealNVP (Dinh et al. 2017), https://arxiv.org/abs/1605.08803."""
