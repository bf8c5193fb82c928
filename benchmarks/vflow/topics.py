"""The topics of VFlow."""

from benchmarks.harness.memory import STEPS, Peaks, measure_memory
from benchmarks.harness.topic import Findings, Topic
from benchmarks.vflow import step
from benchmarks.vflow.models import FLOWPP, VFLOW, Case

BATCH_SIZE = 16
MODELS = {VFLOW: Case(3, BATCH_SIZE, num_blocks=4), FLOWPP: Case(0, BATCH_SIZE, num_blocks=4)}
PEAKS = tuple(
    Peaks(
        case=f"4 blocks, batch {BATCH_SIZE}, {mode}",
        paper="vflow",
        subjects={
            name: [f"--set={field}={value}" for field, value in case.changes.items()] for name, case in MODELS.items()
        },
        flags=("--experiment=cifar10", f"--batch_size={BATCH_SIZE}", "--set=init_batch_size=8", f"--memory={mode}"),
        smallest=("--set=width=8", "--set=num_blocks=1", "--set=num_components=2", "--batch_size=2"),
        image_size=32,
        num_images=2 * BATCH_SIZE,
        reference=FLOWPP,
        step_times=False,
    )
    for mode in ("plain", "recompute")
)


def measure_memory_by_mode(findings: Findings) -> None:
    """Measures and adds both models in each mode of backpropagation."""
    for peaks in PEAKS:
        measure_memory(findings, peaks)


MEMORY = Topic(
    "vflow_memory",
    "VFlow: memory",
    (
        f"Largest resident set of the true command, stopped after {STEPS} steps: the CIFAR-10 model at D_H 96 with four blocks a "
        f"conditioner, batch {BATCH_SIZE}, with three channels of z and without; TensorFlow itself takes some 600 MiB. Each "
        "process once.",
    ),
    measure_memory_by_mode,
)

TOPICS = (step.TOPIC, MEMORY)
