"""MaCow (Ma et al. 2019)."""
