"""One image of the published Glow on CelebA-HQ 256: seconds and memory."""

from benchmarks.glow import models
from benchmarks.harness.machine import Patience
from benchmarks.harness.tasks import SAMPLE
from benchmarks.harness.timing import summary
from benchmarks.harness.topic import Findings, Topic
from benchmarks.harness.workers import workers
from reproductions.reporting.benchmarks import Measurement

EXPERIMENT, TEMPERATURE = "celeba_hq", 0.7
ROUNDS, CALLS = 5, 2
# Changes of the experiment for a quick run.
SMALLEST = {"image_size": 16, "levels": 2, "depth": 1, "width": 4}

NOTES = (
    "The published Glow on CelebA-HQ 256 (K=32, L=6, width 512, additive couplings, dense 1x1 convolutions, 5 bits), untrained "
    f"but for actnorm's init on noise: one image, batch 1, temperature {TEMPERATURE}, from normal noise to uint8, as "
    "`--mode=sample` draws it. Trained weights take the same operations. The first call traces. *Peak memory* is the largest "
    "resident set of the process, with building and init.",
    "A footnote of Kingma & Dhariwal 2018 (https://arxiv.org/abs/1807.03039) reports about 130 ms for an image of 256x256 at "
    "batch 1 on a GTX 1080 Ti, and about 550 ms on a Tesla K80. Those are other machines, so there is no ratio.",
)


def measure(findings: Findings) -> None:
    """Measures and adds the rows."""
    changes = findings.choose({}, SMALLEST)
    makers = {SAMPLE: (models.published_sampler, (EXPERIMENT, TEMPERATURE, changes))}
    with workers(makers) as (started, facts, _):
        worker, known = started[SAMPLE], facts[SAMPLE]
        patience = Patience([worker.process])
        samples = findings.in_turn({SAMPLE: worker.call(SAMPLE)}, ROUNDS, CALLS, patience.watch)[SAMPLE]
        memory = worker.peak_memory_mib()
    findings.measurements.append(
        Measurement(
            known["case"],
            "an image",
            SAMPLE,
            "s",
            **summary(samples.turns),
            first_call=samples.first_call,
            parameters=known["parameters"],
            peak_memory_mib=memory,
        )
    )


TOPIC = Topic("glow_sampling", "Glow: one image of 256x256", NOTES, measure)
