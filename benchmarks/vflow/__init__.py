"""Benchmarks of VFlow."""
