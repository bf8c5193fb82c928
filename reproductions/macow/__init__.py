"""Reproduction of MaCow (Ma et al. 2019), https://arxiv.org/abs/1902.04208."""
