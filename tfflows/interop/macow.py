"""Weights by the names of the released MaCow code and of its version of February 2019."""

import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow_probability as tfp

from tfflows.bijectors import ActNorm, Chain, Coupling, InvertibleConv, MaskedConv, OnFirstChannels, Squeeze
from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.distributions.dequantizers import VariationalDequantizer
from tfflows.interop.places import Place, assign, num_numbers, values_by_name, whole
from tfflows.interop.sources import read_source
from tfflows.math.masked_convolution import MASKED
from tfflows.networks import EluCouplingNetwork, MaskedConv2D, WeightNormConv2DTranspose, WindowAttentionNetwork
from tfflows.tracing.variables import as_variable

tfb = tfp.bijectors

# What the authors store beside the weights: the inverses of the 1x1 convolutions and the table of positions.
_DERIVED = ("weight_inv", "pos_enc")
# The names of the dequantizer's networks begin with these, below whatever module contains them.
_DEQUANTIZER = ("macow", "encoder")


def load_weights(model: DequantizedFlow | tfb.Bijector, source: Mapping[str, Any] | str | os.PathLike) -> None:
    """Sets the variables of a MaCow from weights by the authors' names.

    Args:
      model: The distribution of a MaCow, or a bijector: a masked convolution, a unit, a step, a prior or a whole flow.
      source: A mapping by the authors' names (those of a `state_dict`), or the path of an `.npz` file (with these names, or with
        `param/<name>` beside other arrays), of a `.safetensors` file, or of a `.pt` file of `torch.save`, which is read without
        running any code that it refers to.

    Raises:
      ValueError: If a name is missing or extra, or a value has the wrong shape or is not finite; nothing is changed then.
      FileNotFoundError: If there is nothing at the path.

    Example:
      >>> from tfflows.bijectors import AffineCoupling
      >>> from tfflows.interop.macow import export_weights, load_weights
      >>> from tfflows.networks import EluCouplingNetwork
      >>> network = EluCouplingNetwork(width=4, filters=2)
      >>> network.build((None, 4, 4, 1))
      >>> coupling = AffineCoupling(network)
      >>> weights = export_weights(coupling)
      >>> {name: value.shape for name, value in weights.items() if "conv1" in name}
      {'net.conv1.conv.weight_v': (4, 1, 3, 3), 'net.conv1.conv.weight_g': (4, 1, 1, 1), 'net.conv1.conv.bias': (4,)}
      >>> load_weights(coupling, weights)

    References:
      Released code of Ma et al. 2019 (XuezheMax/macow).
    """
    places = released_places(model)
    weights = {_own_name(name): value for name, value in read_source(source, num_numbers(places)).items()}
    weights = {name: value for name, value in weights.items() if name.split(".")[-1] not in _DERIVED}
    _refuse_reversed_up_convolutions(places, weights)
    assign(places, weights)


def _refuse_reversed_up_convolutions(places, weights):
    """Refuses an export of tfflows before version 0.2, which numbered the encoder's up-convolutions from the finest one."""
    names = [
        name for place in places for name in place.names if re.fullmatch(r"encoder\.up\d+\.deconv\.weight_v", name)
    ]
    if len(names) < 2 or not set(names) <= weights.keys():
        return
    needed = {
        name: place.split(np.zeros(place.variable.shape))[0].shape
        for place in places
        for name in place.names[:1]
        if name in names
    }
    given = [np.shape(weights[name]) for name in names]
    needed = [needed[name] for name in names]
    if given != needed and given == needed[::-1]:
        raise ValueError(
            f"{names[0]} to {names[-1]} have the shapes of the up-convolutions in reversed order, as tfflows before version 0.2 "
            "exported them. "
            f"Rename encoder.up0 to encoder.up{len(names) - 1} and so on, or load the checkpoint that the export was made from."
        )


def export_weights(model: DequantizedFlow | tfb.Bijector) -> dict[str, np.ndarray]:
    """Inverse of `load_weights`; returns `{authors' name: array}`."""
    return values_by_name(released_places(model))


def _own_name(name):
    """Strips the names of the modules that the authors wrap a flow in: `flow.`, `module.`, ..."""
    parts = name.split(".")
    for marker in (*_DEQUANTIZER, "blocks"):
        if marker in parts:
            return ".".join(parts[parts.index(marker) :])
    return name


def released_places(model: DequantizedFlow | tfb.Bijector) -> list[Place]:
    """Returns the `Place`s of the variables of a model that `load_weights` takes."""
    if not isinstance(model, DequantizedFlow):
        return _part(model, "")
    places = _blocks(model.flow.bijector, "")
    if isinstance(model.dequantizer, VariationalDequantizer):
        places += _blocks(model.dequantizer.bijector, "macow.") + _encoder(
            model.dequantizer.context_network, "encoder."
        )
    return places


def _part(bijector, scope):
    """The places of a single bijector, with the names that its module has in the authors' code."""
    if isinstance(bijector, MaskedConv):
        return _masked_conv(bijector, scope)
    if isinstance(bijector, Coupling):
        return _coupling(bijector, scope)
    if _kind(bijector) == "step":
        return _step(bijector, scope)
    if _kind(bijector) == "prior":
        return _prior(bijector, scope)
    if _kind(bijector) == "unit":
        return _unit(bijector.bijectors, scope)
    return _blocks(bijector, scope)


def _kind(chain):
    """The name of a chain, without the number that a graph appends where others have the same name."""
    return re.sub(r"_\d+$", "", chain.name)


def _blocks(chain, scope):
    """The places of a flow; the nesting of its chains shows its levels."""
    places, level, part, step, prior = [], 0, 0, 0, 0
    todo = list(chain.bijectors)
    while todo:
        bijector = todo.pop(0)
        if isinstance(bijector, Squeeze):
            # Without a level on the unsqueezed image, the first one that squeezes has the number 0.
            level, part, step, prior = level + 1 if places else 0, 0, 0, 0
        elif isinstance(bijector, OnFirstChannels):
            # The channels that stay in the flow: another part of this level, or the next one.
            todo = list(bijector.bijector.bijectors)
            part, step = part + 1, 0
        elif isinstance(bijector, Chain) and _kind(bijector) == "prior":
            places += _prior(bijector, f"{scope}blocks.{level}.priors.{prior}.")
            prior += 1
        elif isinstance(bijector, Chain):
            inner = f"layers.{part}.{step}" if _has_parts(todo) else f"steps.{step}"
            places += _step(bijector, f"{scope}blocks.{level}.{inner}.")
            step += 1
    return places


def _has_parts(following):
    """Whether channels leave the flow after the steps that `following` begins with."""
    for bijector in following:
        if isinstance(bijector, Squeeze):
            return False
        if isinstance(bijector, Chain) and _kind(bijector) == "prior":
            return True
    return False


def _step(chain, scope):
    *units, _, _, coupling = layers = list(chain.bijectors)
    places = []
    size = 6 if _is_release(chain) else 3
    for number, begin in enumerate(range(0, len(units), size)):
        places += _unit(units[begin : begin + size], f"{scope}units.{number}.")
    actnorm, mixing = layers[-3:-1]
    return [
        *places,
        *_actnorm(actnorm, f"{scope}glow_step.actnorm."),
        _mixing(mixing, f"{scope}glow_step.conv1x1."),
        *_coupling(coupling, f"{scope}glow_step.coupling."),
    ]


def _is_release(chain):
    return any(isinstance(layer, MaskedConv) and layer.network.kind != MASKED for layer in chain.bijectors)


def _unit(layers, scope):
    actnorms = sum(isinstance(layer, ActNorm) for layer in layers)
    norm, convolution, places = 0, 0, []
    for layer in layers:
        if isinstance(layer, ActNorm):
            norm += 1
            places += _actnorm(layer, f"{scope}actnorm{norm if actnorms > 1 else ''}.")
        else:
            convolution += 1
            places += _masked_conv(layer, f"{scope}conv{convolution}.")
    return places


def _prior(chain, scope):
    *before, coupling = chain.bijectors
    if not before:
        return _coupling(coupling, scope)
    actnorm, mixing = before
    own = [*_actnorm(actnorm, f"{scope}actnorm."), _mixing(mixing, f"{scope}conv1x1.")]
    return [*own, *_coupling(coupling, f"{scope}nice.")]


def _masked_conv(bijector, scope):
    network = bijector.network
    inner = "" if network.kind == MASKED else "conv."
    places = _convolution(network.masked, f"{scope}net.masked_conv.{inner}")
    places += _convolution(network.last, f"{scope}net.conv1x1.conv.")
    if network.context is not None:
        places += _convolution(network.context, f"{scope}s_conv.conv.")
    return places


def _coupling(coupling, scope):
    network = coupling.network
    if isinstance(network, WindowAttentionNetwork):
        return _window_attention(network, f"{scope}net.")
    if not isinstance(network, EluCouplingNetwork):
        raise ValueError(
            "The released MaCow's couplings have an EluCouplingNetwork or a WindowAttentionNetwork; this one has a "
            f"{type(network).__name__}."
        )
    layers = (network.hidden1, network.hidden2, network.last)
    return [
        place
        for number, layer in enumerate(layers, 1)
        for place in _convolution(layer, f"{scope}net.conv{number}.conv.")
    ]


def _window_attention(network, scope):
    # The second linear layer runs on images that are still cut into windows, so the authors' bias has two more axes.
    return [
        *_linear(network.first, f"{scope}nin1.", bias_rank=3),
        *_convolution(network.projection, f"{scope}attn.attn.proj.conv."),
        whole(network.group_norm.gamma, f"{scope}attn.gn.weight"),
        whole(network.group_norm.beta, f"{scope}attn.gn.bias"),
        *_linear(network.mixing, f"{scope}nin2.", bias_rank=5),
        *_linear(network.last, f"{scope}nin3.", bias_rank=3),
    ]


def _linear(layer, scope, bias_rank):
    direction = Place(
        as_variable(layer.direction),
        (f"{scope}weight_v",),
        split=lambda value: [value[0, 0].T],
        join=lambda parts: parts[0].T[np.newaxis, np.newaxis],
    )
    bias_shape = (layer.filters, *[1] * (bias_rank - 1))
    return [
        direction,
        _reshaped(layer.gain, f"{scope}weight_g", (layer.filters, 1)),
        _reshaped(layer.bias, f"{scope}bias", bias_shape),
    ]


def _encoder(network, scope):
    first, *others = network.blocks[0]
    if others:
        places = _residual(network.blocks[0], f"{scope}resnet_bottom.")
    else:
        places = _convolution(first, f"{scope}nin_bottom.conv.")
    for level, layer in enumerate(network.down):
        places += _convolution(layer, f"{scope}down{level}.conv.")
        places += _residual(network.blocks[level + 1], f"{scope}resnet{level}.")
    # They are numbered in the order in which they are applied: the first one works on the coarsest images.
    for level, layer in enumerate(network.up):
        places += _convolution(layer, f"{scope}up{level}.deconv.")
    return places + _convolution(network.last, f"{scope}s_level.conv.")


def _residual(blocks, scope):
    places = []
    for number, block in enumerate(blocks):
        own = f"{scope}main.{number}."
        places += _convolution(block.first, f"{own}conv1.conv.") + _convolution(block.second, f"{own}conv2.conv.")
        if block.shortcut is not None:
            places += _convolution(block.shortcut, f"{own}downsample.conv.")
    return places


def _convolution(layer, scope):
    transposed = isinstance(layer, WeightNormConv2DTranspose)
    # Ours are HWIO and HWOI, the authors' OIHW and IOHW: the last two axes come first and are exchanged.
    to_released, to_ours = (3, 2, 0, 1), (2, 3, 1, 0)
    # Masked entries of a kernel are 0, in the authors' code and here, even where a file has other values.
    mask = layer.live_taps if isinstance(layer, MaskedConv2D) else 1.0
    direction = Place(
        as_variable(layer.direction),
        (f"{scope}weight_v",),
        split=lambda value: [value.transpose(to_released)],
        join=lambda parts: parts[0].transpose(to_ours) * np.asarray(mask, parts[0].dtype),
    )
    gain_shape = (1, layer.filters, 1, 1) if transposed else (layer.filters, 1, 1, 1)
    return [
        direction,
        _reshaped(layer.gain, f"{scope}weight_g", gain_shape),
        _reshaped(layer.bias, f"{scope}bias", (layer.filters,)),
    ]


def _actnorm(actnorm, scope):
    shape = (actnorm.bias.shape[0], 1, 1)
    return [
        _reshaped(actnorm.log_scale, f"{scope}log_scale", shape),
        _reshaped(actnorm.bias, f"{scope}bias", shape),
    ]


def _mixing(mixing: InvertibleConv, scope):
    return Place(
        mixing.weight,
        (f"{scope}weight",),
        split=lambda value: [value.T],  # theirs multiplies columns, ours rows
        join=lambda parts: parts[0].T,
    )


def _reshaped(variable, name, shape):
    return Place(
        as_variable(variable),
        (name,),
        split=lambda value: [value.reshape(shape)],
        join=lambda parts: parts[0].reshape(variable.shape),
    )
