"""What the benchmarks of all papers share: processes, timing, memory, start-up, topics."""
