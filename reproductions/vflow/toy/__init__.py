"""The two-dimensional study of VFlow (Chen et al. 2020, section 5), https://arxiv.org/abs/2002.09741."""
