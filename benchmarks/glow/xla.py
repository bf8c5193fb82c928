"""XLA (`--jit`): time, compile time and memory with and without it."""

from benchmarks.glow import models
from benchmarks.glow.models import SMALLEST, Case
from benchmarks.harness.machine import Patience
from benchmarks.harness.tasks import LOG_PROB, SAMPLE, TRAINING_STEP
from benchmarks.harness.timing import milliseconds, ratio
from benchmarks.harness.topic import Findings, Topic
from benchmarks.harness.workers import workers

PLAIN, XLA = "plain", "XLA"
SUBJECTS = {PLAIN: False, XLA: True}

CASES = (
    (Case(depth=4, levels=3, width=64, image_size=32, batch_size=16), 7, 3),
    (Case(depth=2, levels=3, width=512, image_size=32, batch_size=16), 3, 1),
)

NOTES = (
    "Our Glow as under *Beside other libraries*, with what `--jit` compiles (loss and gradients; log_prob; sampling) and "
    "without. The first call traces, and compiles.",
)


def measure(findings: Findings) -> None:
    """Measures and adds the rows."""
    for case, rounds, calls in findings.choose(CASES, ((SMALLEST, 1, 1),)):
        makers = {name: (models.tfflows_glow, (case, jit_compile)) for name, jit_compile in SUBJECTS.items()}
        with workers(makers) as (started, _, _):
            patience = Patience([worker.process for worker in started.values()])
            for quantity in (TRAINING_STEP, LOG_PROB, SAMPLE):
                samples = findings.in_turn(
                    {name: worker.call(quantity) for name, worker in started.items()}, rounds, calls, patience.watch
                )
                findings.measurements += [
                    milliseconds(
                        str(case),
                        quantity,
                        name,
                        samples[name],
                        peak_memory_mib=started[name].peak_memory_mib() if quantity == TRAINING_STEP else None,
                    )
                    for name in started
                ]
                turns = {name: times.turns for name, times in samples.items()}
                findings.ratios.append(ratio(str(case), quantity, XLA, PLAIN, turns))


TOPIC = Topic("xla", "XLA", NOTES, measure)
