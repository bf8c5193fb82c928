"""Peak memory of AGAVE by mode of backpropagation: `python -m benchmarks.agave_memory`."""

from benchmarks.images import image_folder
from benchmarks.memory import add
from benchmarks.topic import Findings, main

MODES = ("plain", "recompute")
BATCH_SIZE = 16
STEPS = 2
MODEL = ["--experiment=cifar10", "--set=pretraining_steps=0", "--set=num_blocks=2", "--set=vae_blocks=4"]

NOTES = [
    f"Largest resident set of the true command, stopped after {STEPS} steps: the published widths with 2 units a resolution and "
    f"4 blocks of the VAE where 5 and 20 are published, batch {BATCH_SIZE}; TensorFlow itself takes some 600 MiB. *Recompute* "
    "keeps the inputs of units and blocks alone. Each process once.",
]


def measure():
    findings = Findings("AGAVE: memory", NOTES)
    with image_folder(32, num_images=2 * BATCH_SIZE) as dataset:
        flags = [f"--dataset={dataset}", *MODEL, f"--batch_size={BATCH_SIZE}", "--set=init_batch_size=4"]
        add(findings, f"R=2, 4 blocks, batch {BATCH_SIZE}", MODES, flags, STEPS, 300, paper="agave")
    return findings


if __name__ == "__main__":
    main("agave_memory", measure)
