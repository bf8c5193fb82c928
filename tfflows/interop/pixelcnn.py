"""Weights by the variable names of the released PixelCNN++ code."""

import collections

import numpy as np

from tfflows.interop.places import Place, assign, values_by_name, whole
from tfflows.interop.sources import read_source
from tfflows.networks import GatedResidual, PixelCNN, ShiftedConv2DTranspose
from tfflows.networks.pixelcnn.network import HALVE, POSITION
from tfflows.tracing.walk import as_variable


def load_weights(network, source, stream=None):
    """Sets the variables of a PixelCNN++ from weights by the authors' names.

    Layers are numbered by kind as the released code makes them, `conv2d_0`, `dense_0`, `deconv2d_0`, ..., each with `V`, `g` and
    `b`. With a feature stream each position has its unit first, and what sees it stands after what sees the skip connection.

    Args:
      network: `PixelCNN`, or a single layer or `GatedResidual`.
      source: A mapping by the authors' names, the path of an `.npz` file (of such names, or of `var/<name>` beside other arrays)
        or of a TF1 checkpoint.
      stream: `FeatureStream` of the network, or None.

    Raises:
      ValueError: if a name is missing, extra, of another shape, or not finite; nothing is changed then.
      FileNotFoundError: if there is nothing at the path.
    """
    weights = {name.removeprefix("model/"): value for name, value in read_source(source).items()}
    assign(released_places(network, stream), weights)


def export_weights(network, stream=None):
    """The inverse of `load_weights`: `{authors' name: array}`."""
    return values_by_name(released_places(network, stream))


def released_places(network, stream=None):
    """The `Place`s of the variables; arguments as for `load_weights`."""
    numbers, places = collections.Counter(), []
    for layer in _layers(network, stream):
        kind = _kind(layer)
        places += _places(layer, f"{kind}_{numbers[kind]}")
        numbers[kind] += 1
    return places


def _layers(network, stream):
    """The layers in the order in which the released code makes them."""
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
    return (layer for layer in (unit.first, unit.skip, unit.feature, unit.second) if layer is not None)


def _kind(layer):
    if isinstance(layer, ShiftedConv2DTranspose):
        return "deconv2d"
    return "dense" if layer.kernel_size == (1, 1) else "conv2d"


def _places(layer, scope):
    direction = whole(layer.direction, f"{scope}/V")
    if _kind(layer) == "dense":
        direction = Place(
            as_variable(layer.direction),
            (f"{scope}/V",),
            split=lambda value: [value[0, 0]],
            join=lambda parts: parts[0][np.newaxis, np.newaxis],
        )
    return [direction, whole(layer.gain, f"{scope}/g"), whole(layer.bias, f"{scope}/b")]
