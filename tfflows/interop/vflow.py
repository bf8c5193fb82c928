"""Weights by the variable names of the released VFlow code."""

import collections

import keras

from tfflows.distributions.augmented_flow import AugmentedFlow
from tfflows.distributions.augmenters import FlowAugmenter
from tfflows.distributions.dequantizers import VariationalDequantizer
from tfflows.interop import flowpp
from tfflows.interop.flowpp import DEQUANTIZER_NAMES, ContextNames, context_places, step_places
from tfflows.interop.places import assign, values_by_name
from tfflows.interop.sources import read_source

# Of q's context network, in the CIFAR-10 model, where it has no layer norm, and in the ImageNet models.
_CIFAR10_Q = ("context_proc_1", ContextNames("proj_q", "q_c", "q_pos_emb_dq", "q_dqattn", ("q_dqln", "q_ln")))
_IMAGENET_Q = ("q_context_proc", DEQUANTIZER_NAMES)


def load_weights(model, source):
    """Sets the variables of a VFlow from weights by the authors' names.

    Layers are numbered as the released code makes them: those of the dequantizer, then those of q, then those of the flow. The
    names were checked with the CIFAR-10 model; those of the ImageNet models follow the released code, of which no weights were at
    hand.

    Args:
      model: `DequantizedFlow` of a VFlow, whose q is a flow; or of a Flow++.
      source: A mapping by the authors' names, the path of an `.npz` file or of a TF1 checkpoint; see
        `tfflows.interop.flowpp.load_weights`.

    Raises:
      ValueError: if a name is missing, extra, of another shape, or not finite, or q is not a flow; nothing is changed then.
      FileNotFoundError: if there is nothing at the path.
    """
    assign(released_places(model), read_source(source))


def export_weights(model):
    """The inverse of `load_weights`: `{authors' name: array}`; vectors lack the authors' leading axes of size 1."""
    return values_by_name(released_places(model))


def released_places(model):
    """The `Place`s of a model's variables; arguments as for `load_weights`."""
    if not isinstance(model.flow, AugmentedFlow):
        return flowpp.released_places(model)
    augmenter = model.flow.augmenter
    if not isinstance(augmenter, FlowAugmenter):
        raise ValueError("The released VFlow's q is a flow: weights by its names need augmenter=flow.")
    numbers = collections.Counter()
    places = []
    if isinstance(model.dequantizer, VariationalDequantizer):
        places += context_places(model.dequantizer.context_network, "context_proc")
        places += step_places(model.dequantizer.bijector, numbers)
    has_layer_norm = any(
        isinstance(layer, keras.layers.LayerNormalization)
        for block in augmenter.context_network.blocks
        for layer in block
    )
    places += context_places(augmenter.context_network, *(_IMAGENET_Q if has_layer_norm else _CIFAR10_Q))
    places += step_places(augmenter.bijector, numbers)
    return places + step_places(model.flow.bijector, numbers)
