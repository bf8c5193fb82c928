"""The topics of AGAVE."""

from benchmarks.agave import iaf_sampler, sampling, step
from benchmarks.harness.memory import STEPS, Peaks, by_mode, measure_memory
from benchmarks.harness.start_up import Start, measure_start_up
from benchmarks.harness.topic import Topic

SMALLEST = ("--set=width=4", "--set=num_blocks=1", "--set=vae_width=4", "--set=vae_blocks=1")
TOGETHER = "--set=pretraining_steps=0"

STARTS = tuple(
    Start(experiment, 32, goal=60, flags=(TOGETHER,))
    for experiment in ("cifar10", "cifar10_pixelcnn", "cifar10_iaf_vae")
)

START_UP = Topic(
    "agave_start_up",
    "AGAVE: start-up",
    (
        "As *Start-up*: each experiment as published, by the true command on noise images, batch and init batch of one image; "
        "*cifar10* is the joint training of both halves, without pretraining before it. One run each.",
    ),
    lambda findings: measure_start_up(findings, "agave", STARTS, SMALLEST),
)

BATCH_SIZE = 16
PEAKS = Peaks(
    case=f"R=2, 4 blocks, batch {BATCH_SIZE}",
    paper="agave",
    subjects=by_mode("plain", "recompute"),
    flags=(
        "--experiment=cifar10",
        TOGETHER,
        "--set=num_blocks=2",
        "--set=vae_blocks=4",
        f"--batch_size={BATCH_SIZE}",
        "--set=init_batch_size=4",
    ),
    smallest=(*SMALLEST, "--batch_size=2"),
    image_size=32,
    num_images=2 * BATCH_SIZE,
    limit=300,
)

MEMORY = Topic(
    "agave_memory",
    "AGAVE: memory",
    (
        f"Largest resident set of the true command, stopped after {STEPS} steps: the published widths with 2 units a resolution "
        f"and 4 blocks of the VAE where 5 and 20 are published, batch {BATCH_SIZE}; TensorFlow itself takes some 600 MiB. "
        "*Recompute* keeps the inputs of units and blocks alone. Each process once.",
    ),
    lambda findings: measure_memory(findings, PEAKS),
)

TOPICS = (sampling.TOPIC, iaf_sampler.TOPIC, step.TOPIC, START_UP, MEMORY)
