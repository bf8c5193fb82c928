"""One masked convolution in both directions, and in raster order."""

from benchmarks.harness.machine import Patience
from benchmarks.harness.timing import milliseconds, ratio, summary
from benchmarks.harness.topic import Findings, Topic
from benchmarks.harness.workers import workers
from benchmarks.macow import models
from benchmarks.macow.models import DECODE, ENCODE, RASTER
from reproductions.reporting.benchmarks import Measurement

CHANNELS, BATCH_SIZE = 12, 8
KINDS = ("masked", "shifted")
SIZES, RASTER_SIZES = (8, 16, 32, 64), (8, 16, 32)
# Goal for the time of latent to data over that of data to latent; on smaller images Python's overhead outweighs both.
GOAL, GOAL_FROM = 1.5, 16
ROUNDS, CALLS = 15, 10
EXTRAPOLATED = "in raster order, extrapolated"

NOTES = (
    f"One affine masked convolution alone on {BATCH_SIZE} images of {CHANNELS} channels, float32, after a data-dependent init, "
    "its last gains not zero; values and log-determinants. *Masked* is the paper's 3x3 kernel, *shifted* the released 2x3 "
    "kernel over the lines before the pixel's own; a letter is the order. *Data to latent* is one pass of its network. *Latent "
    "to data*: a loop over 3 side - 2 diagonals (masked) or over the lines (shifted), compiled by XLA; from 8,192 pixels a batch "
    "on one loop for each half of it, side by side.",
    "*In raster order*: the plain inverse, a loop over all pixels, each given the patch that its kernel sees; compiled too. "
    "It is timed in turns with *latent to data* of its own, so that it stands between none of those of the two directions. "
    f"*Extrapolated* is the time at side {RASTER_SIZES[-1]} in proportion to the pixels.",
)


def measure(findings: Findings) -> None:
    """Measures and adds the rows."""
    for kind in KINDS:
        sizes, raster_sizes = findings.choose((SIZES, RASTER_SIZES), ((4, 6), (4,)))
        arguments = (kind, sizes, raster_sizes, CHANNELS, BATCH_SIZE)
        with workers({kind: (models.masked_convs, arguments)}) as (started, facts, _):
            (worker,) = started.values()
            patience = Patience([worker.process])
            tasks = facts[kind]["tasks"]
            raster = {}
            for order, size in dict.fromkeys(task[:2] for task in tasks):
                names = [name for *form, name in tasks if form == [order, size]]
                calls = {name: worker.call((order, size, name)) for name in names}
                _add(findings, kind, order, size, calls, patience, raster)


def _add(findings, kind, order, size, tasks, patience, raster):
    """Adds the directions of one masked convolution, and their ratios; `raster` collects `{order: (last size, its turns)}`."""
    case = f"{kind} {order}, {size}x{size}x{CHANNELS}, batch {BATCH_SIZE}"
    samples = findings.in_turn({name: tasks[name] for name in (ENCODE, DECODE)}, ROUNDS, CALLS, patience.watch)
    findings.measurements += [milliseconds(case, "a pass", name, times) for name, times in samples.items()]
    turns = {name: times.turns for name, times in samples.items()}
    goal = GOAL if size >= GOAL_FROM else None
    findings.ratios.append(ratio(case, "a pass", DECODE, ENCODE, turns, goal=goal))
    if RASTER in tasks:
        beside = findings.in_turn({name: tasks[name] for name in (DECODE, RASTER)}, ROUNDS, CALLS, patience.watch)
        findings.measurements.append(milliseconds(case, "a pass", RASTER, beside[RASTER]))
        raster[order] = size, beside[RASTER].turns
        findings.ratios.append(
            ratio(case, "a pass", DECODE, RASTER, {name: times.turns for name, times in beside.items()})
        )
    elif order in raster:
        last_size, last_turns = raster[order]
        turns[EXTRAPOLATED] = [seconds * (size / last_size) ** 2 for seconds in last_turns]
        part = summary([1000 * seconds for seconds in turns[EXTRAPOLATED]])
        findings.measurements.append(Measurement(case, "a pass", EXTRAPOLATED, "ms", **part))
        findings.ratios.append(ratio(case, "a pass", DECODE, EXTRAPOLATED, turns))


TOPIC = Topic("macow_inverse", "MaCow: inverse of a masked convolution", NOTES, measure)
