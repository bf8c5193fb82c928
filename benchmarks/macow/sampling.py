"""Sampling of MaCow beside log_prob, against the side of the image."""

from benchmarks.harness.machine import Patience
from benchmarks.harness.tasks import LOG_PROB, SAMPLE
from benchmarks.harness.timing import ratio, summary
from benchmarks.harness.topic import Findings, Topic
from benchmarks.harness.workers import workers
from benchmarks.macow import models
from benchmarks.macow.models import Case
from reproductions.reporting.benchmarks import Measurement

VARIANTS = ("paper", "release")
# Batch sizes, and the sides of the images for each.
BATCHES = {8: (8, 16, 32, 64, 128), 64: (8, 16, 32)}
ROUNDS, CALLS = 5, 2
GOAL = 2.0  # times log_prob
# Milliseconds per sequential call of the released code, for a batch of 8 images; a larger batch takes no less.
RELEASED_CALL = 0.25

NOTES = (
    "From noise to images through the whole flow, and log_prob of as many, float32, after a data-dependent init, the last gains "
    "of all networks not zero. Three levels of 1, 2+2 and 2 steps, hidden widths 24, 64, 64, fine-grained, affine: 707,833 "
    "parameters with the paper's 3x3 masks, 553,444 with the released 2x3 shifted kernels. The first call compiles, once for "
    "each shape. Each case runs in a process of its own.",
    "*An image* is the time of a batch, divided. Its goals are derived, for the released code was not run here: its sampler in "
    "PyTorch, measured earlier in this architecture at sides 8 to 32, release, batch 8, one thread of a machine of two cores, "
    f"took {RELEASED_CALL} ms for each network that has to wait for the one before, 28 side of them for a batch. For the paper's "
    f"variant, of which it has 84 side - 112, the goal counts the same {RELEASED_CALL} ms; its own sampler took 0.38 to 0.74 ms. "
    "For batches of 64, which were not measured, the goal counts as many ms a call, as if they took no more time than 8 images.",
)


def measure(findings: Findings) -> None:
    """Measures and adds the rows."""
    for variant in VARIANTS:
        for batch_size, sizes in findings.choose(BATCHES, {8: (8,)}).items():
            for size in sizes:
                _add(findings, Case(variant, size, batch_size))


def _add(findings, case):
    """Adds the two directions of a case, their ratio, and the time per image."""
    with workers({str(case): (models.sampler, (case,))}) as (started, facts, _):
        (worker,), (known,) = started.values(), facts.values()
        patience = Patience([worker.process], seconds=20.0)
        samples = findings.in_turn(
            {name: worker.call(name) for name in (SAMPLE, LOG_PROB)}, ROUNDS, CALLS, patience.watch
        )
        memory = worker.peak_memory_mib()
    turns = {name: times.turns for name, times in samples.items()}
    for name, times in samples.items():
        extra = {"parameters": known["parameters"], "peak_memory_mib": memory} if name == SAMPLE else {}
        findings.measurements.append(
            Measurement(str(case), "a batch", name, "s", **summary(times.turns), first_call=times.first_call, **extra)
        )
    part = summary([1000 * seconds / case.batch_size for seconds in turns[SAMPLE]])
    goal = RELEASED_CALL * case.sequential_calls / case.batch_size
    findings.measurements.append(Measurement(str(case), "an image", SAMPLE, "ms", **part, goal=goal))
    findings.ratios.append(ratio(str(case), "a batch", SAMPLE, LOG_PROB, turns, goal=GOAL))


TOPIC = Topic("macow_sampling", "MaCow: sampling", NOTES, measure)
