"""Benchmarks of Flow++."""
