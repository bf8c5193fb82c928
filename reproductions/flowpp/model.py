"""Builds Flow++ from an experiment, as a flat list that reads like section 3 of the paper."""

import dataclasses
from collections.abc import Callable, Sequence

import keras
import tensorflow_probability as tfp

from reproductions.experiment import check_sides
from reproductions.flowpp.experiments import FlowPPExperiment, parse_stages
from tfflows.bijectors import (
    ActNorm,
    AffineCoupling,
    Chain,
    CheckerboardMerge,
    CheckerboardSplit,
    InvertibleConv,
    LogisticMixtureCoupling,
    Logit,
    OnHalves,
    Squeeze,
    SwapHalves,
)
from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.distributions.dequantizers import UniformDequantizer, VariationalDequantizer
from tfflows.math.logistic_mixture import MIN_LOG_SCALE
from tfflows.math.random import derive_seed
from tfflows.networks import ContextNetwork, GatedConditioner
from tfflows.training.optimizers import Adam

tfb, tfd = tfp.bijectors, tfp.distributions


@dataclasses.dataclass(frozen=True)
class Networks:
    """Settings in which the flow and the dequantizer differ.

    Attributes:
      width: Hidden channels of the conditioners.
      num_blocks: Number of blocks of a conditioner.
      mixer: Mixing of positions: `attention`, `maximum` or `none`.
      invertible_conv: Whether there are 1x1 convolutions.
      context_filters: Channels of the context, 0 for none.
    """

    width: int
    num_blocks: int
    mixer: str
    invertible_conv: bool
    context_filters: int = 0


def build(experiment: FlowPPExperiment, image_shape: Sequence[int], num_classes: int, seed: int) -> DequantizedFlow:
    """Builds the model of an experiment, over uint8 images.

    Args:
      experiment: The experiment.
      image_shape: Shape `[H, W, C]` of the images.
      num_classes: Unused, because no model of the paper is conditional.
      seed: Seed of the initial parameters.

    Returns:
      The model. Its loss is in nats per image, as in the released code, and the optimizer clips the gradient of that loss.

    Raises:
      ValueError: If the experiment is conditional, or the image cannot be split and squeezed as its stages ask.
    """
    del num_classes
    if experiment.conditional:
        raise ValueError(f"{experiment.name} is conditional, but no Flow++ is.")
    return DequantizedFlow(
        flow_distribution(experiment, image_shape, derive_seed(seed, "flow")),
        experiment.num_bits,
        dequantizer(experiment, image_shape, derive_seed(seed, "dequantizer")),
        dropout=experiment.dropout_rate > 0,
        loss_unit="nats",
    )


def flow_distribution(
    experiment: FlowPPExperiment, image_shape: Sequence[int], seed: int
) -> tfd.TransformedDistribution:
    """Builds the density of dequantized images, a transformed standard normal image."""
    main = Networks(experiment.width, experiment.num_blocks, experiment.mixer, experiment.invertible_conv)
    layers, latent_shape = stages(experiment, experiment.stages, image_shape, main, seed)
    bijector = Chain([Logit(margin=0.05), *layers], name="flowpp")
    base = tfd.Sample(tfd.Normal(0.0, 1.0), sample_shape=latent_shape)
    return tfd.TransformedDistribution(base, bijector, name="flowpp")


def dequantizer(
    experiment: FlowPPExperiment, image_shape: Sequence[int], seed: int, invertible_conv: bool | None = None
) -> UniformDequantizer | VariationalDequantizer:
    """Builds the dequantizer: uniform, or a conditional flow on noise that ends in a sigmoid (section 3.1).

    Args:
      experiment: The experiment.
      image_shape: Shape `[H, W, C]` of the images.
      seed: Seed of the initial parameters.
      invertible_conv: Whether the flow has 1x1 convolutions; None for the same as in the main flow.
    """
    if experiment.dequantization == "uniform":
        return UniformDequantizer()
    networks = Networks(
        experiment.dequantization_width or experiment.width,
        experiment.dequantization_blocks,
        experiment.dequantization_mixer,
        experiment.invertible_conv if invertible_conv is None else invertible_conv,
        experiment.context_width,
    )
    bijector = noise_flow(experiment, experiment.dequantization_stages, image_shape, networks, seed, "dequantizer")
    return VariationalDequantizer(bijector, context_network(experiment, image_shape, seed), experiment.checkerboard)


def noise_flow(
    experiment: FlowPPExperiment, description: str, noise_shape: Sequence[int], networks: Networks, seed: int, name: str
) -> Chain:
    """Builds a conditional flow whose `inverse` maps Gaussian noise to the unit cube, given a context."""
    layers, _ = stages(experiment, description, noise_shape, networks, seed)
    return Chain([*layers, tfb.Invert(tfb.Sigmoid(), name="sigmoid")], name=name)


def context_network(experiment: FlowPPExperiment, image_shape: Sequence[int], seed: int) -> ContextNetwork:
    """Builds the network that computes the context of a noise flow from the image, after its checkerboard split."""
    height, width, channels = image_shape
    context = ContextNetwork(
        experiment.context_width,
        experiment.context_blocks,
        mixer=experiment.context_mixer,
        layer_norm=experiment.context_layer_norm,
        dropout_rate=experiment.dropout_rate,
        weight_norm=experiment.weight_norm,
        seed=derive_seed(seed, "context"),
        dtype=experiment.precision,
    )
    context.build([None, height, width // 2, 2 * channels])
    return context


def stages(
    experiment: FlowPPExperiment, description: str, image_shape: Sequence[int], networks: Networks, seed: int
) -> tuple[list[tfb.Bijector], list[int]]:
    """Builds the bijectors of `description`, data to latent; returns them with the final shape.

    Args:
      experiment: The experiment.
      description: Stages, as in `FlowPPExperiment.stages`.
      image_shape: Shape `[H, W, C]` of the input.
      networks: Settings of the conditioners.
      seed: Seed of the initial parameters.

    Raises:
      ValueError: If the image cannot be split or squeezed as the stages ask.
    """
    height, width, channels = image_shape
    _check_sides(image_shape, description)
    layers = []
    for number, (kind, num_steps) in enumerate(parse_stages(description)):
        if kind == "squeeze":
            height, width, channels = height // 2, width // 2, 4 * channels
            layers.append(Squeeze(order="position_first"))
            continue
        halves = [height, width, channels]
        if kind == "checkerboard":
            halves = [height, width // 2, 2 * channels]
            layers.append(CheckerboardSplit(experiment.checkerboard))
        for step in range(num_steps):
            layers.append(flow_step(experiment, halves, networks, derive_seed(seed, "stage", number, "step", step)))
        if kind == "checkerboard":
            layers.append(CheckerboardMerge(experiment.checkerboard))
    return layers, [height, width, channels]


def flow_step(experiment: FlowPPExperiment, shape: Sequence[int], networks: Networks, seed: int) -> Chain:
    """Builds a flow step: actnorm, 1x1 convolution (in the CIFAR-10 models), coupling, swap of the halves (section 4)."""
    layers = [ActNorm(shape, form="positive_scale_then_shift")]
    if networks.invertible_conv:
        first, second = (
            InvertibleConv(shape[-1] // 2, derive_seed(seed, "mixing", half), identity_noise=experiment.mixing_noise)
            for half in ("first", "second")
        )
        layers.append(OnHalves(first, second))
    layers += [coupling(experiment, shape, networks, derive_seed(seed, "coupling")), SwapHalves()]
    return Chain(layers, name="step")


def coupling(
    experiment: FlowPPExperiment, shape: Sequence[int], networks: Networks, seed: int
) -> AffineCoupling | LogisticMixtureCoupling:
    """Builds a coupling by mixtures of logistics, or an affine one, with its conditioner."""
    height, width, channels = shape
    if channels % 2:
        raise ValueError(f"A coupling of channels needs an even number of channels, got {channels}; squeeze first.")
    affine = experiment.coupling == "affine"
    network = GatedConditioner(
        networks.width,
        channels // 2 * (2 if affine else 2 + 3 * experiment.num_components),
        networks.num_blocks,
        mixer=networks.mixer,
        num_heads=experiment.num_heads,
        last_nonlinearity=experiment.last_nonlinearity,
        context_filters=networks.context_filters,
        dropout_rate=experiment.dropout_rate,
        weight_norm=experiment.weight_norm,
        seed=seed,
        dtype=experiment.precision,
    )
    network.build([None, height, width, channels // 2])
    conditional = (
        networks.context_filters > 0 or "optional" if experiment.dropout_rate else networks.context_filters > 0
    )
    if affine:
        options = {"order": "scale_then_shift", "parameter_order": "contiguous"}
        return AffineCoupling(network, experiment.coupling_scale, conditional=conditional, **options)
    return LogisticMixtureCoupling(
        network,
        experiment.num_components,
        experiment.coupling_scale,
        MIN_LOG_SCALE if experiment.bounded_log_scales else None,
        experiment.coupling_margin,
        conditional=conditional,
    )


def _check_sides(image_shape, description):
    """Every squeeze halves both sides; a checkerboard also halves the width, for the time of its couplings."""
    kinds = [kind for kind, _ in parse_stages(description)]
    squeezes = kinds.count("squeeze")
    widths = [kinds[:number].count("squeeze") + 1 for number, kind in enumerate(kinds) if kind == "checkerboard"]
    check_sides(image_shape, squeezes, f"fewer stages than {description!r}", max([squeezes, *widths]))


def extend_count(experiment: FlowPPExperiment, count: Callable[[FlowPPExperiment], int]) -> int:
    """Extrapolates the number of parameters from models with one and two blocks per conditioner, because all blocks are alike.

    Args:
      experiment: The experiment.
      count: Function that counts the parameters of an experiment's built model.
    """
    one, two = (count(dataclasses.replace(experiment, num_blocks=number)) for number in (1, 2))
    return one + (experiment.num_blocks - 1) * (two - one)


def optimizer(
    experiment: FlowPPExperiment, learning_rate: float | keras.optimizers.schedules.LearningRateSchedule
) -> keras.optimizers.Optimizer:
    """Builds the optimizer: Adam with the norm of the gradient clipped (released code)."""
    return Adam(learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, global_clipnorm=experiment.clip_norm)
