"""The two-dimensional study of VFlow (Chen et al. 2020, section 5.1)."""
