"""Reproduction of VFlow (Chen et al. 2020), https://arxiv.org/abs/2002.09741."""
