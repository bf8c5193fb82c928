"""Start-up: seconds from the training command to the end of its first step."""

import dataclasses
from collections.abc import Sequence

from benchmarks.harness.command import Run, run_command
from benchmarks.harness.images import image_folder
from benchmarks.harness.timing import summary
from benchmarks.harness.topic import Findings
from reproductions.reporting.benchmarks import Measurement

LIMIT = 420

# Events of `command_process`, and the phase that ends with each.
PHASES = {
    "imports": "interpreter and imports",
    "data": "data set",
    "model": "model",
    "optimizer": "optimizer and train step",
    "initialization": "data-dependent init",
}


@dataclasses.dataclass(frozen=True)
class Start:
    """A published experiment on noise images; only the batch and init batch, which do not change the start, are smaller.

    Attributes:
      experiment: Name of the experiment.
      image_size: Side of the images.
      goal: Goal for the start-up in seconds, an upper bound.
      init_images: Number of images of the init batch.
      flags: Additional flags.
    """

    experiment: str
    image_size: int
    goal: float
    init_images: int = 1
    flags: Sequence[str] = ()


def measure_start_up(findings: Findings, paper: str, starts: Sequence[Start], smallest: Sequence[str]) -> None:
    """Adds the start-up of a paper's experiments, and its parts.

    Args:
      findings: Receives the rows.
      paper: Folder under `reproductions/`.
      starts: The experiments, each run once for two steps.
      smallest: Additional flags of a quick run, which measures the first experiment alone.
    """
    for start in findings.choose(starts, starts[:1]):
        with image_folder(start.image_size, num_images=max(start.init_images, 2)) as dataset:
            flags = [f"--dataset={dataset}", f"--experiment={start.experiment}", "--batch_size=1"]
            flags += [f"--set=image_size={start.image_size}", f"--set=init_batch_size={start.init_images}"]
            flags += [*start.flags, *findings.choose((), smallest)]
            run = run_command(flags, num_steps=2, paper=paper, limit=LIMIT, forward_pass=True)
        findings.measurements += start_up_rows(start.experiment, run, start.goal)


def start_up_rows(experiment: str, run: Run, goal: float | None = None) -> list[Measurement]:
    """The measurements of a run, complete or stopped at `LIMIT`.

    Args:
      experiment: Case of the rows.
      run: What the command showed.
      goal: Goal for the start-up in seconds.
    """

    def row(quantity, seconds, **fields):
        return Measurement(experiment, quantity, "tfflows", "s", **summary([seconds]), **fields)

    rows, before = [], 0.0
    for event, name in PHASES.items():
        if event in run.events:
            rows.append(row(name, run.events[event] - before))
            before = run.events[event]
    if not run.steps:
        stopped = row("start-up", LIMIT, at_least=True, goal=goal, peak_memory_mib=run.peak_memory_mib)
        return [stopped, *rows]
    first = run.steps[0][1]
    rows.append(row("tracing and first step", first - before))
    subtracted = 0.0
    if len(run.steps) > 1:
        subtracted = run.seconds_per_step(after=1)
        rows.append(row("a later step", subtracted))
    if run.forward_pass is not None:
        subtracted += run.forward_pass
        rows.append(row("a forward pass", run.forward_pass))
    return [row("start-up", first - subtracted, goal=goal, peak_memory_mib=run.peak_memory_mib), *rows]
