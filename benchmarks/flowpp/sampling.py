"""Samples of Flow++ beside samples of PixelCNN++ with cached activations."""

from benchmarks.agave import models as agave
from benchmarks.flowpp import models
from benchmarks.flowpp.models import Case
from benchmarks.harness.comparisons import parts_notes
from benchmarks.harness.machine import Patience
from benchmarks.harness.tasks import SAMPLE
from benchmarks.harness.timing import ratio, summary
from benchmarks.harness.topic import Findings, Topic
from benchmarks.harness.workers import workers
from reproductions.reporting.benchmarks import Measurement

BATCH_SIZE = 8
ROUNDS = 3
FLOWPP, PIXELCNN = "Flow++", "PixelCNN++, cached"
QUANTITY = "a sample"

NOTES = (
    "Both CIFAR-10 models as published, float32, batches of 8 as in the paper. *PixelCNN++, cached* computes each activation "
    "once, pixel after pixel (Ramachandran et al. 2017). *A sample* is the time of a batch, divided. Each subject runs in a "
    "process of its own; the first call traces.",
)


def measure(findings: Findings) -> None:
    """Measures and adds the rows."""
    num_blocks, units = findings.choose((10, 5), (1, 1))
    subjects = {
        FLOWPP: (models.sampler, (Case(num_blocks, BATCH_SIZE),)),
        PIXELCNN: (agave.pixelcnn_sampler, (BATCH_SIZE, units)),
    }
    case = f"32x32x3, batch {BATCH_SIZE}"
    with workers(subjects) as (started, facts, _):
        findings.notes += parts_notes(case, facts)
        patience = Patience([worker.process for worker in started.values()])
        calls = {name: worker.call(SAMPLE) for name, worker in started.items()}
        samples = findings.in_turn(calls, ROUNDS, 1, patience.watch)
    turns = {name: [1000 * seconds / BATCH_SIZE for seconds in times.turns] for name, times in samples.items()}
    for name, times in turns.items():
        known = {"parameters": facts[name]["parameters"], "first_call": samples[name].first_call}
        findings.measurements.append(Measurement(case, QUANTITY, name, "ms", **summary(times), **known))
    findings.ratios.append(ratio(case, QUANTITY, FLOWPP, PIXELCNN, turns, goal=0.1, headline=True))


TOPIC = Topic("flowpp_sampling", "Flow++: sampling", NOTES, measure)
