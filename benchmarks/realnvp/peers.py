"""A chain of affine couplings beside `tfb.RealNVP` and normflows' `MaskedAffineFlow`, on the same networks."""

from benchmarks.harness.comparisons import OURS
from benchmarks.harness.machine import Patience
from benchmarks.harness.tasks import TRAINING_STEP
from benchmarks.harness.timing import milliseconds, ratio
from benchmarks.harness.topic import Findings, Topic
from benchmarks.harness.workers import workers
from benchmarks.realnvp import models
from benchmarks.realnvp.models import CouplingsCase

SUBJECTS = {
    OURS: models.tfflows_couplings,
    "TFP": models.tfp_couplings,
    "normflows": models.normflows_couplings,
}
SMALLEST = CouplingsCase(num_couplings=2, width=2, num_blocks=1, size=4, channels=4, batch_size=2)
ROUNDS = 9

NOTES = (
    "A *training step* is log-likelihood with statistics of the batch, gradients and an update by Adam, float32, of couplings "
    "that take the halves of the channels in turn, each with a residual network (weight norm, batch norm). `tfb.RealNVP` takes "
    "flat vectors, and has the same networks as ours, each run once for the value and once for the log-determinant. normflows' "
    "`MaskedAffineFlow` has the same layers in torch; its networks for shift and scale are one here, which runs once. Neither "
    "has the checkerboard, the batch norm after a coupling, nor the scales of RealNVP. Each subject has its own process.",
)


def measure(findings: Findings) -> None:
    """Measures and adds the rows."""
    case = findings.choose(CouplingsCase(), SMALLEST)
    with workers({name: (make, (case,)) for name, make in SUBJECTS.items()}) as (started, facts, messages):
        patience = Patience([worker.process for worker in started.values()])
        findings.notes += [message for message in messages if message not in findings.notes]
        calls = {name: worker.call(TRAINING_STEP) for name, worker in started.items()}
        samples = findings.in_turn(calls, ROUNDS, 3, patience.watch)
        findings.measurements += [
            milliseconds(
                str(case),
                TRAINING_STEP,
                name,
                samples[name],
                parameters=facts[name]["parameters"],
                peak_memory_mib=worker.peak_memory_mib(),
            )
            for name, worker in started.items()
        ]
    turns = {name: times.turns for name, times in samples.items()}
    findings.ratios += [ratio(str(case), TRAINING_STEP, OURS, peer, turns, goal=1.0) for peer in turns if peer != OURS]


TOPIC = Topic("realnvp_peers", "RealNVP: beside other libraries", NOTES, measure)
