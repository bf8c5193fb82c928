"""Bits/dim of every image of every arm: what verdicts are made of, kept with the results."""

import os
import pathlib

import numpy as np

from reproductions.claims.arms import ArmRun

DIRECTORY = pathlib.Path("claims") / "per_image"


# Of test images, and of the images that were trained on where a run measured them: the end of the file's name.
TEST, TRAIN = "", "-train"


def path_of(arm: ArmRun, results: str | os.PathLike, split: str = TEST) -> pathlib.Path:
    """Where an arm's values lie below the results directory."""
    return pathlib.Path(results) / DIRECTORY / arm.paper / f"{arm.experiment}-seed{arm.seed}{split}.npy"


def keep(arm: ArmRun, run_file: str | os.PathLike, results: str | os.PathLike, split: str = TEST) -> None:
    """Copies what a run left, float64 `[N]`, as float32."""
    path = path_of(arm, results, split)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.load(run_file).astype(np.float32))


def load(arm: ArmRun, results: str | os.PathLike, split: str = TEST) -> np.ndarray:
    """Bits/dim `[N]`, float64.

    Raises:
      FileNotFoundError: If the arm has not been run.
    """
    path = path_of(arm, results, split)
    if not path.exists():
        raise FileNotFoundError(f"No {path}: run reproductions/claims/run.py first.")
    return np.load(path).astype(np.float64)
