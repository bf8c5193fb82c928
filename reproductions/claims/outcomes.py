"""What the queue keeps of its runs below `results/claims`: records, values of images, gradient norms, and which runs diverged."""

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
from reproductions.driver.evaluate import PER_IMAGE_FILE, TRAIN_PER_IMAGE_FILE
from reproductions.reporting.records import Record, load_records
from tfflows.training.logs import METRICS_FILE, read_metrics
from tfflows.training.workdir import atomic_write

CLAIMS = pathlib.Path("claims")
RECORDS, TRIAL_RECORDS = CLAIMS / "runs", CLAIMS / "rates"
GRADIENT_NORMS = CLAIMS / "gradient_norms"
DIVERGED = CLAIMS / "diverged"

# What the driver says of a loss, or of a result, that is not finite.
_NOT_FINITE = re.compile(r"^(TrainingDiverged: .*|ValueError: .*must be a finite number.*)$", re.MULTILINE)


def records_of(results: str | os.PathLike, trials: bool = False) -> dict[tuple[str, str, int], Record]:
    """`{(paper, experiment, seed): Record}` of the study's finished runs, or of its trials of rates."""
    directory = pathlib.Path(results) / (TRIAL_RECORDS if trials else RECORDS)
    return {
        (record.paper, record.experiment, record.seed): record
        for record in load_records(directory)
        if record.is_plain and record.overrides.keys() <= {"learning_rate"}
    }


def is_kept(run: ArmRun, results: str | os.PathLike) -> bool:
    """Whether what a finished run left is among the results."""
    if is_trial(run):
        return dataclasses.astuple(run) in records_of(results, trials=True)
    return dataclasses.astuple(run) in records_of(results) and per_image.path_of(run, results).exists()


def keep(run: ArmRun, workdir: str | os.PathLike, results: str | os.PathLike) -> None:
    """Copies what a finished run left to the results; its record last, which says that all is there."""
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
    """float32 `[N, 2]`: a step, and the mean norm of the gradient over the steps since the pair before."""
    lines = [line for line in read_metrics(workdir / METRICS_FILE) if "gradient_norm" in line]
    path = results / GRADIENT_NORMS / run.paper / f"{run.experiment}-seed{run.seed}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.array([(line["step"], line["gradient_norm"]) for line in lines], np.float32).reshape([-1, 2]))


def not_finite(errors: str) -> str | None:
    """The line in which a run says that it diverged, or None if it ended for another reason."""
    found = _NOT_FINITE.search(errors)
    return found.group(0) if found else None


def diverged_path(run: ArmRun, results: str | os.PathLike) -> pathlib.Path:
    """The file that says that a run diverged."""
    return pathlib.Path(results) / DIVERGED / run.paper / f"{run.experiment}-seed{run.seed}.json"


def has_diverged(run: ArmRun, results: str | os.PathLike) -> bool:
    """Whether a run is among the results as diverged; it is not begun again."""
    return diverged_path(run, results).exists()


def keep_diverged(
    run: ArmRun, message: str, learning_rate: float, commit: str | None, results: str | os.PathLike
) -> None:
    """Records that a run diverged.

    Args:
      run: `ArmRun`.
      message: What the run said.
      learning_rate: Its peak.
      commit: Of the code.
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


def forget_workdir(workdir: str | os.PathLike) -> None:
    """Removes what only a run that goes on needs: the checkpoints."""
    shutil.rmtree(pathlib.Path(workdir) / "checkpoints", ignore_errors=True)
