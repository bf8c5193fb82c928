"""Closed forms for the number of parameters of a VFlow; the tests compare them with built models."""

from collections.abc import Callable, Mapping
from typing import Any

from reproductions.flowpp.experiments import parse_stages
from reproductions.vflow.experiments import VFlowExperiment

KINDS = ("invertible_conv", "coupling_networks", "actnorm", "dequantizer", "augmenter")


def count_parameters(experiment: VFlowExperiment, count: Callable[[VFlowExperiment], int] | None = None) -> int:
    """Returns the number of trained parameters of an experiment on images of three channels.

    Args:
      experiment: The experiment.
      count: Function that counts the parameters of an experiment's built model, which takes long. It is used if there is no
        closed form.
    """
    if not has_closed_form(experiment):
        return count(experiment)
    return sum(count_by_kind(experiment)[kind] for kind in KINDS)


def has_closed_form(experiment: VFlowExperiment) -> bool:
    """Returns whether the experiment uses only the parts of the published ones."""
    mixers = (experiment.mixer, experiment.dequantization_mixer, experiment.augmenter_mixer, experiment.context_mixer)
    parts = (experiment.coupling, experiment.dequantization, experiment.augmenter)
    return "maximum" not in mixers and parts == ("logistic_mixture", "variational", "flow")


def count_by_kind(experiment: VFlowExperiment) -> dict[str, int]:
    """Returns `{kind: number}`: the flow in three kinds, dequantizer and augmenter, and the dequantizer's `context_network`."""
    size, channels, z_channels = experiment.image_size, 3, experiment.augment_channels
    main = {"width": experiment.width, "num_blocks": experiment.num_blocks, "mixer": experiment.mixer, "context": 0}
    counts = flow(experiment, experiment.stages, channels + z_channels, experiment.invertible_conv, main)
    context = context_network(experiment, size, 2 * channels)
    kinds = (("dequantizer", "dequantization", channels), ("augmenter", "augmenter", z_channels))
    for kind, prefix, own_channels in kinds:
        networks = {
            "width": getattr(experiment, f"{prefix}_width") or experiment.width,
            "num_blocks": getattr(experiment, f"{prefix}_blocks"),
            "mixer": getattr(experiment, f"{prefix}_mixer"),
            "context": experiment.context_width,
        }
        stages = getattr(experiment, f"{prefix}_stages")
        own = flow(experiment, stages, own_channels, experiment.noise_invertible_conv, networks) if own_channels else {}
        counts[kind] = sum(own.values()) + context if own_channels else 0
    return {**counts, "context_network": context}


def flow(
    experiment: VFlowExperiment, description: str, channels: int, invertible_conv: bool, networks: Mapping[str, Any]
) -> dict[str, int]:
    """Counts a flow with the stages of `description`, on square images of the experiment's size."""
    height = width = experiment.image_size
    counts = {"invertible_conv": 0, "coupling_networks": 0, "actnorm": 0}
    for kind, num_steps in parse_stages(description):
        if kind == "squeeze":
            height, width, channels = height // 2, width // 2, 4 * channels
            continue
        positions = height * width // (2 if kind == "checkerboard" else 1)
        half = channels if kind == "checkerboard" else channels // 2
        counts["actnorm"] += num_steps * 4 * positions * half
        counts["invertible_conv"] += num_steps * 2 * half**2 * invertible_conv
        counts["coupling_networks"] += num_steps * conditioner(experiment, positions, half, **networks)
    return counts


def conditioner(
    experiment: VFlowExperiment, positions: int, channels: int, width: int, num_blocks: int, mixer: str, context: int
) -> int:
    """Counts a conditioner: the table of positions, the first and the last convolution, the blocks in between."""
    norm = experiment.weight_norm
    filters = channels * (2 + 3 * experiment.num_components)
    last_width = 2 * width if experiment.last_nonlinearity else width
    ends = convolution(9 * channels, width, norm) + convolution(9 * last_width, filters, norm)
    one = residual_unit(width, 1, mixer, norm, True)
    if context:
        one += convolution(2 * context, width, norm)
    return positions * width + ends + num_blocks * one


def context_network(experiment: VFlowExperiment, size: int, channels: int) -> int:
    """Counts the network that computes the context of a noise flow."""
    width, mixer, norm = experiment.context_width, experiment.context_mixer, experiment.weight_norm
    position = size * size // 2 * width if mixer != "none" else 0
    unit = residual_unit(width, 9, mixer, norm, experiment.context_layer_norm)
    return position + convolution(9 * channels, width, norm) + experiment.context_blocks * unit


def residual_unit(width: int, last_kernel: int, mixer: str, weight_norm: bool, layer_norm: bool) -> int:
    """Counts a gated convolution and, unless `mixer` is `none`, attention, each with its layer norm."""
    total = convolution(18 * width, width, weight_norm) + convolution(last_kernel * 2 * width, 2 * width, weight_norm)
    if mixer != "none":
        total += convolution(width, 3 * width, weight_norm) + convolution(width, 2 * width, weight_norm)
    return total + 2 * width * layer_norm * (1 if mixer == "none" else 2)


def convolution(fan_in: int, filters: int, weight_norm: bool) -> int:
    """Counts kernel and biases, and the gains of weight norm."""
    return fan_in * filters + filters * (2 if weight_norm else 1)
