"""Start-up of AGAVE and its halves at published size: `python -m benchmarks.agave_start_up`."""

from benchmarks.command import run_command
from benchmarks.images import image_folder
from benchmarks.start_up import LIMIT, start_up_rows
from benchmarks.topic import Findings, main

EXPERIMENTS = ("cifar10", "cifar10_pixelcnn", "cifar10_iaf_vae")
GOAL = 60

NOTES = [
    "As *Start-up*: each experiment as published, by the true command on noise images, batch and init batch of one image; "
    "*cifar10* is the joint training of both halves, without pretraining before it. One run each.",
]


def measure():
    findings = Findings("AGAVE: start-up", NOTES)
    with image_folder(32, num_images=2) as dataset:
        for experiment in EXPERIMENTS:
            flags = [f"--dataset={dataset}", f"--experiment={experiment}", "--set=image_size=32", "--batch_size=1"]
            flags += ["--set=init_batch_size=1", "--set=pretraining_steps=0"]
            run = run_command(flags, num_steps=2, paper="agave", limit=LIMIT, forward_pass=True)
            findings.measurements += start_up_rows(experiment, run, GOAL)
    return findings


if __name__ == "__main__":
    main("agave_start_up", measure)
