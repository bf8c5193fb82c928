"""Benchmarks of AGAVE."""
