"""Bits/dim of every image of every arm, from which verdicts are computed; kept with the results."""

import os
import pathlib

import numpy as np

from reproductions.claims.arms import ArmRun

DIRECTORY = pathlib.Path("claims") / "per_image"


# End of the file's name for test images, and for training images if a run evaluated them.
TEST, TRAIN = "", "-train"


def path_of(arm: ArmRun, results: str | os.PathLike, split: str = TEST) -> pathlib.Path:
    """Returns the path of the values of an arm."""
    return pathlib.Path(results) / DIRECTORY / arm.paper / f"{arm.experiment}-seed{arm.seed}{split}.npy"


def keep(arm: ArmRun, run_file: str | os.PathLike, results: str | os.PathLike, split: str = TEST) -> None:
    """Copies the values that a run wrote, float64 `[N]`, as float32."""
    path = path_of(arm, results, split)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.load(run_file).astype(np.float32))


def load(arm: ArmRun, results: str | os.PathLike, split: str = TEST) -> np.ndarray:
    """Reads the bits/dim of each image, float64 `[N]`.

    Raises:
      FileNotFoundError: If the arm has not been run.
    """
    path = path_of(arm, results, split)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; run reproductions/claims/run.py first.")
    return np.load(path).astype(np.float64)
