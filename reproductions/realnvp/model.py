"""Builds RealNVP from an experiment, as a flat list that reads like section 3.6 of the paper."""

import dataclasses
from collections.abc import Callable, Sequence

import keras
import tensorflow_probability as tfp

from reproductions.experiment import check_sides
from reproductions.realnvp.experiments import RealNVPExperiment
from tfflows.bijectors import (
    AffineCoupling,
    BatchNorm,
    Chain,
    CheckerboardAffineCoupling,
    Level,
    Logit,
    MultiScale,
    Squeeze,
    Unsqueeze,
)
from tfflows.distributions.penalized_flow import PenalizedFlow
from tfflows.math.random import derive_seed
from tfflows.networks import ResidualConditioner, learned_norms
from tfflows.training.optimizers import Adam

tfd = tfp.distributions

# What conditions in consecutive couplings; the other colour, or the other half, is transformed.
_COLOURS = ("even", "odd", "even")
_HALVES = ("first", "second", "first")
_OTHER = {"even": "odd", "odd": "even", "first": "second", "second": "first"}


def build(experiment: RealNVPExperiment, image_shape: Sequence[int], num_classes: int, seed: int) -> PenalizedFlow:
    """Builds the model of an experiment, over uint8 images.

    Args:
      experiment: The experiment.
      image_shape: Shape `[H, W, C]` of the images.
      num_classes: Unused, because no model is conditional.
      seed: Seed of the initial parameters.

    Returns:
      The model. Its loss is in nats per image, and the optimizer clips the gradient of that loss.

    Raises:
      ValueError: If the image cannot be halved often enough.
    """
    del num_classes
    check_sides(image_shape, experiment.levels - 1, "--set levels=N")
    flow = flow_distribution(experiment, image_shape, seed)
    # Of the couplings' learned scales only those of the checkerboard are penalized.
    scales = [
        step.bijectors[0].rescaling
        for level in flow.bijector.levels
        for step in level.flow.bijectors
        if isinstance(step, Chain) and isinstance(step.bijectors[0], CheckerboardAffineCoupling)
    ]
    penalized = [*learned_norms(flow), *scales]
    return PenalizedFlow(flow, experiment.num_bits, penalized, experiment.scale_penalty)


def flow_distribution(
    experiment: RealNVPExperiment, image_shape: Sequence[int], seed: int
) -> tfd.TransformedDistribution:
    """Builds the density of dequantized images, a transformed standard normal vector."""
    height, width, channels = image_shape
    levels, last = [], experiment.levels - 1
    for index in range(experiment.levels):
        shape, hidden = [height, width, channels], experiment.width * 2**index
        colours = _COLOURS if index < last else (*_COLOURS, "odd")
        layers = [
            checkerboard_step(experiment, shape, hidden, colour, derive_seed(seed, "scale", index, "checkerboard", i))
            for i, colour in enumerate(colours)
        ]
        if index < last:
            height, width = height // 2, width // 2
            shape = [height, width, 4 * channels]
            steps = [
                channel_step(experiment, shape, 2 * hidden, half, derive_seed(seed, "scale", index, "channel", i))
                for i, half in enumerate(_HALVES)
            ]
            # The pixels where row + column is even go on; the others are factored out.
            layers += [Squeeze(), *steps, Unsqueeze(), Squeeze(order="even_first")]
            channels *= 2
        start = [Logit(margin=experiment.margin)] if index == 0 else []
        levels.append(Level(Chain([*start, *layers])))
    bijector = MultiScale(levels, image_shape, name="realnvp")
    base = tfd.Sample(tfd.Normal(0.0, 1.0), sample_shape=[bijector.num_dimensions])
    return tfd.TransformedDistribution(base, bijector, name="realnvp")


def checkerboard_step(experiment: RealNVPExperiment, shape: Sequence[int], width: int, colour: str, seed: int) -> Chain:
    """Builds a coupling between the colours of the checkerboard and its batch norm (sections 3.4 and 3.7).

    Args:
      experiment: The experiment.
      shape: Shape `[H, W, C]` of what it transforms.
      width: Hidden channels of its network.
      colour: The colour that conditions.
      seed: Seed of the initial parameters.
    """
    channels = shape[-1]
    network = ResidualConditioner(
        width, 2 * channels, experiment.num_blocks, colour, seed=seed, dtype=experiment.precision
    )
    network.build([None, *shape])
    coupling = CheckerboardAffineCoupling(network, conditioning_colour=colour)
    return Chain([coupling, BatchNorm(channels, part=_OTHER[colour])], name="checkerboard_step")


def channel_step(experiment: RealNVPExperiment, shape: Sequence[int], width: int, half: str, seed: int) -> Chain:
    """Builds a coupling between halves of the channels and its batch norm.

    Args:
      experiment: The experiment.
      shape: Shape `[H, W, C]` of what it transforms.
      width: Hidden channels of its network.
      half: The half that conditions.
      seed: Seed of the initial parameters.
    """
    *sides, channels = shape
    network = ResidualConditioner(width, channels, experiment.num_blocks, seed=seed, dtype=experiment.precision)
    network.build([None, *sides, channels // 2])
    coupling = AffineCoupling(
        network,
        scale="rescaled_tanh",
        order="shift_then_scale",
        parameter_order="contiguous",
        conditioning_half=half,
    )
    return Chain([coupling, BatchNorm(channels, part=_OTHER[half])], name="channel_step")


def extend_count(experiment: RealNVPExperiment, count: Callable[[RealNVPExperiment], int]) -> int:
    """Extrapolates the number of parameters from models with one and two residual blocks, because all blocks are alike.

    Args:
      experiment: The experiment.
      count: Function that counts the parameters of an experiment's built model.
    """
    one, two = (count(dataclasses.replace(experiment, num_blocks=number)) for number in (1, 2))
    return one + (experiment.num_blocks - 1) * (two - one)


def optimizer(
    experiment: RealNVPExperiment, learning_rate: float | keras.optimizers.schedules.LearningRateSchedule
) -> keras.optimizers.Optimizer:
    """Builds the optimizer of an experiment: Adam on gradients of a bounded norm."""
    return Adam(
        learning_rate,
        beta_1=experiment.beta_1,
        beta_2=experiment.beta_2,
        epsilon=1e-8,
        global_clipnorm=experiment.clip_norm,
    )
