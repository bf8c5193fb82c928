"""VFlow beside a Flow++ of equal width."""

from benchmarks.harness.machine import Patience
from benchmarks.harness.tasks import SAMPLE, TRAINING_STEP
from benchmarks.harness.timing import milliseconds, ratio
from benchmarks.harness.topic import Findings, Topic
from benchmarks.harness.workers import workers
from benchmarks.vflow import models
from benchmarks.vflow.models import FLOWPP, VFLOW, Case

BATCH_SIZE = 4
ROUNDS = 4

NOTES = (
    "The published CIFAR-10 models at D_H 96, float32, dropout 0.2: VFlow with three channels of z and its q, and the same "
    "without z, in Flow++'s stages. A *training step* is all noise, the bound, gradients and an update by Adam with its clip; a "
    "*sample* is as many images from noise after a data-dependent init. The paper calls the cost of z marginal; by "
    "multiply-adds, a forward pass of VFlow is 22.9 G an image and that of Flow++ 12.9 G, 1.8 times: q, attention over 1,024 "
    "positions, and stages on more channels. Each subject runs in a process of its own.",
)


def measure(findings: Findings) -> None:
    """Measures and adds the rows."""
    sizes = findings.choose({}, {"width": 8, "num_blocks": 1})
    cases = {VFLOW: Case(3, BATCH_SIZE, **sizes), FLOWPP: Case(0, BATCH_SIZE, **sizes)}
    case = str(cases[VFLOW])
    with workers({name: (models.model_tasks, (own,)) for name, own in cases.items()}) as (started, facts, _):
        patience = Patience([worker.process for worker in started.values()])
        for quantity in (TRAINING_STEP, SAMPLE):
            calls = {name: worker.call(quantity) for name, worker in started.items()}
            samples = findings.in_turn(calls, ROUNDS, 1, patience.watch)
            for name, worker in started.items():
                memory = {"peak_memory_mib": worker.peak_memory_mib()} if quantity == TRAINING_STEP else {}
                known = {"parameters": facts[name]["parameters"], **memory}
                findings.measurements.append(milliseconds(case, quantity, name, samples[name], **known))
            turns = {name: times.turns for name, times in samples.items()}
            findings.ratios.append(ratio(case, quantity, VFLOW, FLOWPP, turns))


TOPIC = Topic("vflow_step", "VFlow: step and sampling", NOTES, measure)
