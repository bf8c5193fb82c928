"""The topics of the foundation, measured on Glow."""

from benchmarks.glow import data_parallel, drift, loop, operations, peers, pipeline, precision, sampling, xla
from benchmarks.harness.memory import MODES, Peaks, add_slopes, by_mode, measure_memory
from benchmarks.harness.start_up import LIMIT, Start, measure_start_up
from benchmarks.harness.topic import Findings, Topic

# Activations outweigh everything else: few parameters, one level, a large batch.
DEPTHS = (4, 8, 16, 32, 64)
DEEP = ("--experiment=cifar10", "--set=levels=1", "--set=width=64", "--batch_size=128", "--set=init_batch_size=16")
# Memory of a flow step, as a ratio to the plain mode.
SLOPE_GOALS = {"recompute": None, "reversible": 0.1}
CELEBA = Peaks(
    case="CelebA-HQ 256",
    paper="glow",
    subjects=by_mode("reversible"),
    flags=("--experiment=celeba_hq", "--set=image_size=256", "--batch_size=1", "--set=init_batch_size=1"),
    smallest=("--set=depth=1", "--set=width=4"),
    image_size=256,
    num_images=2,
    goal=6 * 1024,
)

# The published Glow with the most variables, and the one with the largest images.
STARTS = (Start("imagenet64", 64, goal=30), Start("celeba_hq", 256, goal=30))


def of_depth(depth: int) -> Peaks:
    """The runs of all modes of backpropagation at depth K."""
    return Peaks(
        case=f"K={depth}",
        paper="glow",
        subjects=by_mode(*MODES),
        flags=(*DEEP, f"--set=depth={depth}"),
        smallest=("--set=width=4", "--batch_size=2", "--set=init_batch_size=2"),
        image_size=32,
        num_images=128,
        limit=120,
    )


def measure_memory_by_depth(findings: Findings) -> None:
    """Adds all modes at several depths, the memory of a flow step, and the published Glow on large images."""
    depths = findings.choose(DEPTHS, (1, 2))
    for depth in depths:
        measure_memory(findings, of_depth(depth))
    cases = {f"K={depth}": depth for depth in depths}
    add_slopes(findings, cases, f"K={depths[0]}..{depths[-1]}", SLOPE_GOALS)
    measure_memory(findings, CELEBA)


START_UP = Topic(
    "start_up",
    "Start-up",
    (
        "Each experiment as published (depth, width, levels), by the true command on noise images, with batch and init batch of "
        "one image, since neither changes the start. *Start-up* is the time from the command to the end of step 1, less one "
        "later step and less one forward pass of the init batch; the rows below it are its parts, in order, nothing subtracted. "
        f"One run each; stopped after {LIMIT} s.",
    ),
    lambda findings: measure_start_up(findings, "glow", STARTS, ("--set=depth=1", "--set=width=4")),
)

MEMORY = Topic(
    "memory",
    "Memory",
    (
        "Largest resident set of the true command, stopped after a few steps; TensorFlow itself takes some 600 MiB of each. "
        "*Depth*: L=1, width 64, 32x32x3, batch 128. *CelebA-HQ*: the published Glow (K=32, L=6, width 512) on 256x256 images, "
        "batch 1 (in the plain mode: under *Start-up*). Each process once.",
    ),
    measure_memory_by_depth,
)

TOPICS = (
    peers.TOPIC,
    operations.TOPIC,
    START_UP,
    MEMORY,
    drift.TOPIC,
    precision.TOPIC,
    xla.TOPIC,
    pipeline.TOPIC,
    loop.TOPIC,
    data_parallel.TOPIC,
    sampling.TOPIC,
)
