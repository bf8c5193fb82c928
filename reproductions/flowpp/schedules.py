"""The learning-rate schedules of the released Flow++ code, as data, named after its training scripts.

Every schedule begins at exactly 0. Where a decay continues "until at most 3e-4", the rate stays at the first value that is.

Deviation: in the released 64x64 scripts a boundary step (such as 10,000 or 50,000) belongs to no piece and gives NaN, and the
last ramp of `imagenet64` runs from -1e-6 to 0. Here a boundary belongs to the piece that begins at it, and the ramp runs from 0
to 1e-6, as in the released VFlow code (Chen et al. 2020), which is derived from it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from reproductions.flowpp.experiments import FlowPPExperiment
from tfflows.training.schedules import Constant, GeometricDecay, Linear, LinearWarmup, Piecewise

SCHEDULES = {
    "cifar10": (Linear(2_000, 0.0, 3e-4), Constant(None, 3e-4)),
    # The last step of the warm-up is kept: 1e-3 itself is never reached.
    "imagenet32": (
        Linear(5_000, 0.0, 1e-3),
        Constant(50_000, 1e-3 * 4_999 / 5_000),
        GeometricDecay(None, 1e-3 * 4_999 / 5_000, 0.99995, floor=3e-4),
    ),
    "imagenet64": (
        Linear(10_000, 0.0, 4e-4),
        Constant(50_000, 4e-4),
        GeometricDecay(55_000, 4e-4, 0.99995),  # ends at 3.115e-4
        Constant(230_000, 3e-4),
        Linear(240_000, 0.0, 1e-5),
        Constant(280_000, 1e-5),
        Linear(290_000, 0.0, 1e-6),
        Constant(None, 1e-6),
    ),
    "imagenet64_5bit": (
        Linear(10_000, 0.0, 4e-4),
        Constant(50_000, 4e-4),
        GeometricDecay(50_576, 4e-4, 0.9995),  # until at most 3e-4
        Constant(110_000, 3e-4),
        Linear(130_000, 0.0, 1e-5),
        Constant(None, 1e-5),
    ),
    "celeba64": (
        Linear(20_000, 0.0, 4e-5),
        Constant(50_000, 4e-5),
        GeometricDecay(None, 4e-5, 0.9995, floor=1e-5),
    ),
    "celeba128": (Linear(50_000, 0.0, 1e-5), Constant(None, 1e-5)),
}


def build_schedule(
    experiment: FlowPPExperiment, schedules: Mapping[str, Sequence[Any]] = SCHEDULES
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Builds the schedule named by `experiment.schedule`, or a warm-up to `learning_rate` over `warmup_steps` if it is empty.

    Args:
      experiment: The experiment.
      schedules: Pieces of each schedule, by name.

    Raises:
      ValueError: If the name is unknown. The message lists the valid names.
    """
    if not experiment.schedule:
        return LinearWarmup(experiment.learning_rate, experiment.warmup_steps)
    if experiment.schedule not in schedules:
        raise ValueError(
            f"Unknown schedule {experiment.schedule!r}; the valid ones are {', '.join(schedules)}, or '' for "
            "learning_rate and warmup_steps."
        )
    return Piecewise(schedules[experiment.schedule])
