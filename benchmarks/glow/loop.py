"""What the loop costs on top of the model: logging, and several steps per call."""

from benchmarks.harness.command import run_command
from benchmarks.harness.comparisons import compare_commands
from benchmarks.harness.topic import Findings, Topic

DEFAULT = "one step a call, logged every 50"
SETTINGS = {
    DEFAULT: ["--steps_per_execution=1"],
    "one step a call, logged at each": ["--steps_per_execution=1", "--log_every=1"],
    "10 steps a call, logged every 50": ["--steps_per_execution=10"],
}
STEPS = 500

# One of the smallest possible models, on 8x8 images: nearly all of its step is the loop.
TINY = ["--experiment=demo", "--dataset=digits", "--set=levels=1", "--set=depth=1", "--set=width=4"]
TINY += ["--set=evaluate_every=0", "--batch_size=8", "--set=init_batch_size=32"]

NOTES = (
    "By the true command, on a model so small (K=1, L=1, width 4, 8x8 images, batch 8) that its step is nearly all overhead: the "
    "difference in milliseconds is what a step of any model would save or lose. Samples are means over 50 steps.",
)


def measure(findings: Findings) -> None:
    """Measures and adds the rows."""

    def run(flags):
        return lambda num_steps: run_command([*TINY, *flags], num_steps)

    runs = {name: run(flags) for name, flags in SETTINGS.items()}
    compare_commands(findings, "tiny model", runs, STEPS, block=50, reference=DEFAULT)


TOPIC = Topic("loop", "The loop: logging and steps a call", NOTES, measure)
