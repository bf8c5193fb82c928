"""Benchmarks of the foundation, measured on Glow."""
