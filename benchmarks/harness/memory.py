"""Peak memory of the training command, compared between modes of backpropagation or between models."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence

from benchmarks.harness.command import run_command
from benchmarks.harness.images import image_folder
from benchmarks.harness.timing import summary
from benchmarks.harness.topic import Findings
from reproductions.reporting.benchmarks import Measurement, Ratio

MODES = ("plain", "recompute", "reversible")
STEPS = 2


@dataclasses.dataclass(frozen=True)
class Peaks:
    """Runs of the command to compare, each once in a process of its own.

    Attributes:
      case: Case of the rows.
      paper: Folder under `reproductions/`.
      subjects: `{subject: its flags}`; see `by_mode` for the modes of backpropagation.
      flags: Flags of every subject.
      smallest: Additional flags of a quick run.
      image_size: Side of the images.
      num_images: Number of training images.
      reference: The subject that all others are compared with; by default the first.
      limit: Seconds after which a run is stopped.
      goal: Goal for the memory in MiB, an upper bound.
      step_times: Whether to add rows for the time of a step as well.
    """

    case: str
    paper: str
    subjects: Mapping[str, Sequence[str]]
    flags: Sequence[str]
    smallest: Sequence[str]
    image_size: int
    num_images: int
    reference: str | None = None
    limit: float = 240
    goal: float | None = None
    step_times: bool = True


def by_mode(*modes: str) -> dict[str, tuple[str, ...]]:
    """The `subjects` that compare modes of backpropagation."""
    return {mode: (f"--memory={mode}",) for mode in modes}


def measure_memory(findings: Findings, peaks: Peaks) -> None:
    """Adds peak memory and step time of each subject, and their ratios to those of the reference."""
    with image_folder(peaks.image_size, peaks.num_images) as dataset:
        flags = [f"--dataset={dataset}", *peaks.flags]
        runs = {
            name: run_command(
                [*flags, *own, *findings.choose((), peaks.smallest)], STEPS, paper=peaks.paper, limit=peaks.limit
            )
            for name, own in peaks.subjects.items()
        }

    def step_seconds(run):
        return run.seconds_per_step(after=1) if peaks.step_times and len(run.steps) > 1 else None

    for name, run in runs.items():
        memory = summary([run.peak_memory_mib])
        findings.measurements.append(
            Measurement(peaks.case, "peak memory", name, "MiB", **memory, at_least=not run.finished, goal=peaks.goal)
        )
        if (seconds := step_seconds(run)) is not None:
            findings.measurements.append(Measurement(peaks.case, "training step", name, "s", **summary([seconds])))
    reference = peaks.reference or next(iter(runs))
    for name, run in runs.items():
        if name == reference:
            continue
        parts = {"peak memory": run.peak_memory_mib / runs[reference].peak_memory_mib}
        if None not in (own := step_seconds(run), other := step_seconds(runs[reference])):
            parts["training step"] = own / other
        findings.ratios += [
            Ratio(peaks.case, quantity, name, reference, **summary([part])) for quantity, part in parts.items()
        ]


def add_slopes(findings: Findings, cases: Mapping[str, int], case: str, goals: Mapping[str, float | None]) -> None:
    """Adds the memory per flow step, and its ratio to the plain mode's.

    Args:
      findings: Contains the peaks of memory, and receives the rows.
      cases: `{case of the peaks: number of flow steps}`; the slope is that of the least-squares line through them.
      case: Case of the new rows.
      goals: `{mode: upper bound for its ratio, or None}`.
    """
    peaks = {(row.case, row.subject): row.median for row in findings.measurements if row.quantity == "peak memory"}
    slopes = {
        mode: statistics.linear_regression(list(cases.values()), [peaks[name, mode] for name in cases]).slope
        for mode in MODES
    }
    quantity = "memory a flow step"
    findings.measurements += [
        Measurement(case, quantity, mode, "MiB", **summary([slope])) for mode, slope in slopes.items()
    ]
    findings.ratios += [
        Ratio(case, quantity, mode, "plain", **summary([slopes[mode] / slopes["plain"]]), goal=goal)
        for mode, goal in goals.items()
    ]
