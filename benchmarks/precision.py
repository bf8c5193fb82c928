"""mixed_bfloat16 beside float32: `python -m benchmarks.precision`."""

from benchmarks.command import run_command
from benchmarks.commands_in_turn import compare_commands
from benchmarks.images import image_folder
from benchmarks.topic import Findings, main

PRECISIONS = ("float32", "mixed_bfloat16")
STEPS = 12

MODEL = ["--experiment=cifar10", "--set=depth=2", "--set=width=512", "--batch_size=16", "--set=init_batch_size=16"]

NOTES = [
    "By the true command, K=2, L=3, width 512, 32x32x3, batch 16. On a CPU without units for bfloat16 the numbers are converted, "
    "which takes time; on a GPU the two are other than here.",
]


def measure():
    findings = Findings("Precision", NOTES)
    with image_folder(32, num_images=64) as dataset:

        def run(precision):
            flags = [f"--dataset={dataset}", *MODEL, "--set=evaluate_every=0", f"--precision={precision}"]
            return lambda: run_command(flags, STEPS)

        runs = {precision: run(precision) for precision in PRECISIONS}
        findings.measurements, findings.ratios = compare_commands("width 512", runs, 2, 2, PRECISIONS[0])
    return findings


if __name__ == "__main__":
    main("precision", measure)
