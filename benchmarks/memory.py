"""Peak memory against depth for the modes of backpropagation: `python -m benchmarks.memory`."""

import statistics

from benchmarks.command import run_command
from benchmarks.images import image_folder
from benchmarks.timing import summary
from benchmarks.topic import Findings, main
from reproductions.reporting.benchmarks import Measurement, Ratio

MODES = ("plain", "recompute", "reversible")
DEPTHS = (4, 8, 16, 32, 64)
STEPS = 2
GOAL = 0.1  # of the plain mode's memory a flow step
CELEBA_GOAL = 6 * 1024  # MiB

# Activations outweigh all else: few parameters, one level, a large batch.
DEEP = ["--experiment=cifar10", "--set=levels=1", "--set=width=64", "--batch_size=128", "--set=init_batch_size=16"]
CELEBA = ["--experiment=celeba_hq", "--set=image_size=256", "--batch_size=1", "--set=init_batch_size=1"]

NOTES = [
    "Largest resident set of the true command, stopped after a few steps; TensorFlow itself takes some 600 MiB of each. *Depth*: "
    "L=1, width 64, 32x32x3, batch 128. *CelebA-HQ*: the published Glow (K=32, L=6, width 512) on 256x256 images, batch 1 (in "
    "the plain mode: under *Start-up*). Each process once.",
]


def measure():
    findings = Findings("Memory", NOTES)
    with image_folder(32, num_images=128) as dataset:
        for depth in DEPTHS:
            flags = [f"--dataset={dataset}", *DEEP, f"--set=depth={depth}"]
            add(findings, f"K={depth}", MODES, flags, STEPS, limit=120)
    add_slopes(findings)
    with image_folder(256, num_images=2) as dataset:
        add(findings, "CelebA-HQ 256", ("reversible",), [f"--dataset={dataset}", *CELEBA], 2, 240, CELEBA_GOAL)
    return findings


def add_slopes(findings):
    """Adds the memory that a flow step takes, from a least-squares line over depth, and its ratio to the plain mode's."""
    peaks = {(row.case, row.subject): row.median for row in findings.measurements if row.quantity == "peak memory"}
    slopes = {
        mode: statistics.linear_regression(DEPTHS, [peaks[f"K={depth}", mode] for depth in DEPTHS]).slope
        for mode in MODES
    }
    case, quantity = f"K={DEPTHS[0]}..{DEPTHS[-1]}", "memory a flow step"
    for mode, slope in slopes.items():
        findings.measurements.append(Measurement(case, quantity, mode, "MiB", **summary([slope])))
    for mode, goal in (("recompute", None), ("reversible", GOAL)):
        part = summary([slopes[mode] / slopes["plain"]])
        findings.ratios.append(Ratio(case, quantity, mode, "plain", **part, goal=goal))


def add(findings, case, modes, flags, num_steps, limit, goal=None, paper="glow"):
    """Adds peak memory (with the goal in MiB) and step time of each mode, and the ratios to the first."""
    runs = {mode: run_command([*flags, f"--memory={mode}"], num_steps, paper=paper, limit=limit) for mode in modes}
    for mode, run in runs.items():
        findings.measurements.append(
            Measurement(
                case, "peak memory", mode, "MiB", **summary([run.peak_memory_mib]), at_least=not run.finished, goal=goal
            )
        )
        if len(run.steps) > 1:
            seconds = summary([run.seconds_per_step(after=1)])
            findings.measurements.append(Measurement(case, "training step", mode, "s", **seconds))
    reference = runs[modes[0]]
    for mode in modes[1:]:
        part = summary([runs[mode].peak_memory_mib / reference.peak_memory_mib])
        findings.ratios.append(Ratio(case, "peak memory", mode, modes[0], **part))
        if len(reference.steps) > 1 and len(runs[mode].steps) > 1:
            part = summary([runs[mode].seconds_per_step(after=1) / reference.seconds_per_step(after=1)])
            findings.ratios.append(Ratio(case, "training step", mode, modes[0], **part))


if __name__ == "__main__":
    main("memory", measure)
