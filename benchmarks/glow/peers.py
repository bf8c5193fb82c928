"""Glow beside other libraries and beside its bare networks."""

from collections.abc import Collection, Mapping

from benchmarks.glow import models
from benchmarks.glow.flax_glow import flax_glow
from benchmarks.glow.models import SMALLEST, Case
from benchmarks.harness.comparisons import BARE, OURS, parts_notes
from benchmarks.harness.environment import ROOT
from benchmarks.harness.machine import Patience
from benchmarks.harness.tasks import LOG_PROB, SAMPLE, TRAINING_STEP
from benchmarks.harness.timing import Samples, milliseconds, ratio
from benchmarks.harness.topic import Findings, Topic
from benchmarks.harness.workers import workers
from reproductions.reporting.benchmarks import Ratio

BARE_XLA = "bare networks, XLA"
NORMFLOWS, FLAX = "normflows", "flax, XLA"
COMPILED = f"{NORMFLOWS}, torch.compile"
# JAX's libraries do not share an environment with ours.
PYTHONS = {FLAX: ROOT / ".venv-flax" / "bin" / "python"}

SUBJECTS = {
    OURS: (models.tfflows_glow, ()),
    NORMFLOWS: (models.normflows_glow, ()),
    COMPILED: (models.normflows_glow, (True,)),
    "TFP": (models.tfp_glow, ()),
    FLAX: (flax_glow, ()),
    BARE: (models.bare_networks, ()),
    BARE_XLA: (models.bare_networks, (True,)),
}

# Goals for the ratio of our times to a peer's, where they are not 1.
PEER_GOALS = {NORMFLOWS: 0.8}

# Case, goal for the ratio of its training step to the bare networks', rounds, calls per turn, and the peers whose ratios of the
# training step stand at the top of the page.
CASES = (
    (Case(depth=4, levels=3, width=64, image_size=32, batch_size=16), 1.3, 11, 5, (NORMFLOWS, BARE, BARE_XLA)),
    (
        Case(depth=2, levels=3, width=512, image_size=32, batch_size=16),
        1.1,
        7,
        2,
        (NORMFLOWS, COMPILED, FLAX, BARE, BARE_XLA),
    ),
)

NOTES = (
    "One call on the same batch, float32: a *training step* is dequantization noise, log-likelihood, gradients and an update by "
    "Adamax; *log_prob* and *sample* are of as many images. Each subject runs in a process of its own and they are asked in "
    "turn; ratios are taken within each round. *tfflows* runs as commands do by default, with `--side_by_side=auto`: parts of "
    "the batch are computed side by side, each operation on one thread. All others use threads as their library does: two.",
    "The *bare networks* are the layers of our couplings and of the priors between levels (border channel, actnorm, gains) on "
    "inputs of the same shapes, with no flow around them: forward, backward to weights and inputs, the same update. What is "
    "faster of plain and XLA is the limit. Their log_prob is the forward pass alone.",
    "The architectures differ in what the libraries fix: normflows (`MultiscaleFlow` of `GlowBlock`s, `use_lu=False`) has plain "
    "zero padding, no actnorm in the networks and Gaussians with parameters a pixel instead of priors given the kept half; "
    "`tfb.Glow` (its default networks at our width, `num_glow_blocks` = L) has LU 1x1 convolutions and a plain N(0, I) at the "
    "top. Updates: our Adamax, `torch.optim.Adamax`, `tf_keras.optimizers.legacy.Adamax` (one kernel a variable), "
    "`optax.adamax`. *flax, XLA* is a Glow that `benchmarks/glow/flax_glow.py` writes in flax, zero padding, each task one "
    "program of XLA; under *torch.compile* the first call compiles. Our "
    "parameters are counted without the weights of the top prior that see only zeros.",
)


def measure(findings: Findings) -> None:
    """Measures and adds the rows."""
    for case, goal, rounds, calls, headlines in findings.choose(CASES, ((SMALLEST, 1.3, 1, 1, ()),)):
        makers = {name: (make, (case, *arguments)) for name, (make, arguments) in SUBJECTS.items()}
        with workers(makers, PYTHONS) as (started, facts, messages):
            patience = Patience([worker.process for worker in started.values()])
            findings.notes += [message for message in messages if message not in findings.notes]
            findings.notes += parts_notes(str(case), facts)
            for quantity in (TRAINING_STEP, LOG_PROB, SAMPLE):
                able = [name for name in started if quantity in facts[name]["tasks"]]
                samples = findings.in_turn(
                    {name: started[name].call(quantity) for name in able}, rounds, calls, patience.watch
                )
                memory = {name: started[name].peak_memory_mib() for name in able}
                findings.measurements += [
                    milliseconds(
                        str(case),
                        quantity,
                        name,
                        samples[name],
                        parameters=facts[name]["parameters"] if quantity == TRAINING_STEP else None,
                        peak_memory_mib=memory[name] if quantity == TRAINING_STEP else None,
                    )
                    for name in able
                ]
                first = headlines if quantity == TRAINING_STEP else ()
                findings.ratios += ratios_of_ours(str(case), quantity, samples, goal, first)


def ratios_of_ours(
    case: str, quantity: str, samples: Mapping[str, Samples], goal: float, headlines: Collection[str] = ()
) -> list[Ratio]:
    """Ratios of our times to each peer's, which should stay below 1 or less, and to the faster of the two bare networks.

    Args:
      case: Case of the rows.
      quantity: Quantity of the rows.
      samples: `{subject: its times}`.
      goal: Goal for the ratio to the bare networks, for the training step alone.
      headlines: Those whose ratios stand at the top of the page.
    """
    turns = {name: times.turns for name, times in samples.items()}
    bare = [name for name in (BARE, BARE_XLA) if name in samples]
    limit = min(bare, key=lambda name: sorted(turns[name])[len(turns[name]) // 2], default=None)
    goals = {peer: PEER_GOALS.get(peer, 1.0) for peer in samples if peer not in (OURS, BARE, BARE_XLA)}
    if limit is not None:
        goals[limit] = goal if quantity == TRAINING_STEP else None
    return [
        ratio(case, quantity, OURS, other, turns, goal=goal, headline=other in headlines)
        for other, goal in goals.items()
    ]


TOPIC = Topic("peers", "Beside other libraries", NOTES, measure)
