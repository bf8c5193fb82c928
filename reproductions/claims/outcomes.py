"""Outcomes of runs kept below `results/claims`: records, bits/dim per image, gradient norms, and which runs diverged."""

import dataclasses
import datetime
import json
import os
import pathlib
import re
import shutil

import numpy as np

from reproductions.claims import per_image
from reproductions.claims.arms import ArmRun
from reproductions.claims.study import is_trial
from reproductions.reporting.records import Record, load_records
from tfflows.files import atomic_write, read_json

CLAIMS = pathlib.Path("claims")
RECORDS, TRIAL_RECORDS = CLAIMS / "runs", CLAIMS / "rates"
GRADIENT_NORMS = CLAIMS / "gradient_norms"
DIVERGED = CLAIMS / "diverged"

# The driver's messages on a loss or a result that is not finite.
_NOT_FINITE = re.compile(r"^(TrainingDiverged: .*|ValueError: .*must be a finite number.*)$", re.MULTILINE)


def records_of(results: str | os.PathLike, trials: bool = False) -> dict[tuple[str, str, int], Record]:
    """Returns `{(paper, experiment, seed): Record}` of the finished runs of the study, or of its trials of learning rates."""
    directory = pathlib.Path(results) / (TRIAL_RECORDS if trials else RECORDS)
    return {
        (record.paper, record.experiment, record.seed): record
        for record in load_records(directory)
        if record.is_plain and record.overrides.keys() <= {"learning_rate"}
    }


def is_kept(run: ArmRun, results: str | os.PathLike) -> bool:
    """Returns whether the outcome of a finished run is among the results."""
    if is_trial(run):
        return dataclasses.astuple(run) in records_of(results, trials=True)
    return dataclasses.astuple(run) in records_of(results) and per_image.path_of(run, results).exists()


def keep(run: ArmRun, workdir: str | os.PathLike, results: str | os.PathLike) -> None:
    """Copies the outcome of a finished run to the results; the record comes last and marks the copy as complete."""
    from reproductions.driver.evaluate import (  # with TensorFlow, which no table needs
        PER_IMAGE_FILE,
        TRAIN_PER_IMAGE_FILE,
    )

    workdir, results = pathlib.Path(workdir), pathlib.Path(results)
    if not is_trial(run):
        per_image.keep(run, workdir / PER_IMAGE_FILE, results)
        if (workdir / TRAIN_PER_IMAGE_FILE).exists():
            per_image.keep(run, workdir / TRAIN_PER_IMAGE_FILE, results, per_image.TRAIN)
        _keep_gradient_norms(run, workdir, results)
    directory = results / (TRIAL_RECORDS if is_trial(run) else RECORDS) / run.paper
    directory.mkdir(parents=True, exist_ok=True)
    for record in sorted((workdir / "results" / run.paper).glob("*.json")):
        atomic_write(directory / record.name, record.read_bytes())


def _keep_gradient_norms(run, workdir, results):
    """Writes float32 `[N, 2]`: a step, and the mean norm of the gradient over the steps since the previous pair."""
    from tfflows.training.logs import METRICS_FILE, read_metrics

    lines = [line for line in read_metrics(workdir / METRICS_FILE) if "gradient_norm" in line]
    path = _gradient_norms_path(run, results)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.array([(line["step"], line["gradient_norm"]) for line in lines], np.float32).reshape([-1, 2]))


def gradient_norms(run: ArmRun, results: str | os.PathLike) -> np.ndarray | None:
    """Returns the gradient norms of a finished run, float32 `[N]`, each a mean over some steps; None if they were not kept."""
    path = _gradient_norms_path(run, results)
    return np.load(path)[:, 1] if path.exists() else None


def _gradient_norms_path(run, results):
    return pathlib.Path(results) / GRADIENT_NORMS / run.paper / f"{run.experiment}-seed{run.seed}.npy"


def not_finite(errors: str) -> str | None:
    """Returns the line in which a run reports that it diverged, or None if it ended for another reason."""
    found = _NOT_FINITE.search(errors)
    return found.group(0) if found else None


def diverged_path(run: ArmRun, results: str | os.PathLike) -> pathlib.Path:
    """Returns the path of the file that marks a run as diverged."""
    return pathlib.Path(results) / DIVERGED / run.paper / f"{run.experiment}-seed{run.seed}.json"


def has_diverged(run: ArmRun, results: str | os.PathLike) -> bool:
    """Returns whether a run is marked as diverged; it is then not started again."""
    return diverged_path(run, results).exists()


def keep_diverged(
    run: ArmRun, message: str, learning_rate: float, commit: str | None, results: str | os.PathLike
) -> None:
    """Records that a run diverged.

    Args:
      run: The run.
      message: Error message of the run.
      learning_rate: Peak learning rate of the run.
      commit: Commit of the code.
      results: The results directory.
    """
    content = {
        **dataclasses.asdict(run),
        "learning_rate": learning_rate,
        "message": message,
        "commit": commit,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    path = diverged_path(run, results)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, json.dumps(content, indent=2, sort_keys=True) + "\n")


def divergence_text(results: str | os.PathLike) -> str:
    """Returns how many runs of the queue diverged, and which, with their rates and messages."""
    paths = sorted((pathlib.Path(results) / DIVERGED).glob("*/*.json"))
    ended = len(records_of(results)) + len(records_of(results, trials=True)) + len(paths)
    lines = [f"{len(paths)} of {ended} runs of the queue that have ended diverged: a loss or a result was not finite."]
    for path in paths:
        run = read_json(path)
        lines.append(
            f"- {run['paper']} {run['experiment']} seed {run['seed']} at a rate of {run['learning_rate']:g}: {run['message']}"
        )
    return "\n".join(lines)


def forget_workdir(workdir: str | os.PathLike) -> None:
    """Removes the checkpoints of a workdir, which only an unfinished run needs."""
    shutil.rmtree(pathlib.Path(workdir) / "checkpoints", ignore_errors=True)
