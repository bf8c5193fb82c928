"""The inverse of an IAF by passes over the whole latent, to the last digit and to a tolerance."""

from benchmarks.agave import models
from benchmarks.harness.machine import Patience
from benchmarks.harness.timing import ratio, summary
from benchmarks.harness.topic import Findings, Topic
from benchmarks.harness.workers import workers
from reproductions.reporting.benchmarks import Measurement
from tfflows.choices import EXACT, JACOBI

CHANNELS = 32
SIDES, GAINS, BATCH_SIZE = (4, 8, 16), (1.0, 4.0), 16
ROUNDS = 3

NOTES = (
    "Sampling an IAF-VAE inverts nothing: latents are drawn from the prior, and the flow of the posterior runs in its fast "
    "direction. The inverse serves decompression, which takes such passes in integers, the density of given latents under the "
    "posterior, and samples of a flow of this kind on data.",
    f"One flow of the published IAF-VAE (width 160, {CHANNELS} channels of latents; 16x16 as published), on normal numbers and a "
    f"normal context, batch {BATCH_SIZE}. Its weights are random after data-dependent init (*gain 1*), or with four times the "
    "shifts and log-scales of these (*gain 4*), whose standard deviation is a row. No trained IAF-VAE is in results/models.",
    "*Exact* is `InverseAutoregressive.forward`: passes until nothing changes at all, the same as number after number. *Jacobi* "
    "is the same within `tfflows.tracing.sampler_scope('jacobi')`: until nothing changes by more than 1e-5 max(1, |y|); a pass "
    "is a call of the network. Number after number would take as many calls as there are *numbers*. *Error* is the largest "
    "difference from exact over max(1, |y|).",
)


def measure(findings: Findings) -> None:
    """Measures and adds the rows."""
    for side in findings.choose(SIDES, (2,)):
        for gain in GAINS:
            _measure_one(findings, side, gain, findings.choose(BATCH_SIZE, 2))


def _measure_one(findings, side, gain, batch_size):
    case = f"{side}x{side}x{CHANNELS}, gain {gain:g}, batch {batch_size}"
    with workers({case: (models.iaf_solver, (side, gain, batch_size))}) as (started, facts, _):
        (worker,), (known,) = started.values(), facts.values()
        patience = Patience([worker.process], seconds=20.0)
        calls = {name: worker.call(name) for name in (EXACT, JACOBI)}
        samples = findings.in_turn(calls, ROUNDS, 1, patience.watch)
    turns = {name: times.turns for name, times in samples.items()}
    findings.measurements += [
        Measurement(case, "a batch", name, "s", **summary(times)) for name, times in turns.items()
    ]
    counts = known["passes"] | {"numbers": float(side * side * CHANNELS)}
    findings.measurements += [
        Measurement(case, "calls of the network", name, "", **summary([count])) for name, count in counts.items()
    ]
    findings.measurements.append(Measurement(case, "error", JACOBI, "", **summary([known["error"]])))
    findings.measurements.append(
        Measurement(case, "standard deviation", "shifts and log-scales", "", **summary([known["scatter"]]))
    )
    findings.ratios.append(ratio(case, "a batch", JACOBI, EXACT, turns))


TOPIC = Topic("iaf_sampler", "IAF: the inverse", NOTES, measure)
