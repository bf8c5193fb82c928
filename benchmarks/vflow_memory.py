"""Peak memory of VFlow beside a Flow++ of equal width: `python -m benchmarks.vflow_memory`."""

from benchmarks.command import run_command
from benchmarks.images import image_folder
from benchmarks.timing import summary
from benchmarks.topic import Findings, main
from benchmarks.vflow_step import FLOWPP, VFLOW
from benchmarks.vflows import Case
from reproductions.reporting.benchmarks import Measurement, Ratio

BATCH_SIZE = 16
MODES = ("plain", "recompute")
STEPS = 2
MODEL = ["--experiment=cifar10", f"--batch_size={BATCH_SIZE}", "--set=init_batch_size=8", "--set=num_blocks=4"]
LIMIT = 240

NOTES = [
    f"Largest resident set of the true command, stopped after {STEPS} steps: the CIFAR-10 model at D_H 96 with four blocks a "
    f"conditioner, batch {BATCH_SIZE}, with three channels of z and without; TensorFlow itself takes some 600 MiB. Each process "
    "once.",
]


def measure():
    findings = Findings("VFlow: memory", NOTES)
    case = f"4 blocks, batch {BATCH_SIZE}"
    with image_folder(32, num_images=2 * BATCH_SIZE) as dataset:
        for mode in MODES:
            peaks = {}
            for name, own in ((VFLOW, Case(3, BATCH_SIZE)), (FLOWPP, Case(0, BATCH_SIZE))):
                changes = [f"--set={field}={value}" for field, value in own.changes.items()]
                flags = [f"--dataset={dataset}", *MODEL, *changes, f"--memory={mode}"]
                run = run_command(flags, STEPS, paper="vflow", limit=LIMIT)
                peaks[name] = run.peak_memory_mib
                findings.measurements.append(
                    Measurement(
                        f"{case}, {mode}",
                        "peak memory",
                        name,
                        "MiB",
                        **summary([run.peak_memory_mib]),
                        at_least=not run.finished,
                    )
                )
            part = summary([peaks[VFLOW] / peaks[FLOWPP]])
            findings.ratios.append(Ratio(f"{case}, {mode}", "peak memory", VFLOW, FLOWPP, **part))
    return findings


if __name__ == "__main__":
    main("vflow_memory", measure)
