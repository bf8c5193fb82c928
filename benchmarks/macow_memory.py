"""Peak memory of MaCow by mode of backpropagation: `python -m benchmarks.macow_memory`."""

from benchmarks.images import image_folder
from benchmarks.memory import MODES, add
from benchmarks.topic import Findings, main

BATCH_SIZE = 128
STEPS = 2
STEPS_OF_LEVELS = "1, 2+2, 2+2, 2"
MODEL = ["--experiment=cifar10_fine_grained", f"--set=steps={STEPS_OF_LEVELS}"]

NOTES = [
    f"Largest resident set of the true command, stopped after {STEPS} steps: the paper's CIFAR-10 model at published widths, but "
    f"with {STEPS_OF_LEVELS} steps in its levels, batch {BATCH_SIZE}; TensorFlow itself takes some 600 MiB. *Reversible* "
    "rebuilds inputs by the sequential inverse of each masked convolution. Each process once.",
]


def measure():
    findings = Findings("MaCow: memory", NOTES)
    with image_folder(32, num_images=2 * BATCH_SIZE) as dataset:
        flags = [f"--dataset={dataset}", *MODEL, f"--batch_size={BATCH_SIZE}", "--set=init_batch_size=8"]
        add(findings, f"steps {STEPS_OF_LEVELS}, batch {BATCH_SIZE}", MODES, flags, STEPS, 240, paper="macow")
    return findings


if __name__ == "__main__":
    main("macow_memory", measure)
