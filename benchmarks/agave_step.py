"""AGAVE beside its bare networks: `python -m benchmarks.agave_step`."""

from benchmarks import agaves
from benchmarks.agaves import Case
from benchmarks.flowpp_step import BARE, OURS, compare
from benchmarks.subjects import TRAINING_STEP
from benchmarks.topic import Findings, main

CASE = Case(num_blocks=2, vae_blocks=4, batch_size=4)
GOAL = 1.15
ROUNDS = 5

NOTES = [
    "The CIFAR-10 model at its published widths, with 2 units a resolution and 4 blocks of the VAE where 5 and 20 are published; "
    "float32, dropout of a half, both halves together. A *training step* is the latents' noise, the objective, gradients and an "
    "update by Adamax. The *bare networks* are the same ladder, decoder, feature stream and PixelCNN++, weight norm and dropout "
    "included, on inputs of the same shapes with nothing of a model around: forward, backward to weights and inputs, the same "
    "update. They depend on nothing, so TensorFlow may run several of them side by side. Each subject runs in a process of its "
    "own.",
]


def measure():
    findings = Findings("AGAVE: step", NOTES)
    makers = {OURS: (agaves.tfflows_agave, (CASE,)), BARE: (agaves.bare_networks, (CASE,))}
    compare(findings, str(CASE), TRAINING_STEP, makers, ROUNDS, [(OURS, BARE, GOAL)])
    return findings


if __name__ == "__main__":
    main("agave_step", measure)
