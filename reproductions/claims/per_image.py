"""Bits/dim of every test image of every arm: what verdicts are made of, kept with the results."""

import pathlib

import numpy as np

DIRECTORY = pathlib.Path("claims") / "per_image"


def path_of(arm, results):
    """Where an arm's values lie below the results directory."""
    return pathlib.Path(results) / DIRECTORY / arm.paper / f"{arm.experiment}-seed{arm.seed}.npy"


def keep(arm, run_file, results):
    """Copies what a run left, float64 `[N]`, as float32."""
    path = path_of(arm, results)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.load(run_file).astype(np.float32))


def load(arm, results):
    """Bits/dim `[N]`, float64.

    Raises:
      FileNotFoundError: if the arm has not been run.
    """
    path = path_of(arm, results)
    if not path.exists():
        raise FileNotFoundError(f"No {path}: run reproductions/claims/run.py first.")
    return np.load(path).astype(np.float64)
