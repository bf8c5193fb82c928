"""Flows of the papers over more channels than those of the image."""

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
    """The `AugmentedFlow` that an experiment asks for; the flow itself where it has no `augment_channels`.

    Args:
      flow: `tfd.TransformedDistribution` over `[H, W, C + augment_channels]`.
      experiment: `AugmentedExperiment`.
      image_shape: Integers `[H, W, C]`.
      seed: Python `int` of the initial parameters of q.
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
