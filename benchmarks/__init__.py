"""Benchmarks: times and memory of tfflows beside other libraries, recorded in `results/benchmarks`."""
