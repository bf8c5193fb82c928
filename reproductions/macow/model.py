"""Builds MaCow from an experiment, as a flat list that reads like figure 2 of the paper, and its optimizer."""

import dataclasses
from collections.abc import Sequence

import keras
import tensorflow_probability as tfp

from reproductions.experiment import check_sides, with_augmenter
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
from tfflows.training.schedules import Constant, GeometricDecay, Linear, Piecewise

tfb, tfd = tfp.bijectors, tfp.distributions

# Where the released code stops.
MIN_LEARNING_RATE = 1e-5


def build(experiment: MaCowExperiment, image_shape: Sequence[int], num_classes: int, seed: int) -> DequantizedFlow:
    """Builds the model of an experiment, over uint8 images.

    Args:
      experiment: The experiment.
      image_shape: Shape `[H, W, C]` of the images.
      num_classes: Unused, because no model of the paper is conditional.
      seed: Seed of the initial parameters.

    Returns:
      The model. Its loss is in nats per image, as in the released code, and its latents have the shape of the image.

    Raises:
      ValueError: If the experiment is conditional, or the image cannot be halved or split as its levels ask.
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
    """Builds the density of dequantized images, a transformed standard normal image."""
    layers = flow(_Flow.main(experiment), experiment.levels, image_shape, seed)
    # Images lie in [-1, 1) here.
    bijector = Chain([tfb.Scale(0.5, name="doubling"), *layers], name="macow")
    base = tfd.Sample(tfd.Normal(0.0, 1.0), sample_shape=image_shape)
    return tfd.TransformedDistribution(base, bijector, name="macow")


def dequantizer(
    experiment: MaCowExperiment, image_shape: Sequence[int], seed: int
) -> UniformDequantizer | VariationalDequantizer:
    """Builds the dequantizer: uniform, or a conditional MaCow on noise that ends in a sigmoid (section 3.3)."""
    if experiment.dequantization == "uniform":
        return UniformDequantizer()
    context = ResidualContextNetwork(
        experiment.context_planes,
        experiment.context_filters,
        input_scale=2.0,
        bottom=experiment.dequantization_bottom,
        seed=derive_seed(seed, "context"),
        dtype=experiment.precision,
    )
    context.build([None, *image_shape])
    layers = flow(_Flow.dequantizer(experiment), experiment.dequantization_levels, image_shape, seed)
    sigmoid = tfb.Invert(tfb.Sigmoid(), name="sigmoid")
    return VariationalDequantizer(Chain([*layers, sigmoid], name="dequantizer"), context, pattern=None)


@dataclasses.dataclass(frozen=True)
class _Flow:
    """Settings in which the flow and the dequantizer differ."""

    variant: str
    kernel_size: tuple[int, int]
    affine: bool
    affine_prior: bool
    context_filters: int
    precision: str
    bottom: bool = True

    @classmethod
    def main(cls, experiment):
        return cls(
            experiment.variant,
            (experiment.kernel_height, experiment.kernel_width),
            experiment.coupling == "affine",
            experiment.prior_coupling == "affine",
            0,
            experiment.precision,
            experiment.bottom,
        )

    @classmethod
    def dequantizer(cls, experiment):
        kernel_size = (3, 3) if experiment.variant == "paper" else (2, 3)
        return cls(
            experiment.variant,
            kernel_size,
            True,
            True,
            experiment.context_filters,
            experiment.precision,
            experiment.dequantization_bottom,
        )

    def squeezed(self):
        """The settings after a squeeze, which also squeezes the context."""
        return dataclasses.replace(self, context_filters=4 * self.context_filters)


def unit_form(experiment: MaCowExperiment) -> _Flow:
    """Returns the settings shared by the units of an experiment's flow: kernels, coupling, precision."""
    return _Flow.main(experiment)


def flow(form: _Flow, levels: Sequence[LevelSizes], image_shape: Sequence[int], seed: int) -> list[tfb.Bijector]:
    """Builds the bijectors of a multi-scale MaCow, data to latent, which keep the shape of the image (section 3.2).

    Args:
      form: Settings shared by all units.
      levels: Sizes of the levels.
      image_shape: Shape `[H, W, C]` of the input.
      seed: Seed of the initial parameters.

    Raises:
      ValueError: If the image cannot be halved or split as the levels ask.
    """
    channels = image_shape[-1]
    num_squeezes = len(levels) - 1 if form.bottom else len(levels)
    check_sides(image_shape, num_squeezes, f"fewer levels than the {len(levels)} of --set steps, widths and factors")
    if not form.bottom:
        return _level(form.squeezed(), levels, 0, 4 * channels, seed)
    first = _steps(form, levels[0], 0, channels, derive_seed(seed, "level", 0))
    return [*first, *_level(form.squeezed(), levels, 1, 4 * channels, seed)]


def _level(form, levels, index, channels, seed):
    """A level: squeeze, steps with parts factored out in between, the next level on the rest, unsqueeze."""
    own_seed = derive_seed(seed, "level", index)
    if index == len(levels) - 1:
        inner = _steps(form, levels[index], 0, channels, own_seed)
    else:
        inner = _parts(form, levels, index, 0, channels, seed)
    return [Squeeze(order="position_first"), *inner, Unsqueeze(order="position_first")]


def _parts(form, levels, index, part, channels, seed):
    """The steps of a level from part number `part` on."""
    level = levels[index]
    own_seed = derive_seed(seed, "level", index)
    if part == len(level.steps):
        return _level(form.squeezed(), levels, index + 1, 4 * channels, seed)
    # All parts that are factored out have the same size.
    factor = level.factor - part
    if channels % factor:
        raise ValueError(
            f"Level {index} cannot split its channels into {level.factor} parts, because {channels} channels are left; "
            "give a factor that divides them."
        )
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
    """Builds a flow step: units of masked convolutions, then a step of Glow (section 3.1).

    The only channel of a gray image cannot be split, so on it the step of Glow has no coupling.
    """
    units = [("A", "B")] * 4 if form.variant == "paper" else [("A", "B"), ("C", "D")] * 2
    layers = [
        layer
        for number, orders in enumerate(units)
        for layer in unit(form, channels, orders, derive_seed(seed, number))
    ]
    layers += [actnorm(channels), InvertibleConv(channels, derive_seed(seed, "mixing"))]
    if channels > 1:
        layers.append(coupling(form, channels, 2, width, form.affine, derive_seed(seed, "coupling")))
    return Chain(layers, name="step")


def unit(form: _Flow, channels: int, orders: Sequence[str], seed: int) -> list[tfb.Bijector]:
    """Builds a unit: actnorm, then a masked convolution in each of the orders."""
    return [actnorm(channels), *(masked_conv(form, channels, order, derive_seed(seed, order)) for order in orders)]


def actnorm(channels: int) -> ActNorm:
    """Builds actnorm with a log-scale and a shift per channel."""
    return ActNorm([channels], form="exp_scale_then_shift")


def masked_conv(form: _Flow, channels: int, order: str, seed: int) -> MaskedConv:
    """Builds a masked convolution. The kernel's height is its size across the lines of the order, its width along them."""
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
    """Builds a coupling that transforms the last of `factor` parts of the channels given the others."""
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
    """Builds the prior of the part that is factored out given the others: a coupling that scales and shifts it."""
    last = coupling(form, channels, factor, width, form.affine_prior, derive_seed(seed, "coupling"))
    if form.variant == "paper":
        return Chain([last], name="prior")
    mixing = InvertibleConv(channels, derive_seed(seed, "mixing"))
    return Chain([actnorm(channels), mixing, last], name="prior")


def optimizer(
    experiment: MaCowExperiment, learning_rate: float | keras.optimizers.schedules.LearningRateSchedule
) -> keras.optimizers.Optimizer:
    """Builds the optimizer: Adam (released code)."""
    return Adam(learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8)


def build_schedule(experiment: MaCowExperiment) -> keras.optimizers.schedules.LearningRateSchedule:
    """Builds the learning rate of an experiment as a function of the step 0, 1, ...

    The rate of update k = 1, 2, ... is `peak * k / warmup_steps` up to k = warmup_steps, then
    `peak * decay**(k - warmup_steps)`, down to `MIN_LEARNING_RATE`.

    Args:
      experiment: The experiment.
    """
    peak, warmup = experiment.learning_rate, experiment.warmup_steps
    pieces = []
    if warmup > 1:
        pieces.append(Linear(warmup - 1, peak / warmup, peak))
    if experiment.decay < 1:
        pieces.append(GeometricDecay(None, peak, experiment.decay, min(MIN_LEARNING_RATE, peak / 2)))
    else:
        pieces.append(Constant(None, peak))
    return Piecewise(pieces)
