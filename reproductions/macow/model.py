"""MaCow from an experiment: a flat list that reads like figure 2 of the paper."""

import dataclasses
from collections.abc import Sequence

import keras
import tensorflow_probability as tfp

from reproductions.augmented import with_augmenter
from reproductions.experiment import LearningRate
from reproductions.macow.experiments import LevelSizes, MaCowExperiment
from tfflows.bijectors import (
    ActNorm,
    AdditiveCoupling,
    AffineCoupling,
    Chain,
    InvertibleConv,
    MaskedConv,
    OnFirstChannels,
    Squeeze,
    Unsqueeze,
)
from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.distributions.dequantizers import UniformDequantizer, VariationalDequantizer
from tfflows.math.masked_convolution import MASKED, SHIFTED
from tfflows.math.random import derive_seed
from tfflows.networks import EluCouplingNetwork, MaskedNetwork, ResidualContextNetwork
from tfflows.training.optimizers import Adam

tfb, tfd = tfp.bijectors, tfp.distributions


def build(experiment: MaCowExperiment, image_shape: Sequence[int], num_classes: int, seed: int) -> DequantizedFlow:
    """The model of an experiment, over uint8 images.

    Args:
      experiment: `MaCowExperiment`.
      image_shape: Integers `[H, W, C]`.
      num_classes: Not used: no model of the paper is conditional.
      seed: Python `int` of the initial parameters.

    Returns:
      `DequantizedFlow`; its loss is in nats an image, as the released code's; its latents have the shape of the image.

    Raises:
      ValueError: If the experiment is conditional, or the image cannot be halved or cut as its levels ask.
    """
    del num_classes
    if experiment.conditional:
        raise ValueError(f"{experiment.name} is conditional, but no MaCow is.")
    joint = flow_distribution(experiment, experiment.augmented_shape(image_shape), derive_seed(seed, "flow"))
    return DequantizedFlow(
        with_augmenter(joint, experiment, image_shape, seed),
        experiment.num_bits,
        dequantizer(experiment, image_shape, derive_seed(seed, "dequantizer")),
        loss_unit="nats",
        noise_at_init=False,
    )


def flow_distribution(
    experiment: MaCowExperiment, image_shape: Sequence[int], seed: int
) -> tfd.TransformedDistribution:
    """The density over dequantized images: `tfd.TransformedDistribution` of a standard normal image."""
    layers = flow(_Flow.main(experiment), experiment.levels, image_shape, seed)
    # Images lie in [-1, 1) here.
    bijector = Chain([tfb.Scale(0.5, name="doubling"), *layers], name="macow")
    base = tfd.Sample(tfd.Normal(0.0, 1.0), sample_shape=image_shape)
    return tfd.TransformedDistribution(base, bijector, name="macow")


def dequantizer(
    experiment: MaCowExperiment, image_shape: Sequence[int], seed: int
) -> UniformDequantizer | VariationalDequantizer:
    """Uniform, or a conditional MaCow on noise that ends in a sigmoid (section 3.3)."""
    if experiment.dequantization == "uniform":
        return UniformDequantizer()
    context = ResidualContextNetwork(
        experiment.context_planes,
        experiment.context_filters,
        input_scale=2.0,
        seed=derive_seed(seed, "context"),
        dtype=experiment.precision,
    )
    context.build([None, *image_shape])
    layers = flow(_Flow.dequantizer(experiment), experiment.dequantization_levels, image_shape, seed)
    sigmoid = tfb.Invert(tfb.Sigmoid(), name="sigmoid")
    return VariationalDequantizer(Chain([*layers, sigmoid], name="dequantizer"), context, pattern=None)


@dataclasses.dataclass(frozen=True)
class _Flow:
    """What the flow and the dequantizer differ in."""

    variant: str
    kernel_size: tuple[int, int]
    affine: bool
    affine_prior: bool
    context_filters: int
    precision: str

    @classmethod
    def main(cls, experiment):
        return cls(
            experiment.variant,
            (experiment.kernel_height, experiment.kernel_width),
            experiment.coupling == "affine",
            experiment.prior_coupling == "affine",
            0,
            experiment.precision,
        )

    @classmethod
    def dequantizer(cls, experiment):
        kernel_size = (3, 3) if experiment.variant == "paper" else (2, 3)
        return cls(experiment.variant, kernel_size, True, True, experiment.context_filters, experiment.precision)

    def squeezed(self):
        """As seen after a squeeze, of the context too."""
        return dataclasses.replace(self, context_filters=4 * self.context_filters)


def unit_form(experiment: MaCowExperiment) -> _Flow:
    """What the units of an experiment's flow have in common: kernels, coupling, precision."""
    return _Flow.main(experiment)


def flow(form: _Flow, levels: Sequence[LevelSizes], image_shape: Sequence[int], seed: int) -> list[tfb.Bijector]:
    """The bijectors of a multi-scale MaCow, data to latent, which keeps the shape of the image (section 3.2)."""
    height, width, channels = image_shape
    if channels < 2:
        raise ValueError(
            f"The first level's couplings split the channels of the image itself: it needs 2, got {channels}."
        )
    if any(side % 2 ** (len(levels) - 1) for side in (height, width)):
        raise ValueError(
            f"{len(levels)} levels halve the sides {len(levels) - 1} times; an image of {height}x{width} does not allow it: give "
            f"an image_size with more factors of 2."
        )
    first = _steps(form, levels[0], 0, channels, derive_seed(seed, "level", 0))
    return [*first, *_level(form.squeezed(), levels, 1, 4 * channels, seed)]


def _level(form, levels, index, channels, seed):
    """Squeeze, steps, and what leaves in between; the rest goes on to the next level; undo the squeeze."""
    own_seed = derive_seed(seed, "level", index)
    if index == len(levels) - 1:
        inner = _steps(form, levels[index], 0, channels, own_seed)
    else:
        inner = _parts(form, levels, index, 0, channels, seed)
    return [Squeeze(order="position_first"), *inner, Unsqueeze(order="position_first")]


def _parts(form, levels, index, part, channels, seed):
    """The steps of a level's parts from number `part` on."""
    level = levels[index]
    own_seed = derive_seed(seed, "level", index)
    if part == len(level.steps):
        return _level(form.squeezed(), levels, index + 1, 4 * channels, seed)
    # Each part that leaves is as large as the first one.
    factor = level.factor - part
    if channels % factor:
        raise ValueError(f"Level {index} cannot cut its channels in {level.factor} parts: {channels} are left.")
    kept = channels - channels // factor
    rest = Chain(_parts(form, levels, index, part + 1, kept, seed), name=f"level{index}_part{part + 1}")
    return [
        *_steps(form, level, part, channels, own_seed),
        prior(form, channels, factor, level.width, derive_seed(own_seed, "prior", part)),
        OnFirstChannels(kept, rest),
    ]


def _steps(form, level, part, channels, seed):
    return [
        flow_step(form, channels, level.width, derive_seed(seed, "part", part, "step", step))
        for step in range(level.steps[part])
    ]


def flow_step(form: _Flow, channels: int, width: int, seed: int) -> Chain:
    """Units of masked convolutions, then a step of Glow (section 3.1)."""
    if form.variant == "paper":
        units = [("A", "B")] * 4
    else:
        units = [("A", "B"), ("C", "D")] * 2
    layers = [
        layer
        for number, orders in enumerate(units)
        for layer in unit(form, channels, orders, derive_seed(seed, number))
    ]
    layers += [
        actnorm(channels),
        InvertibleConv(channels, derive_seed(seed, "mixing")),
        coupling(form, channels, 2, width, form.affine, derive_seed(seed, "coupling")),
    ]
    return Chain(layers, name="step")


def unit(form: _Flow, channels: int, orders: Sequence[str], seed: int) -> list[tfb.Bijector]:
    """Actnorm, then a masked convolution in each of the orders."""
    return [actnorm(channels), *(masked_conv(form, channels, order, derive_seed(seed, order)) for order in orders)]


def actnorm(channels: int) -> ActNorm:
    """Of each channel, log-scale and shift."""
    return ActNorm([channels], form="exp_scale_then_shift")


def masked_conv(form: _Flow, channels: int, order: str, seed: int) -> MaskedConv:
    """A masked convolution; across the lines of an order its kernel has the height, along them the width."""
    network = MaskedNetwork(
        2 * channels if form.affine else channels,
        form.kernel_size if order in "AB" else form.kernel_size[::-1],
        MASKED if form.variant == "paper" else SHIFTED,
        order,
        context_filters=form.context_filters,
        seed=seed,
        dtype=form.precision,
    )
    network.build([None, None, None, channels])
    return MaskedConv(network, form.affine, conditional=form.context_filters > 0)


def coupling(
    form: _Flow, channels: int, factor: int, width: int, affine: bool, seed: int
) -> AdditiveCoupling | AffineCoupling:
    """The last of `factor` parts of the channels is transformed given the others."""
    transformed = channels // factor
    network = EluCouplingNetwork(
        width, 2 * transformed if affine else transformed, form.context_filters, seed=seed, dtype=form.precision
    )
    network.build([None, None, None, channels - transformed])
    options = {"transformed_channels": transformed, "conditional": form.context_filters > 0}
    if not affine:
        return AdditiveCoupling(network, **options)
    return AffineCoupling(network, order="scale_then_shift", parameter_order="contiguous", **options)


def prior(form: _Flow, channels: int, factor: int, width: int, seed: int) -> Chain:
    """What whitens the part that leaves given those that stay: its scale and shift, a coupling."""
    last = coupling(form, channels, factor, width, form.affine_prior, derive_seed(seed, "coupling"))
    if form.variant == "paper":
        return Chain([last], name="prior")
    mixing = InvertibleConv(channels, derive_seed(seed, "mixing"))
    return Chain([actnorm(channels), mixing, last], name="prior")


def optimizer(experiment: MaCowExperiment, learning_rate: LearningRate) -> keras.optimizers.Optimizer:
    """Adam (released code)."""
    return Adam(learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8)
