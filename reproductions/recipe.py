"""The recipe of the claims study: how all of its arms are trained, whatever the paper.

The data are CIFAR-10 averaged over 2x2 blocks. Training takes 4,000 steps of 32 images in the same order for every arm, without
augmentation, dropout or moving averages of the parameters. The learning rate warms up linearly over the first tenth, stays
constant, and decays linearly to 0 over the last third. Its peak is chosen per paper, see `rates`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reproductions.experiment import Experiment

NUM_STEPS = 4000
# Fixed before the first run.
SEEDS = (0, 1, 2)

PREFIX = "study_"


def learning_rate_shape(num_steps: int) -> dict[str, int]:
    """Returns the schedule fields of a run of `num_steps` steps: warm-up over the first tenth, decay over the last third.

    Example:
      >>> from reproductions.recipe import learning_rate_shape
      >>> learning_rate_shape(3000)
      {'num_steps': 3000, 'warmup_steps': 300, 'cooldown_steps': 1000}
    """
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
# How a run is monitored; this does not change the result.
WATCHED = {"evaluation_batch_size": 250, "evaluate_every": 1000, "note": "claims study"}

# The gap between test and training images shows with few images and many epochs.
GAP = {"train_images": 2000, "evaluate_train": True}

# The same candidates are tried for each paper, on held-out training images, in shorter runs of the same shape.
CANDIDATE_RATES = (0.001, 0.002, 0.004)
TRIAL = {**learning_rate_shape(2000), "holdout": 5000, "evaluate_every": 0, "note": "claims study: choice of the rate"}

# A different recipe: a constant rate, so that one run shows every length, and moving averages evaluated in place of parameters.
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
    """Returns the name of the experiment that tries a peak learning rate."""
    return f"{PREFIX}rate_{rate:g}"


def trend_name(arm: str) -> str:
    """Returns the name of the long run of an arm."""
    return f"{PREFIX}trend_{arm}"


def study_experiments(
    make: Callable[..., Experiment], arms: Mapping[str, Mapping[str, Any]], tried: str, trends: Sequence[str] = ()
) -> dict[str, Experiment]:
    """Returns the experiments of a paper in the study.

    Args:
      make: Function `(name, **fields) -> Experiment`; the fields are those of the recipe and of the arm.
      arms: Fields of each arm, `{arm: fields}`.
      tried: Name of the arm on which the learning rates are tried.
      trends: Names of the arms that also have a long run.

    Returns:
      Experiments by name: those of the arms, of the trials and of the long runs.
    """
    common = {**RECIPE, **WATCHED}
    experiments = [make(f"{PREFIX}{arm}", **{**common, **fields}) for arm, fields in arms.items()]
    experiments += [
        make(trial_name(rate), **{**common, **arms[tried], **TRIAL, "learning_rate": rate}) for rate in CANDIDATE_RATES
    ]
    experiments += [make(trend_name(arm), **{**common, **arms[arm], **TREND}) for arm in trends]
    return {experiment.name: experiment for experiment in experiments}
