"""The one recipe of the claims study: what all of its arms are trained with, whatever the paper.

CIFAR-10 averaged over 2x2 blocks, 4,000 steps of 32 images in one order, no augmentation, no dropout, no averages of
parameters; linear warm-up over the first tenth, a constant rate, linear decay to 0 over the last third. The peak is chosen
for each paper, see `rates`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reproductions.experiment import Experiment

NUM_STEPS = 4000
# Fixed before any run.
SEEDS = (0, 1, 2)

PREFIX = "study_"


def learning_rate_shape(num_steps: int) -> dict[str, int]:
    """Fields of the schedule of a run of `num_steps`: warm-up over a tenth of them, decay over the last third."""
    return {"num_steps": num_steps, "warmup_steps": num_steps // 10, "cooldown_steps": round(num_steps / 3)}


RECIPE = {
    "dataset": "cifar10_16",
    "image_size": 16,
    "conditional": False,
    "augmentation": "none",
    "batch_size": 32,
    "init_batch_size": 256,
    "train_images": 0,
    "holdout": 0,
    "ema_decay": 0.0,
    "precision": "float32",
    "tf32": False,
    "scale": "claims",
    **learning_rate_shape(NUM_STEPS),
}
# How a run is watched: not part of what it computes.
WATCHED = {"evaluation_batch_size": 250, "evaluate_every": 1000, "note": "claims study"}

# The gap between test and training images: of few images and many epochs.
GAP = {"train_images": 2000, "evaluate_train": True}

# Tried for each paper alike, on images held out of the training set, in shorter runs of the same shape.
CANDIDATE_RATES = (0.001, 0.002, 0.004)
TRIAL = {**learning_rate_shape(2000), "holdout": 5000, "evaluate_every": 0, "note": "claims study: choice of the rate"}

# Another recipe: a constant rate, so that one run shows every length, and averages evaluated in the place of parameters.
TREND_STEPS = 20_000
TREND_SEEDS = (0, 1)
TREND = {
    "num_steps": TREND_STEPS,
    "warmup_steps": NUM_STEPS // 10,
    "cooldown_steps": 0,
    "ema_decay": 0.99,
    "evaluate_every": 600,
    "note": "claims study: trend, constant rate, averages",
}


def trial_name(rate: float) -> str:
    """Name of the experiment that tries a peak rate."""
    return f"{PREFIX}rate_{rate:g}"


def trend_name(arm: str) -> str:
    """Name of the long run of an arm."""
    return f"{PREFIX}trend_{arm}"


def study_experiments(
    make: Callable[..., Experiment], arms: Mapping[str, Mapping[str, Any]], tried: str, trends: Sequence[str] = ()
) -> dict[str, Experiment]:
    """The experiments of a paper in the study.

    Args:
      make: `(name, **fields) -> Experiment`, the fields those of the recipe and of the arm.
      arms: `{arm: fields}`.
      tried: Name of the arm that the rates are tried on.
      trends: Names of the arms that have a long run too.

    Returns:
      `{name: Experiment}`: each arm's, the trials', the long runs'.
    """
    common = {**RECIPE, **WATCHED}
    experiments = [make(f"{PREFIX}{arm}", **{**common, **fields}) for arm, fields in arms.items()]
    experiments += [
        make(trial_name(rate), **{**common, **arms[tried], **TRIAL, "learning_rate": rate}) for rate in CANDIDATE_RATES
    ]
    experiments += [make(trend_name(arm), **{**common, **arms[arm], **TREND}) for arm in trends]
    return {experiment.name: experiment for experiment in experiments}
