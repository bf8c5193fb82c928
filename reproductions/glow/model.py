"""Builds Glow from an experiment, as a flat list that reads like figure 2 of the paper."""

import dataclasses
from collections.abc import Callable, Sequence

import keras
import tensorflow_probability as tfp

from reproductions.experiment import check_sides, with_augmenter
from reproductions.glow.experiments import GlowExperiment
from tfflows.bijectors import (
    ActNorm,
    AdditiveCoupling,
    AffineCoupling,
    Chain,
    GaussianPrior,
    InvertibleConv,
    InvertibleConvLU,
    Level,
    MultiScale,
    Permutation,
    Reverse,
    Squeeze,
)
from tfflows.distributions.classifying_flow import ClassifyingFlow
from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.math.random import derive_seed
from tfflows.networks import CouplingNetwork, TopPrior, ZeroConv2D
from tfflows.training.optimizers import Adam, GlowAdamax

tfb, tfd = tfp.bijectors, tfp.distributions


def build(experiment: GlowExperiment, image_shape: Sequence[int], num_classes: int, seed: int) -> DequantizedFlow:
    """Builds the model of an experiment, over uint8 images.

    Args:
      experiment: The experiment.
      image_shape: Shape `[H, W, C]` of the images.
      num_classes: Number of classes, for conditional experiments.
      seed: Seed of the initial parameters.

    Returns:
      The model, a `ClassifyingFlow` if the experiment also classifies the labels.

    Raises:
      ValueError: If the experiment is conditional and there are no classes, or the image cannot be halved often enough.
    """
    if experiment.conditional and num_classes < 1:
        raise ValueError(
            f"{experiment.name} is conditional and needs labels: num_classes must be positive, got {num_classes}."
        )
    check_sides(image_shape, experiment.levels, "--set levels=N")
    shape = experiment.augmented_shape(image_shape)
    flow = flow_distribution(experiment, shape, num_classes if experiment.conditional else 0, seed)
    if experiment.conditional and experiment.class_weight:
        return ClassifyingFlow(flow, experiment.num_bits, num_classes, experiment.class_weight)
    return DequantizedFlow(with_augmenter(flow, experiment, image_shape, seed), experiment.num_bits)


def flow_distribution(
    experiment: GlowExperiment, image_shape: Sequence[int], num_classes: int, seed: int
) -> tfd.TransformedDistribution:
    """Builds the density of dequantized images, a transformed standard normal vector."""
    height, width, channels = image_shape
    levels = []
    for index in range(experiment.levels):
        height, width, channels = height // 2, width // 2, 4 * channels
        steps = [
            flow_step(experiment, [height, width, channels], derive_seed(seed, "level", index, "step", step))
            for step in range(experiment.depth)
        ]
        if index < experiment.levels - 1:
            prior = split_prior(experiment, [height, width, channels])
            channels //= 2
        else:
            prior = top_prior(experiment, [height, width, channels], num_classes)
        levels.append(Level(Chain([Squeeze(), *steps]), prior))
    bijector = MultiScale(levels, image_shape, name="glow")
    base = tfd.Sample(tfd.Normal(0.0, 1.0), sample_shape=[bijector.num_dimensions])
    return tfd.TransformedDistribution(base, bijector, name="glow")


def flow_step(experiment: GlowExperiment, shape: Sequence[int], seed: int) -> Chain:
    """Builds a flow step: actnorm, channel mixing, coupling (section 3)."""
    return Chain(
        [
            ActNorm(shape[-1:], form=experiment.actnorm_form),
            channel_mixing(experiment, shape[-1], derive_seed(seed, "mixing")),
            coupling(experiment, shape, derive_seed(seed, "coupling")),
        ],
        name="step",
    )


def channel_mixing(experiment: GlowExperiment, channels: int, seed: int) -> tfb.Bijector:
    """Builds one of the permutations compared in figure 3."""
    if experiment.permutation == "reverse":
        return Reverse()
    if experiment.permutation == "shuffle":
        return Permutation.random(channels, seed)
    if experiment.permutation == "invertible":
        return InvertibleConv(channels, seed)
    return InvertibleConvLU(channels, seed, diagonal=_LU_DIAGONALS[experiment.permutation])


_LU_DIAGONALS = {"invertible_lu": "sign_log", "invertible_lu_paper": "direct"}


def coupling(experiment: GlowExperiment, shape: Sequence[int], seed: int) -> AdditiveCoupling | AffineCoupling:
    """Builds an additive or affine coupling with its network."""
    height, width, channels = shape
    affine = experiment.coupling == "affine"
    network = CouplingNetwork(
        experiment.width,
        channels if affine else channels // 2,
        padding=experiment.padding,
        deinterleave=affine,  # the released weights hold shift and scale in turn
        seed=seed,
        dtype=experiment.precision,
    )
    network.build([None, height, width, channels // 2])
    if not affine:
        return AdditiveCoupling(network, conditioning_half=experiment.conditioning_half)
    return AffineCoupling(
        network,
        scale=experiment.coupling_scale,
        order=experiment.coupling_order,
        parameter_order="contiguous",
        conditioning_half=experiment.conditioning_half,
    )


def split_prior(experiment: GlowExperiment, shape: Sequence[int]) -> GaussianPrior | None:
    """Builds the Gaussian of the half that is factored out between levels, given the half that is kept."""
    if experiment.split_prior == "standard":
        return None
    height, width, channels = shape
    network = ZeroConv2D(channels, padding=experiment.padding, deinterleave=True, dtype=experiment.precision)
    network.build([None, height, width, channels // 2])
    return GaussianPrior(network, parameter_order="contiguous", name="split_prior")


def top_prior(experiment: GlowExperiment, shape: Sequence[int], num_classes: int) -> GaussianPrior | None:
    """Builds the Gaussian of the last level, which depends on the label in conditional models."""
    learn = experiment.top_prior == "learned"
    if not learn and not num_classes:
        return None
    network = TopPrior(shape, learn=learn, num_classes=num_classes)
    network.build()
    return GaussianPrior(network, conditional=num_classes > 0, parameter_order="contiguous", name="top_prior")


def dead_parameters(experiment: GlowExperiment, image_shape: Sequence[int]) -> int:
    """Returns the number of top-prior weights whose inputs are always zero.

    It is `9 (2 n)^2` for n top channels; the released layout includes these weights.
    """
    if experiment.top_prior != "learned":
        return 0
    top_channels = experiment.augmented_shape(image_shape)[-1] * 4 * 2 ** (experiment.levels - 1)
    return 9 * (2 * top_channels) ** 2


def extend_count(experiment: GlowExperiment, count: Callable[[GlowExperiment], int]) -> int:
    """Extrapolates the number of parameters from models with one and two steps per level, because all steps are alike.

    Args:
      experiment: The experiment.
      count: Function that counts the parameters of an experiment's built model.
    """
    one, two = (count(dataclasses.replace(experiment, depth=depth)) for depth in (1, 2))
    return one + (experiment.depth - 1) * (two - one)


def optimizer(
    experiment: GlowExperiment, learning_rate: float | keras.optimizers.schedules.LearningRateSchedule
) -> keras.optimizers.Optimizer:
    """Builds the optimizer of an experiment: the released Adamax, or Adam as in the paper's appendix."""
    if experiment.optimizer == "adam":
        return Adam(learning_rate, beta_1=experiment.beta_1, beta_2=experiment.beta_2, epsilon=1e-8)
    return GlowAdamax(learning_rate, beta_1=experiment.beta_1, beta_2=experiment.beta_2)
