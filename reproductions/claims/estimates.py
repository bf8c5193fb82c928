"""Estimates of how long the runs of the queue take, from the finished ones."""

from collections.abc import Sequence

import numpy as np

from reproductions.claims.arms import ArmRun
from reproductions.claims.sizes import study
from reproductions.reporting.records import Record

# Seconds per step on two idle cores, for papers without a finished run.
SECONDS_A_STEP = {"glow": 0.085, "flowpp": 0.15, "macow": 0.1, "vflow": 0.2, "agave": 0.1, "realnvp": 0.1}
# Start-up and evaluations take time in addition to the steps.
_OVERHEAD = 1.25


def seconds_a_step(run: ArmRun, records: Sequence[Record]) -> float:
    """Returns the mean seconds per step over the finished runs of the same experiment, or of the paper if there are none."""
    own = [record for record in records if record.paper == run.paper]
    same = [record for record in own if record.experiment == run.experiment] or own
    if not same:
        return SECONDS_A_STEP[run.paper]
    return float(np.mean([3600 * record.hours / record.steps for record in same]))


def hours_of(run: ArmRun, records: Sequence[Record], step: int = 0) -> float:
    """Returns the estimated hours that a run takes from `step` on."""
    steps = study(run.paper)[run.experiment].num_steps - step
    return _OVERHEAD * steps * seconds_a_step(run, records) / 3600
