"""The topics of RealNVP."""

from benchmarks.harness.memory import STEPS, Peaks, by_mode, measure_memory
from benchmarks.harness.start_up import Start, measure_start_up
from benchmarks.harness.topic import Topic
from benchmarks.realnvp import peers, step

SMALLEST = ("--set=width=2", "--set=num_blocks=1", "--set=levels=2")
PEAKS = Peaks(
    case="CIFAR-10, batch 64",
    paper="realnvp",
    subjects=by_mode("plain", "recompute"),
    flags=("--experiment=cifar10", "--set=width=32", "--set=num_blocks=4", "--batch_size=64"),
    smallest=("--set=width=2", "--set=num_blocks=1", "--batch_size=4"),
    image_size=32,
    num_images=128,
)

START_UP = Topic(
    "realnvp_start_up",
    "RealNVP: start-up",
    ("As for Glow, under *Start-up*: the published experiment with the most variables, with a batch of one image.",),
    lambda findings: measure_start_up(findings, "realnvp", (Start("imagenet32", 32, goal=60),), SMALLEST),
)
MEMORY = Topic(
    "realnvp_memory",
    "RealNVP: memory",
    (
        f"Largest resident set of the true command, stopped after {STEPS} steps, at half of the published width and depth for "
        "CIFAR-10; TensorFlow itself takes some 600 MiB. A batch is never cut, so what `--accumulate` saves is what *recompute* "
        "saves. Each process once.",
    ),
    lambda findings: measure_memory(findings, PEAKS),
)

TOPICS = (step.TOPIC, peers.TOPIC, START_UP, MEMORY)
