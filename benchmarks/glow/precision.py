"""mixed_bfloat16 beside float32."""

from benchmarks.harness.command import run_command
from benchmarks.harness.comparisons import compare_commands
from benchmarks.harness.images import image_folder
from benchmarks.harness.topic import Findings, Topic

PRECISIONS = ("float32", "mixed_bfloat16")
STEPS = 12

MODEL = ["--experiment=cifar10", "--set=depth=2", "--set=width=512", "--batch_size=16", "--set=init_batch_size=16"]

NOTES = (
    "By the true command, K=2, L=3, width 512, 32x32x3, batch 16. On a CPU without units for bfloat16 the numbers are converted, "
    "which takes time; on a GPU the two are other than here.",
)


def measure(findings: Findings) -> None:
    """Measures and adds the rows."""
    with image_folder(32, num_images=64) as dataset:

        def run(precision):
            flags = [f"--dataset={dataset}", *MODEL, "--set=evaluate_every=0", f"--precision={precision}"]
            flags += findings.choose([], ["--set=width=4"])
            return lambda num_steps: run_command(flags, num_steps)

        runs = {precision: run(precision) for precision in PRECISIONS}
        compare_commands(findings, "width 512", runs, STEPS, block=2, reference=PRECISIONS[0])


TOPIC = Topic("precision", "Precision", NOTES, measure)
