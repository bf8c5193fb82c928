"""Benchmarks of RealNVP."""
