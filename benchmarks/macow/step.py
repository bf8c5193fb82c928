"""MaCow beside its bare networks."""

from benchmarks.harness.comparisons import BARE, IN_TURN, OURS, compare_tasks
from benchmarks.harness.tasks import TRAINING_STEP
from benchmarks.harness.topic import Findings, Topic
from benchmarks.macow import models
from benchmarks.macow.models import Case

# CIFAR-10 as published, but with fewer steps.
SIZES = {"steps": "1, 2+2, 2+2, 2", "widths": "24, 512, 512, 512", "factors": "4, 4"}
CASES = tuple(Case(variant, 32, 4, **SIZES) for variant in ("paper", "release"))
SMALLEST = tuple(Case(variant, 8, 2) for variant in ("paper", "release"))
GOAL = 1.3
ROUNDS = 5
PAIRS, HEADLINES = [(OURS, BARE, GOAL), (OURS, IN_TURN, GOAL)], [(OURS, BARE)]

NOTES = (
    "The CIFAR-10 model at its published widths (24 at full size, then 512), with 1, 2+2, 2+2 and 2 steps in its four levels "
    "where 4, 12+12, 12+12 and 12 are published; float32, uniform noise. A *training step* is noise, bound, gradients and an "
    "update by Adam. The *bare networks* are the same networks of masked convolutions, couplings and priors, weight norm "
    "included, on inputs of the same shapes with nothing of a flow around: forward, backward to weights and inputs, the same "
    "update. They depend on nothing, so TensorFlow runs several of them side by side, which no flow can do; *in turn*, each "
    "waits for the one before, in both directions. Each subject runs in a process of its own.",
)


def measure(findings: Findings) -> None:
    """Measures and adds the rows."""
    for case in findings.choose(CASES, SMALLEST):
        makers = {
            OURS: (models.tfflows_macow, (case,)),
            BARE: (models.bare_networks, (case,)),
            IN_TURN: (models.bare_networks, (case, True)),
        }
        compare_tasks(findings, str(case), TRAINING_STEP, makers, ROUNDS, PAIRS, HEADLINES)


TOPIC = Topic("macow_step", "MaCow: step", NOTES, measure)
