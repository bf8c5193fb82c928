"""Closed forms for the number of parameters of a MaCow; the tests compare them with built models."""

import itertools
from collections.abc import Callable, Sequence

from reproductions.macow.experiments import LevelSizes, MaCowExperiment
from tfflows.networks.macow import default_width


def count_parameters(experiment: MaCowExperiment, count: Callable[[MaCowExperiment], int] | None = None) -> int:
    """Returns the number of trained parameters of an experiment, including the masked ones of the paper's kernels, which stay 0.

    Args:
      experiment: An experiment on images of three channels.
      count: Function that counts the parameters of an experiment's built model. It is used only for augmented experiments,
        because building a model of thousands of variables takes long.
    """
    if experiment.augment_channels:
        return count(experiment)
    form = (experiment.variant, experiment.kernel_height * experiment.kernel_width)
    affine, affine_prior = experiment.coupling == "affine", experiment.prior_coupling == "affine"
    total = flow(form, experiment.levels, affine, affine_prior, 0, experiment.bottom)
    if experiment.dequantization == "variational":
        own_form = (experiment.variant, 9 if experiment.variant == "paper" else 6)
        bottom = experiment.dequantization_bottom
        total += flow(own_form, experiment.dequantization_levels, True, True, experiment.context_filters, bottom)
        total += encoder(experiment.context_planes, experiment.context_filters, bottom)
    return total


def flow(
    form: tuple[str, int],
    levels: Sequence[LevelSizes],
    affine: bool,
    affine_prior: bool,
    context: int,
    bottom: bool = True,
) -> int:
    """Counts a flow on images of three channels.

    Args:
      form: Variant, and number of taps of a kernel.
      levels: Sizes of the levels.
      affine: Whether the couplings are affine.
      affine_prior: Whether the priors are affine.
      context: Channels of the context at full resolution.
      bottom: Whether the first level works on the unsqueezed image.
    """
    channels, total = 3, 0
    for number, level in enumerate(levels):
        if number or not bottom:
            channels, context = 4 * channels, 4 * context
        leaving = channels // level.factor
        for part, num_steps in enumerate(level.steps):
            total += num_steps * step(form, channels, level.width, affine, context)
            if level.factor > 1:
                total += prior(form[0], channels, level.factor - part, level.width, affine_prior, context)
                channels -= leaving
    return total


def step(form: tuple[str, int], channels: int, width: int, affine: bool, context: int) -> int:
    """Counts a flow step: eight masked convolutions and four actnorms, then a step of Glow."""
    units = 8 * masked_conv(form[1], channels, affine, context) + 4 * 2 * channels
    return units + 2 * channels + channels**2 + coupling(channels, 2, width, affine, context)


def masked_conv(taps: int, channels: int, affine: bool, context: int) -> int:
    """Counts the network of a masked convolution: masked, 1x1, and the 3x3 convolution of the context."""
    width, out = default_width(channels), channels * (2 if affine else 1)
    own = width * channels * taps + 2 * width + out * width + 2 * out
    return own + (9 * width * context + 2 * width if context else 0)


def coupling(channels: int, factor: int, width: int, affine: bool, context: int) -> int:
    """Counts a coupling that transforms the last of `factor` parts of the channels."""
    transformed = channels // factor
    out = transformed * (2 if affine else 1)
    return 9 * width * (channels - transformed + context) + width**2 + 9 * width * out + 4 * width + 2 * out


def prior(variant: str, channels: int, factor: int, width: int, affine: bool, context: int) -> int:
    """Counts a prior: a coupling, in the release after an actnorm and a 1x1 convolution."""
    before = 2 * channels + channels**2 if variant == "release" else 0
    return before + coupling(channels, factor, width, affine, context)


def encoder(planes: Sequence[int], filters: int, bottom: bool = True) -> int:
    """Counts the network that computes the context of a dequantizer."""

    def convolution(size, channels, out):
        return size * channels * out + 2 * out

    total = convolution(9, 3, planes[0])
    if bottom:
        total += 3 * convolution(9, planes[0], planes[0]) + convolution(1, 3, planes[0])
    for before, width in itertools.pairwise(planes):
        total += convolution(9, before, width) + 4 * convolution(9, width, width) + convolution(9, width, before)
    return total + convolution(1, planes[0], filters)
