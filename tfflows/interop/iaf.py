"""Weights by the variable names of the released IAF code (its TensorFlow side)."""

import os
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from tfflows.distributions.iaf_ladder import IAFLadder
from tfflows.distributions.iaf_vae import IAFVAE
from tfflows.interop.places import Place, assign, num_numbers, values_by_name, whole
from tfflows.interop.sources import read_source
from tfflows.networks import AutoregressiveConv2D, AutoregressiveNetwork, ImageHead
from tfflows.tracing.variables import as_variable


def load_weights(
    part: IAFVAE | IAFLadder | keras.layers.Layer, source: Mapping[str, Any] | str | os.PathLike, scope: str = ""
) -> None:
    """Sets the variables of an IAF-VAE, or of a part of it, from weights by the authors' names.

    Args:
      part: An `IAFVAE`, an `IAFLadder`, an `ImageHead` or a single layer.
      source: A mapping by the authors' names (`IAF_0_0/up_conv1/V`, `x_enc/g`, `dec_log_stdv`, ...; a leading `model/` is
        dropped), or the path of an `.npz` file (with these names, or with `var/<name>` beside other arrays) or of a TF1
        checkpoint.
      scope: Beginning of the names of a single layer.

    Raises:
      ValueError: If a name is missing or extra, or a value has the wrong shape or is not finite; nothing is changed then.
      FileNotFoundError: If there is nothing at the path.

    Example:
      >>> from tfflows.interop.iaf import export_weights, load_weights
      >>> from tfflows.networks import AutoregressiveNetwork
      >>> network = AutoregressiveNetwork(channels=2, width=4)
      >>> weights = export_weights(network)
      >>> sorted(weights)[:3]
      ['layer_0/V', 'layer_0/b', 'layer_0/g']
      >>> load_weights(network, weights)

    References:
      Released code of Kingma et al. 2016 (openai/iaf).
    """
    places = released_places(part, scope)
    weights = read_source(source, num_numbers(places))
    assign(places, {name.removeprefix("model/"): value for name, value in weights.items()})


def export_weights(part: IAFVAE | IAFLadder | keras.layers.Layer, scope: str = "") -> dict[str, np.ndarray]:
    """Inverse of `load_weights`; returns `{authors' name: array}`."""
    return values_by_name(released_places(part, scope))


def released_places(part: IAFVAE | IAFLadder | keras.layers.Layer, scope: str = "") -> list[Place]:
    """Returns the `Place`s of the variables of an `IAFVAE`, an `IAFLadder`, an `ImageHead` or a single layer."""
    if isinstance(part, IAFVAE):
        return [*_ladder(part.ladder), *_layer(part.head.last, "x_dec/"), whole(part.log_scale, "dec_log_stdv")]
    if isinstance(part, IAFLadder):
        return _ladder(part)
    if isinstance(part, ImageHead):
        return _layer(part.last, "x_dec/")
    if isinstance(part, AutoregressiveNetwork):
        return _network(part, scope)
    return _layer(part, scope)


def _ladder(ladder):
    places = [*_layer(ladder.encoder, "x_enc/"), whole(ladder.top, "h_top")]
    for place, (up, down) in enumerate(zip(ladder.bottom_up, ladder.top_down, strict=True)):
        level, block = divmod(place, ladder.num_blocks)
        scope = f"IAF_{level}_{block}/"
        places += _layer(up.first, f"{scope}up_conv1/") + _layer(up.second, f"{scope}up_conv3/")
        places += _layer(down.first, f"{scope}down_conv1/") + _network(down.network, f"{scope}ar_multiconv2d/")
        places += _layer(down.second, f"{scope}down_{'deconv' if down.doubles else 'conv'}2/")
    return places


def _network(network, scope):
    names = {"layer_0": "hidden1", "layer_1": "hidden2", "layer_out_0": "shift", "layer_out_1": "log_scale"}
    return [place for name, own in names.items() for place in _layer(getattr(network, own), f"{scope}{name}/")]


def _layer(layer, scope):
    direction = whole(layer.direction, f"{scope}V")
    if isinstance(layer, AutoregressiveConv2D):
        # Masked entries of a kernel are 0, in the authors' code and here, even where a file has other values.
        direction = Place(
            as_variable(layer.direction),
            (f"{scope}V",),
            split=lambda value: [value],
            join=lambda parts: parts[0] * np.asarray(layer.live_taps, parts[0].dtype),
        )
    return [direction, whole(layer.gain, f"{scope}g"), whole(layer.bias, f"{scope}b")]
