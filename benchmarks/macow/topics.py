"""The topics of MaCow."""

from benchmarks.harness.memory import MODES, STEPS, Peaks, by_mode, measure_memory
from benchmarks.harness.start_up import Start, measure_start_up
from benchmarks.harness.topic import Topic
from benchmarks.macow import inverse, sampler, sampling, step, unit

# The model of table 1 on CIFAR-10, and the deepest one.
STARTS = (Start("cifar10_fine_grained", 32, goal=60), Start("celeba_hq_uniform", 256, goal=150))

START_UP = Topic(
    "macow_start_up",
    "MaCow: start-up",
    (
        "As *Start-up*: each experiment as published, in the paper's variant, by the true command on noise images, batch and "
        "init batch of one image. One run each.",
    ),
    lambda findings: measure_start_up(
        findings, "macow", STARTS, ("--set=steps=1, 1+1, 1+1, 1", "--set=widths=4, 4, 4, 4")
    ),
)

BATCH_SIZE = 128
STEPS_OF_LEVELS = "1, 2+2, 2+2, 2"
PEAKS = Peaks(
    case=f"steps {STEPS_OF_LEVELS}, batch {BATCH_SIZE}",
    paper="macow",
    subjects=by_mode(*MODES),
    flags=(
        "--experiment=cifar10_fine_grained",
        f"--set=steps={STEPS_OF_LEVELS}",
        f"--batch_size={BATCH_SIZE}",
        "--set=init_batch_size=8",
    ),
    smallest=("--set=widths=4, 4, 4, 4", "--batch_size=2"),
    image_size=32,
    num_images=2 * BATCH_SIZE,
)

MEMORY = Topic(
    "macow_memory",
    "MaCow: memory",
    (
        f"Largest resident set of the true command, stopped after {STEPS} steps: the paper's CIFAR-10 model at published widths, "
        f"but with {STEPS_OF_LEVELS} steps in its levels, batch {BATCH_SIZE}; TensorFlow itself takes some 600 MiB. *Reversible* "
        "rebuilds inputs by the sequential inverse of each masked convolution. Each process once.",
    ),
    lambda findings: measure_memory(findings, PEAKS),
)

TOPICS = (inverse.TOPIC, sampling.TOPIC, sampler.TOPIC, step.TOPIC, unit.TOPIC, START_UP, MEMORY)
