"""Start-up of MaCow at published size: `python -m benchmarks.macow_start_up`."""

from benchmarks.start_up import start_up_rows, started_once
from benchmarks.topic import Findings, main

# That of table 1 on CIFAR-10, and the deepest; side and seconds that it may take.
EXPERIMENTS = {"cifar10_fine_grained": (32, 60), "celeba_hq_uniform": (256, 150)}

NOTES = [
    "As *Start-up*: each experiment as published, in the paper's variant, by the true command on noise images, batch and init "
    "batch of one image. One run each.",
]


def measure():
    findings = Findings("MaCow: start-up", NOTES)
    for experiment, (size, goal) in EXPERIMENTS.items():
        findings.measurements += start_up_rows(experiment, started_once("macow", experiment, size), goal)
    return findings


if __name__ == "__main__":
    main("macow_start_up", measure)
