"""MaCow's learning rate: a linear warm-up, then a constant factor per step, down to 1e-5."""

import keras

from reproductions.macow.experiments import MaCowExperiment
from tfflows.training.schedules import Constant, GeometricDecay, Linear, Piecewise

# Where the released code stops.
LEAST = 1e-5


def build_schedule(experiment: MaCowExperiment) -> keras.optimizers.schedules.LearningRateSchedule:
    """Builds the learning rate of an experiment as a function of the step 0, 1, ...

    The rate of update k = 1, 2, ... is `peak * k / warmup_steps` up to k = warmup_steps, then
    `peak * decay**(k - warmup_steps)`.

    Args:
      experiment: The experiment.
    """
    peak, warmup = experiment.learning_rate, experiment.warmup_steps
    pieces = []
    if warmup > 1:
        pieces.append(Linear(warmup - 1, peak / warmup, peak))
    if experiment.decay < 1:
        pieces.append(GeometricDecay(None, peak, experiment.decay, min(LEAST, peak / 2)))
    else:
        pieces.append(Constant(None, peak))
    return Piecewise(pieces)
