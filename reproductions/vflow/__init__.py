"""VFlow (Chen et al. 2020)."""
