"""Start-up of Flow++ at published size: `python -m benchmarks.flowpp_start_up`."""

from benchmarks.start_up import start_up_rows, started_once
from benchmarks.topic import Findings, main

# That of table 2; the one of most parameters, on small images; the one of table 1 on large ones.
EXPERIMENTS = {"cifar10": 32, "imagenet32": 32, "imagenet64": 64}
GOAL = 60
# Actnorm takes the moments of each activation from the init batch: of one image there are none.
INIT_IMAGES = 8

NOTES = [
    "As *Start-up*: each experiment as published, by the true command on noise images, batch of one image, init batch of "
    f"{INIT_IMAGES}. What is subtracted for the init batch is a forward pass of the flow, without that of the dequantizer. One "
    "run each.",
]


def measure():
    findings = Findings("Flow++: start-up", NOTES)
    for experiment, size in EXPERIMENTS.items():
        run = started_once("flowpp", experiment, size, INIT_IMAGES)
        findings.measurements += start_up_rows(experiment, run, GOAL)
    return findings


if __name__ == "__main__":
    main("flowpp_start_up", measure)
