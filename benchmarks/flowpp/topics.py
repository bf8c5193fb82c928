"""The topics of Flow++."""

from benchmarks.flowpp import inverse, sampling, step
from benchmarks.harness.memory import MODES, STEPS, Peaks, by_mode, measure_memory
from benchmarks.harness.start_up import Start, measure_start_up
from benchmarks.harness.topic import Topic

SMALLEST = ("--set=width=4", "--set=num_blocks=1", "--set=num_components=2")

# Actnorm takes the moments of each activation from the init batch; one image has none.
INIT_IMAGES = 8
# The model of table 2, the one with the most parameters on small images, and that of table 1 on large images.
STARTS = tuple(
    Start(experiment, image_size, goal=60, init_images=INIT_IMAGES)
    for experiment, image_size in (("cifar10", 32), ("imagenet32", 32), ("imagenet64", 64))
)

START_UP = Topic(
    "flowpp_start_up",
    "Flow++: start-up",
    (
        "As *Start-up*: each experiment as published, by the true command on noise images, batch of one image, init batch of "
        f"{INIT_IMAGES}. What is subtracted for the init batch is a forward pass of the flow, without that of the dequantizer. "
        "One run each.",
    ),
    lambda findings: measure_start_up(findings, "flowpp", STARTS, SMALLEST),
)

BATCH_SIZE = 16
PEAKS = Peaks(
    case=f"4 blocks, batch {BATCH_SIZE}",
    paper="flowpp",
    subjects=by_mode(*MODES),
    flags=("--experiment=cifar10", f"--batch_size={BATCH_SIZE}", "--set=init_batch_size=8", "--set=num_blocks=4"),
    smallest=(*SMALLEST, "--batch_size=2"),
    image_size=32,
    num_images=2 * BATCH_SIZE,
)

MEMORY = Topic(
    "flowpp_memory",
    "Flow++: memory",
    (
        f"Largest resident set of the true command, stopped after {STEPS} steps: the CIFAR-10 model at published width, with "
        f"four blocks a conditioner, batch {BATCH_SIZE}; TensorFlow itself takes some 600 MiB. Each process once.",
    ),
    lambda findings: measure_memory(findings, PEAKS),
)

TOPICS = (inverse.TOPIC, step.TOPIC, sampling.TOPIC, START_UP, MEMORY)
