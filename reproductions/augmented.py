"""Flows of the papers over more channels than the image has."""

from collections.abc import Sequence

import tensorflow_probability as tfp

from reproductions.experiment import AugmentedExperiment
from tfflows.distributions.augmented_flow import AugmentedFlow
from tfflows.distributions.make_augmenter import make_augmenter
from tfflows.math.random import derive_seed

tfd = tfp.distributions


def with_augmenter(
    flow: tfd.TransformedDistribution, experiment: AugmentedExperiment, image_shape: Sequence[int], seed: int
) -> tfd.TransformedDistribution | AugmentedFlow:
    """Returns the `AugmentedFlow` of an experiment, or the flow itself if `augment_channels` is 0.

    Args:
      flow: Distribution with event shape `[H, W, C + augment_channels]`.
      experiment: The experiment.
      image_shape: Shape `[H, W, C]` of the image.
      seed: Seed of the initial parameters of q.
    """
    if not experiment.augment_channels:
        return flow
    augmenter = make_augmenter(
        experiment.augmenter,
        image_shape,
        experiment.augment_channels,
        experiment.augmenter_width,
        experiment.augmenter_steps,
        derive_seed(seed, "augmenter"),
        experiment.precision,
    )
    return AugmentedFlow(flow, augmenter)
