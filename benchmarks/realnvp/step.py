"""RealNVP's training step beside its bare networks."""

from benchmarks.harness.comparisons import BARE, IN_TURN, OURS, compare_tasks
from benchmarks.harness.tasks import TRAINING_STEP
from benchmarks.harness.topic import Findings, Topic
from benchmarks.realnvp import models
from benchmarks.realnvp.models import Case

GOAL = 1.4
# Case and rounds: the networks of a small run, and the published ones with one of eight blocks.
CASES = ((Case(width=16, num_blocks=2), 9), (Case(width=64, num_blocks=1), 7))
SMALLEST = Case(width=2, num_blocks=1, size=8, batch_size=2)

NOTES = (
    "A *training step* is noise, the bound with statistics of the batch, gradients, the L2 penalty, the clip and an update by "
    "Adam, float32. The *bare networks* are the residual networks of the couplings (weight norm, batch norm) on inputs of the "
    "same shapes, with no flow around them: forward, backward to weights and inputs, the same update; *in turn*, each waits for "
    "the one before. Each subject runs in a process of its own.",
)


def measure(findings: Findings) -> None:
    """Measures and adds the rows."""
    for case, rounds in findings.choose(CASES, ((SMALLEST, 1),)):
        makers = {
            OURS: (models.tfflows_realnvp, (case,)),
            BARE: (models.bare_networks, (case,)),
            IN_TURN: (models.bare_networks, (case, True)),
        }
        pairs = [(OURS, BARE, GOAL), (OURS, IN_TURN, None)]
        compare_tasks(findings, str(case), TRAINING_STEP, makers, rounds, pairs)


TOPIC = Topic("realnvp_step", "RealNVP: step", NOTES, measure)
