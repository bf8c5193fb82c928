"""Peak memory of Flow++ by mode of backpropagation: `python -m benchmarks.flowpp_memory`."""

from benchmarks.images import image_folder
from benchmarks.memory import MODES, add
from benchmarks.topic import Findings, main

BATCH_SIZE = 16
STEPS = 2
MODEL = ["--experiment=cifar10", f"--batch_size={BATCH_SIZE}", "--set=init_batch_size=8", "--set=num_blocks=4"]

NOTES = [
    f"Largest resident set of the true command, stopped after {STEPS} steps: the CIFAR-10 model at published width, with four "
    f"blocks a conditioner, batch {BATCH_SIZE}; TensorFlow itself takes some 600 MiB. Each process once.",
]


def measure():
    findings = Findings("Flow++: memory", NOTES)
    with image_folder(32, num_images=2 * BATCH_SIZE) as dataset:
        add(
            findings,
            f"4 blocks, batch {BATCH_SIZE}",
            MODES,
            [f"--dataset={dataset}", *MODEL],
            STEPS,
            240,
            paper="flowpp",
        )
    return findings


if __name__ == "__main__":
    main("flowpp_memory", measure)
