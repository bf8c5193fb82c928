"""Reproduction of RealNVP (Dinh, Sohl-Dickstein & Bengio 2017), https://arxiv.org/abs/1605.08803."""
