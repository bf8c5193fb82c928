"""A unit of masked convolutions beside a coupling layer."""

from benchmarks.harness.machine import Patience
from benchmarks.harness.tasks import SAMPLE, TRAINING_STEP
from benchmarks.harness.timing import milliseconds, ratio, summary
from benchmarks.harness.topic import Findings, Topic
from benchmarks.harness.workers import workers
from benchmarks.macow import models
from reproductions.reporting.benchmarks import Measurement, Ratio

# Side and channels of two levels of the CIFAR-10 model, and the hidden channels of its couplings there.
SHAPES = ((16, 12), (4, 48))
WIDTH = 512
BATCH_SIZE = 64
ROUNDS, CALLS = 5, 3

PAPER, RELEASE, COUPLING = "unit, paper", "unit, release", f"coupling, width {WIDTH}"
PARAMETERS, MEMORY = "parameters", "memory of a training step"

NOTES = (
    "Each alone, as a flow on images of so many channels, float32. A *unit* of the paper is an actnorm and two masked "
    "convolutions, and four of them stand in a step before its coupling; a released unit is two actnorms and four convolutions, "
    "and two stand in a step. The *coupling* is Glow's affine one as it ends a step of MaCow: 3x3, 1x1 and 3x3 convolutions, "
    f"{WIDTH} hidden channels; it transforms half of the channels, a masked convolution all. A *training step* is noise, bound, "
    "gradients and an update by Adam. *Memory of a training step*: by how much the largest resident set grows by the first "
    "ones, tracing included. *Parameters* under the masks of the paper's kernels, which stay 0, are counted.",
)


def measure(findings: Findings) -> None:
    """Measures and adds the rows."""
    for size, channels in findings.choose(SHAPES, SHAPES[-1:]):
        _add(findings, size, channels)


def _add(findings, size, channels):
    """Adds parameters, memory and times of the three on images of one shape, and the ratios to the coupling."""
    shape = (size, channels, BATCH_SIZE)
    makers = {
        PAPER: (models.unit, ("paper", *shape)),
        RELEASE: (models.unit, ("release", *shape)),
        COUPLING: (models.coupling_layer, (WIDTH, *shape)),
    }
    case = f"{size}x{size}x{channels}, batch {BATCH_SIZE}"
    with workers(makers) as (started, facts, _):
        patience = Patience([worker.process for worker in started.values()])
        built = {name: worker.peak_memory_mib() for name, worker in started.items()}
        values = {PARAMETERS: {name: facts[name]["parameters"] for name in started}}
        for quantity in (TRAINING_STEP, SAMPLE):
            tasks = {name: worker.call(quantity) for name, worker in started.items()}
            samples = findings.in_turn(tasks, ROUNDS, CALLS, patience.watch)
            if quantity == TRAINING_STEP:
                values[MEMORY] = {name: worker.peak_memory_mib() - built[name] for name, worker in started.items()}
            findings.measurements += [
                milliseconds(case, quantity, name, samples[name], parameters=facts[name]["parameters"])
                for name in started
            ]
            turns = {name: times.turns for name, times in samples.items()}
            findings.ratios += [ratio(case, quantity, name, COUPLING, turns) for name in (PAPER, RELEASE)]
    findings.measurements += [
        Measurement(case, MEMORY, name, "MiB", **summary([value])) for name, value in values[MEMORY].items()
    ]
    for quantity, known in values.items():
        for name in (PAPER, RELEASE):
            part = summary([known[name] / known[COUPLING]])
            findings.ratios.append(Ratio(case, quantity, name, COUPLING, **part))


TOPIC = Topic("macow_unit", "MaCow: a unit beside a coupling", NOTES, measure)
