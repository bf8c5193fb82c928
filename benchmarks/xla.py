"""XLA (`--jit`): time, compile time and memory with and without: `python -m benchmarks.xla`."""

from benchmarks import glows
from benchmarks.glows import Case
from benchmarks.machine import Patience
from benchmarks.subjects import LOG_PROB, SAMPLE, TRAINING_STEP
from benchmarks.timing import in_turn, milliseconds, ratio
from benchmarks.topic import Findings, main
from benchmarks.workers import workers

PLAIN, XLA = "plain", "XLA"
SUBJECTS = {PLAIN: False, XLA: True}

CASES = (
    (Case(depth=4, levels=3, width=64, image_size=32, batch_size=16), 7, 3),
    (Case(depth=2, levels=3, width=512, image_size=32, batch_size=16), 3, 1),
)

NOTES = [
    "Our Glow as under *Beside other libraries*, with what `--jit` compiles (loss and gradients; log_prob; sampling) and "
    "without. The first call traces, and compiles.",
]


def measure():
    findings = Findings("XLA", list(NOTES))
    for case, rounds, calls in CASES:
        makers = {name: (glows.tfflows_glow, (case, jit_compile)) for name, jit_compile in SUBJECTS.items()}
        with workers(makers) as (started, _, _):
            patience = Patience([worker.process for worker in started.values()])
            for quantity in (TRAINING_STEP, LOG_PROB, SAMPLE):
                samples = in_turn(
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
    return findings


if __name__ == "__main__":
    main("xla", measure)
