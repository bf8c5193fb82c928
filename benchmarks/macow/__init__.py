"""Benchmarks of MaCow."""
