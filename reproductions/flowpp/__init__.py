"""Flow++ (Ho et al. 2019)."""
