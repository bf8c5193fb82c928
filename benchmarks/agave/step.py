"""AGAVE beside its bare networks."""

from benchmarks.agave import models
from benchmarks.agave.models import Case
from benchmarks.harness.comparisons import BARE, OURS, compare_tasks
from benchmarks.harness.tasks import TRAINING_STEP
from benchmarks.harness.topic import Findings, Topic

CASE = Case(num_blocks=2, vae_blocks=4, batch_size=4)
GOAL = 1.15
ROUNDS = 5

NOTES = (
    "The CIFAR-10 model at its published widths, with 2 units a resolution and 4 blocks of the VAE where 5 and 20 are published; "
    "float32, dropout of a half, both halves together. A *training step* is the latents' noise, the objective, gradients and an "
    "update by Adamax. The *bare networks* are the same ladder, decoder, feature stream and PixelCNN++, weight norm and dropout "
    "included, on inputs of the same shapes with nothing of a model around: forward, backward to weights and inputs, the same "
    "update. They depend on nothing, so TensorFlow may run several of them side by side. Each subject runs in a process of its "
    "own.",
)


def measure(findings: Findings) -> None:
    """Measures and adds the rows."""
    case = findings.choose(CASE, Case(num_blocks=1, vae_blocks=1, batch_size=2))
    makers = {OURS: (models.tfflows_agave, (case,)), BARE: (models.bare_networks, (case,))}
    compare_tasks(findings, str(case), TRAINING_STEP, makers, ROUNDS, [(OURS, BARE, GOAL)], [(OURS, BARE)])


TOPIC = Topic("agave_step", "AGAVE: step", NOTES, measure)
