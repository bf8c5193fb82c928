"""The inverse of a trained MaCow by a loop over pixels, and by passes over whole images."""

from benchmarks.harness.machine import Patience
from benchmarks.harness.timing import ratio, summary
from benchmarks.harness.topic import Findings, Topic
from benchmarks.harness.workers import workers
from benchmarks.macow import models
from reproductions.reporting.benchmarks import Measurement
from tfflows.choices import EXACT, JACOBI

MODEL, TEMPERATURE = "macow_cifar10", 0.7
BATCH_SIZES = (8, 64)
ROUNDS, CALLS = 5, 2

NOTES = (
    f"The trained model `{MODEL}` of results/models, temperature {TEMPERATURE}. *Exact* is the loop over the lines of its "
    "shifted convolutions, compiled by XLA; *jacobi* is `--sampler=jacobi`: passes over whole images, not compiled, until no "
    "value y changes by more than 1e-5 max(1, |y|). The first call compiles.",
    "*Rounds* is the number of passes that one masked convolution takes, the median and the quartiles over those of a size; the "
    "loop takes as many steps as the side is long. *Error* is the largest difference of a value from the exact one, over "
    "max(1, |y|).",
)


def measure(findings: Findings) -> None:
    """Measures and adds the rows."""
    for batch_size in findings.choose(BATCH_SIZES, (2,)):
        case = f"{MODEL}, batch {batch_size}"
        with workers({case: (models.samplers, (MODEL, TEMPERATURE, batch_size))}) as (started, facts, _):
            (worker,), (known,) = started.values(), facts.values()
            patience = Patience([worker.process], seconds=20.0)
            calls = {name: worker.call(name) for name in (EXACT, JACOBI)}
            samples = findings.in_turn(calls, ROUNDS, CALLS, patience.watch)
        turns = {name: times.turns for name, times in samples.items()}
        findings.measurements += [
            Measurement(case, "a batch", name, "s", **summary(times.turns), first_call=times.first_call)
            for name, times in samples.items()
        ]
        findings.ratios.append(ratio(case, "a batch", JACOBI, EXACT, turns))
        for side, found in known["solved"].items():
            sized = f"{case}, {side}x{side}"
            for quantity, values in found.items():
                findings.measurements.append(Measurement(sized, quantity, JACOBI, "", **summary(values)))


TOPIC = Topic("macow_sampler", "MaCow: samplers", NOTES, measure)
