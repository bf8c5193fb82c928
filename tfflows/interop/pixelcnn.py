"""Weights by the variable names of the released PixelCNN++ code."""

import collections
import os
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from tfflows.interop.places import Place, assign, num_numbers, values_by_name, whole
from tfflows.interop.sources import read_source
from tfflows.networks import FeatureStream, GatedResidual, PixelCNN, ShiftedConv2DTranspose
from tfflows.networks.pixelcnn.network import HALVE, POSITION
from tfflows.tracing.variables import as_variable


def load_weights(
    network: PixelCNN | keras.layers.Layer,
    source: Mapping[str, Any] | str | os.PathLike,
    stream: FeatureStream | None = None,
) -> None:
    """Sets the variables of a PixelCNN++ from weights by the authors' names.

    Layers are numbered by kind in the order in which the released code creates them, `conv2d_0`, `dense_0`, `deconv2d_0`, ...,
    each with `V`, `g` and `b`. With a feature stream, its unit comes first at each position, and within a unit the layer that
    sees the feature comes after the one that sees the skip connection. The class weights of units are
    `conditional_weights_0/hw`, ...

    Args:
      network: A `PixelCNN`, a `GatedResidual` or a single layer.
      source: A mapping by the authors' names, or the path of an `.npz` file (with these names, or with `var/<name>` beside other
        arrays) or of a TF1 checkpoint.
      stream: The network's `FeatureStream`, or None.

    Raises:
      ValueError: If a name is missing or extra, or a value has the wrong shape or is not finite; nothing is changed then.
      FileNotFoundError: If there is nothing at the path.

    Example:
      >>> from tfflows.interop.pixelcnn import export_weights, load_weights
      >>> from tfflows.networks import GatedResidual
      >>> unit = GatedResidual(filters=4, kernel_size=(2, 3), shift="down", skip_channels=2)
      >>> weights = export_weights(unit)
      >>> {name: value.shape for name, value in weights.items() if name.endswith("V")}
      {'conv2d_0/V': (2, 3, 8, 4), 'dense_0/V': (4, 4), 'conv2d_1/V': (2, 3, 8, 8)}
      >>> load_weights(unit, weights)

    References:
      Released code of Salimans et al. 2017 (openai/pixel-cnn).
    """
    places = released_places(network, stream)
    weights = read_source(source, num_numbers(places))
    assign(places, {name.removeprefix("model/"): value for name, value in weights.items()})


def export_weights(
    network: PixelCNN | keras.layers.Layer, stream: FeatureStream | None = None
) -> dict[str, np.ndarray]:
    """Inverse of `load_weights`; returns `{authors' name: array}`."""
    return values_by_name(released_places(network, stream))


def released_places(network: PixelCNN | keras.layers.Layer, stream: FeatureStream | None = None) -> list[Place]:
    """Returns the `Place`s of the variables; arguments as in `load_weights`."""
    numbers, places = collections.Counter(), []
    for layer in _layers(network, stream):
        kind = _kind(layer)
        places += _places(layer, f"{kind}_{numbers[kind]}")
        numbers[kind] += 1
    return places


def _layers(network, stream):
    """The layers in the order in which the released code creates them."""
    if isinstance(network, GatedResidual):
        yield from _unit(network)
    elif not isinstance(network, PixelCNN):
        yield network
    else:
        yield from (network.above, network.row_above, network.left)
        if stream is not None:
            yield stream.first
        for step in network.steps:
            if step.kind == POSITION:
                units = [
                    *(stream.positions[step.number] if stream is not None else []),
                    *network.positions[step.number],
                ]
                for unit in units:
                    yield from _unit(unit)
            else:
                name = "halvings" if step.kind == HALVE else "doublings"
                yield from getattr(network, name)[step.number]
                if stream is not None:
                    yield getattr(stream, name)[step.number]
        yield network.last


def _unit(unit):
    yield from (layer for layer in (unit.first, unit.skip, unit.feature, unit.second) if layer is not None)
    if unit.class_weights is not None:
        yield unit


def _kind(layer):
    if isinstance(layer, GatedResidual):
        return "conditional_weights"
    if isinstance(layer, ShiftedConv2DTranspose):
        return "deconv2d"
    return "dense" if layer.kernel_size == (1, 1) else "conv2d"


def _places(layer, scope):
    if isinstance(layer, GatedResidual):
        return [whole(layer.class_weights, f"{scope}/hw")]
    direction = whole(layer.direction, f"{scope}/V")
    if _kind(layer) == "dense":
        direction = Place(
            as_variable(layer.direction),
            (f"{scope}/V",),
            split=lambda value: [value[0, 0]],
            join=lambda parts: parts[0][np.newaxis, np.newaxis],
        )
    return [direction, whole(layer.gain, f"{scope}/g"), whole(layer.bias, f"{scope}/b")]
