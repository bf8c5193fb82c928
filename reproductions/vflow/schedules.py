"""The learning-rate schedules of the released VFlow code, as data; those of ImageNet are the same as in Flow++.

Every schedule begins at exactly 0. Where a decay continues "until at most 3e-4", the rate stays at the first value that is.
"""

import keras

from reproductions.flowpp import schedules as flowpp
from reproductions.vflow.experiments import VFlowExperiment
from tfflows.training.schedules import Constant, GeometricDecay, Linear

SCHEDULES = {
    "cifar10": (
        Linear(2_000, 0.0, 1.2e-3),
        Constant(50_000, 1.2e-3),
        GeometricDecay(None, 1.2e-3, 0.99999, floor=3e-4),
    ),
    "imagenet32": flowpp.SCHEDULES["imagenet32"],
    "imagenet64": flowpp.SCHEDULES["imagenet64"],
}


def build_schedule(experiment: VFlowExperiment) -> keras.optimizers.schedules.LearningRateSchedule:
    """Builds the schedule of an experiment like `flowpp.schedules.build_schedule`, from the schedules of this module."""
    return flowpp.build_schedule(experiment, SCHEDULES)
