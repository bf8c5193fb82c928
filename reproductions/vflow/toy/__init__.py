"""The two-dimensional study of VFlow (Chen et al. 2020, section 5.1), https://arxiv.org/abs/2002.09741."""
