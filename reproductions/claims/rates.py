"""The peak learning rate of each paper: three are tried on held-out training images, and all arms use the best one."""

import datetime
import json
import math
import os
import pathlib
import shlex
import sys
from collections.abc import Collection, Mapping
from typing import Any

import tfflows
from reproductions.recipe import CANDIDATE_RATES, SEEDS, TRIAL, trial_name
from reproductions.reporting.provenance import git_commit
from reproductions.reporting.records import Record
from tfflows.files import atomic_write, read_json

FILE = pathlib.Path("claims") / "rates.json"
TRIAL_SEED = SEEDS[0]


def best_rate(tried: Mapping[float, float | None]) -> float:
    """Returns the rate with the lowest held-out bits/dim; the lowest such rate if there are several.

    Args:
      tried: Bits/dim by rate; None or not finite for a run that diverged.

    Raises:
      ValueError: If all of them diverged.
    """
    finite = {rate: bits for rate, bits in tried.items() if bits is not None and math.isfinite(bits)}
    if not finite:
        raise ValueError(f"No rate can be chosen: training diverged with each of {sorted(tried)}.")
    return min(finite, key=lambda rate: (finite[rate], rate))


def read_rates(results: str | os.PathLike) -> dict[str, dict[str, Any]]:
    """Returns `{paper: {learning_rate, tried, ...}}` of the papers whose rate has been chosen."""
    path = pathlib.Path(results) / FILE
    return read_json(path) if path.exists() else {}


def rate_of(paper: str, results: str | os.PathLike) -> float | None:
    """Returns the chosen rate of a paper, or None."""
    chosen = read_rates(results).get(paper)
    return None if chosen is None else chosen["learning_rate"]


def choose_rate(
    paper: str, records: Mapping[str, Record], diverged: Collection[str], results: str | os.PathLike
) -> float | None:
    """Chooses a paper's rate once all its trials have ended, and writes the choice; an earlier choice is kept.

    Args:
      paper: Name of the paper.
      records: Records of the trials that finished, by experiment.
      diverged: Names of the trials that diverged.
      results: The results directory.

    Returns:
      The rate; None while a trial is missing.

    Raises:
      ValueError: If all of them diverged.
    """
    chosen = rate_of(paper, results)
    if chosen is not None:
        return chosen
    names = {rate: trial_name(rate) for rate in CANDIDATE_RATES}
    if not all(name in records or name in diverged for name in names.values()):
        return None
    tried = {rate: records[name].validation["value"] if name in records else None for rate, name in names.items()}
    chosen = best_rate(tried)
    entry = {
        "learning_rate": chosen,
        "tried": [{"learning_rate": rate, "validation_bits_per_dim": bits} for rate, bits in tried.items()],
        "steps": TRIAL["num_steps"],
        "held_out_images": TRIAL["holdout"],
        "seed": TRIAL_SEED,
        "command": shlex.join([pathlib.Path(sys.executable).name, *sys.argv]),
        "commit": git_commit(pathlib.Path(tfflows.__file__).parent),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    path = pathlib.Path(results) / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, json.dumps({**read_rates(results), paper: entry}, indent=2, sort_keys=True) + "\n")
    return chosen
