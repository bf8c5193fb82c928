"""Training: strategies, checkpoints, logs, the step and the loop."""
