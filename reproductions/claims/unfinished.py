"""Newest checkpoints of unfinished runs, kept with the results so that another machine can continue from them."""

import os
import pathlib
import shutil

from reproductions.claims.arms import ArmRun
from tfflows.training.logs import METRICS_FILE, read_metrics
from tfflows.training.workdir import EXPERIMENT_FILE

DIRECTORY = pathlib.Path("claims") / "unfinished"
# Shorter runs are repeated rather than kept.
MIN_HOURS = 1.0


def path_of(run: ArmRun, results: str | os.PathLike) -> pathlib.Path:
    """Returns the directory of the kept checkpoint of a run."""
    return pathlib.Path(results) / DIRECTORY / run.paper / f"{run.experiment}-seed{run.seed}"


def newest_step(workdir: str | os.PathLike) -> int | None:
    """Returns the step of the newest complete checkpoint, or None."""
    steps = [
        int(path.stem.removeprefix("step-")) for path in (pathlib.Path(workdir) / "checkpoints").glob("step-*.index")
    ]
    return max(steps, default=None)


def hours_of(workdir: str | os.PathLike) -> float:
    """Returns the hours of training of a run up to its last log line."""
    metrics = pathlib.Path(workdir) / METRICS_FILE
    seconds = [line["seconds"] for line in (read_metrics(metrics) if metrics.exists() else []) if "seconds" in line]
    return seconds[-1] / 3600 if seconds else 0.0


def keep(run: ArmRun, workdir: str | os.PathLike, results: str | os.PathLike, min_hours: float = MIN_HOURS) -> bool:
    """Copies the newest checkpoint of a run that took long enough, replacing an older copy.

    Args:
      run: The run.
      workdir: Workdir of the run.
      results: The results directory.
      min_hours: Minimum hours of training.

    Returns:
      Whether a checkpoint was copied.
    """
    workdir, step = pathlib.Path(workdir), newest_step(workdir)
    if step is None or hours_of(workdir) < min_hours:
        return False
    drop(run, results)
    kept = path_of(run, results)
    (kept / "checkpoints").mkdir(parents=True)
    for name in (EXPERIMENT_FILE, METRICS_FILE):
        shutil.copy2(workdir / name, kept / name)
    files = (workdir / "checkpoints").glob(f"step-{step}.*")
    for file in sorted(
        files, key=lambda path: path.suffix == ".index"
    ):  # the index comes last and completes the checkpoint
        shutil.copy2(file, kept / "checkpoints" / file.name)
    return True


def take_back(run: ArmRun, workdir: str | os.PathLike, results: str | os.PathLike) -> bool:
    """Copies the kept checkpoint of a run back to its workdir, unless the run has already started there.

    Args:
      run: The run.
      workdir: Workdir of the run.
      results: The results directory.

    Returns:
      Whether a checkpoint was copied.
    """
    kept, workdir = path_of(run, results), pathlib.Path(workdir)
    if newest_step(kept) is None or newest_step(workdir) is not None:
        return False
    shutil.copytree(kept, workdir, dirs_exist_ok=True)
    return True


def drop(run: ArmRun, results: str | os.PathLike) -> None:
    """Removes the kept checkpoint of a run."""
    shutil.rmtree(path_of(run, results), ignore_errors=True)
