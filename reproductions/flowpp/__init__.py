"""Reproduction of Flow++ (Ho et al. 2019), https://arxiv.org/abs/1902.00275."""
