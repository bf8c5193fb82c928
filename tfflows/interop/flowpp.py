"""Weights by the variable names of the released Flow++ code."""

import collections
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import numpy as np

from tfflows.bijectors import ActNorm, AffineCoupling, Chain, LogisticMixtureCoupling, OnHalves
from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.distributions.dequantizers import VariationalDequantizer
from tfflows.interop.places import Place, assign, halves, num_numbers, values_by_name, whole
from tfflows.interop.sources import read_source
from tfflows.networks.flowpp import ContextNetwork, GatedConvolution
from tfflows.tracing.variables import as_variable


class ContextNames(NamedTuple):
    """The authors' names of the parts of a context network.

    Attributes:
      first: Name of the first convolution.
      convolution: Name of a gated convolution, without its number.
      position: Name of the table of positions.
      mixer: Name of a gated attention, without its number.
      norms: Names of the two layer norms of a block, without its number.
    """

    first: str
    convolution: str
    position: str
    mixer: str
    norms: tuple[str, str]


DEQUANTIZER_NAMES = ContextNames("proj", "c", "pos_emb_dq", "dqattn", ("dqln", "ln"))


def load_weights(
    model: DequantizedFlow | AffineCoupling | LogisticMixtureCoupling, source: Mapping[str, Any] | str | os.PathLike
) -> None:
    """Sets the variables of a Flow++ from weights by the authors' names.

    Layers are numbered in the order in which the released code creates them: those of the dequantizer first, then those of the
    flow. The names were checked against the CIFAR-10 and 32x32 ImageNet models.

    Args:
      model: The distribution of a Flow++, or a single coupling (whose names begin with the authors' name of its class).
      source: A mapping by the authors' names (`context_proc/proj/W`, `Norm/norm0/g`, `MixLogisticAttnCoupling/pos_emb`, ...), or
        the path of an `.npz` file (with these names, or with `var/<name>` beside other arrays) or of a TF1 checkpoint.

    Raises:
      ValueError: If a name is missing or extra, or a value has the wrong shape or is not finite; nothing is changed then.
      FileNotFoundError: If there is nothing at the path.

    Example:
      >>> from tfflows.bijectors import AffineCoupling
      >>> from tfflows.interop.flowpp import export_weights, load_weights
      >>> from tfflows.networks import GatedConditioner
      >>> network = GatedConditioner(width=4, filters=2, num_blocks=0)
      >>> network.build((None, 4, 4, 1))
      >>> coupling = AffineCoupling(network)
      >>> weights = export_weights(coupling)
      >>> sorted(weights)[:3]
      ['AffineAttnCoupling/pos_emb', 'AffineAttnCoupling/proj_in/W', 'AffineAttnCoupling/proj_in/b']
      >>> load_weights(coupling, weights)

    References:
      Released code of Ho et al. 2019 (aravindsrinivas/flowpp).
    """
    places = released_places(model)
    assign(places, read_source(source, num_numbers(places)))


def export_weights(model: DequantizedFlow | AffineCoupling | LogisticMixtureCoupling) -> dict[str, np.ndarray]:
    """Inverse of `load_weights`.

    Returns:
      `{authors' name: array}`. Vectors lack the authors' leading axes of size 1.
    """
    return values_by_name(released_places(model))


def released_places(model: DequantizedFlow | AffineCoupling | LogisticMixtureCoupling) -> list[Place]:
    """Returns the `Place`s of the variables of a model that `load_weights` takes."""
    if isinstance(model, AffineCoupling | LogisticMixtureCoupling):
        return _coupling(model, _scope_of(model))
    numbers = collections.Counter()
    places = []
    if isinstance(model.dequantizer, VariationalDequantizer):
        places += context_places(model.dequantizer.context_network, "context_proc")
        places += step_places(model.dequantizer.bijector, numbers)
    return places + step_places(model.flow.bijector, numbers)


def step_places(chain: Chain, numbers: collections.Counter) -> list[Place]:
    """Returns the `Place`s of a chain's steps.

    Args:
      chain: Bijectors of which those that are chains themselves are steps.
      numbers: How many layers of each kind came before; this function counts on.
    """
    steps = [bijector for bijector in chain.bijectors if isinstance(bijector, Chain)]
    return [place for step in steps for bijector in step.bijectors for place in _layer(bijector, numbers)]


def _layer(bijector, numbers):
    def scope(name):
        number = numbers[name]
        numbers[name] += 1
        return f"{name}_{number}" if number else name

    if isinstance(bijector, ActNorm):
        own = scope("Norm")
        return [
            halves(bijector.scale, [f"{own}/norm0/g", f"{own}/norm1/g"]),
            halves(bijector.bias, [f"{own}/norm0/b", f"{own}/norm1/b"]),
        ]
    if isinstance(bijector, OnHalves):
        own = scope("Pointwise")
        return [whole(bijector.first.weight, f"{own}/W0"), whole(bijector.second.weight, f"{own}/W1")]
    if isinstance(bijector, AffineCoupling | LogisticMixtureCoupling):
        return _coupling(bijector, scope(_scope_of(bijector)))
    return []  # the exchange of the halves


def _scope_of(coupling):
    attention = coupling.network.mixer == "attention"
    if isinstance(coupling, AffineCoupling):
        return "AffineAttnCoupling" if attention else "AffineCoupling"
    return "MixLogisticAttnCoupling" if attention else "MixLogisticCoupling"


def _coupling(coupling, scope):
    network = coupling.network
    first, last = ("c1", "c2") if network.last_nonlinearity else ("proj_in", "proj_out")
    places = [whole(network.position, f"{scope}/pos_emb"), *_convolution(network.first, f"{scope}/{first}")]
    for number, block in enumerate(network.blocks):
        norms = iter(("ln1", "ln2"))
        for layer in block:
            own = f"{scope}/block{number}"
            if isinstance(layer, GatedConvolution):
                places += _gated_convolution(layer, f"{own}/conv")
            elif isinstance(layer, keras.layers.LayerNormalization):
                places += _layer_norm(layer, f"{own}/{next(norms)}")
            else:
                places += _mixer(layer, f"{own}/attn")
    order = _channel_order(coupling, network.last.filters)
    return places + _convolution(network.last, f"{scope}/{last}", order)


def _channel_order(coupling, filters):
    """For each of our output channels, its number in the released code."""
    if isinstance(coupling, LogisticMixtureCoupling):
        components = coupling.num_components
        # In the released code the parameters of each channel are adjacent.
        order = np.arange(filters).reshape([-1, 2 + 3 * components])
        return order.T.reshape([-1])
    pairs = np.arange(filters).reshape([-1, 2])  # in the released code, scale and shift of each channel
    return np.concatenate([pairs[:, 1], pairs[:, 0]])


def context_places(network: ContextNetwork, scope: str, names: ContextNames = DEQUANTIZER_NAMES) -> list[Place]:
    """Returns the `Place`s of a context network.

    Args:
      network: The network.
      scope: Beginning of the authors' names.
      names: The authors' names of its parts.
    """
    places = _convolution(network.first, f"{scope}/{names.first}")
    if network.mixer != "none":
        places.append(whole(network.position, f"{scope}/{names.position}"))
    for number, block in enumerate(network.blocks):
        norms = iter(names.norms)
        for layer in block:
            if isinstance(layer, GatedConvolution):
                places += _gated_convolution(layer, f"{scope}/{names.convolution}{number}")
            elif isinstance(layer, keras.layers.LayerNormalization):
                places += _layer_norm(layer, f"{scope}/{next(norms)}{number}")
            else:
                places += _mixer(layer, f"{scope}/{names.mixer}{number}")
    return places


def _gated_convolution(layer, scope):
    places = _convolution(layer.first, f"{scope}/c1") + _convolution(layer.last, f"{scope}/c2")
    return places if layer.context is None else places + _convolution(layer.context, f"{scope}/a_proj")


def _mixer(layer, scope):
    return _convolution(layer.first, f"{scope}/proj1") + _convolution(layer.last, f"{scope}/proj2")


def _layer_norm(layer, scope):
    return [whole(layer.gamma, f"{scope}/g"), whole(layer.beta, f"{scope}/b")]


def _convolution(layer, scope, order=None):
    """Kernel, bias and norm; in the released code a 1x1 kernel has two axes."""
    order = np.arange(layer.filters) if order is None else np.asarray(order)
    back = np.argsort(order)
    shape = tuple(layer.kernel.shape)
    released_shape = shape if layer.kernel_size > 1 else shape[2:]

    def place(variable, name, own_shape):
        return Place(
            as_variable(variable),
            (f"{scope}/{name}",),
            split=lambda value: [value[..., back].reshape(own_shape)],
            join=lambda parts: parts[0][..., order].reshape(variable.shape),
        )

    places = [place(layer.kernel, "V" if layer.weight_norm else "W", released_shape)]
    if layer.weight_norm:
        places.append(place(layer.norm, "g", (layer.filters,)))
    return [*places, place(layer.bias, "b", (layer.filters,))]
