"""Weights by the variable names of the released VFlow code."""

import collections
import os
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from tfflows.distributions.augmented_flow import AugmentedFlow
from tfflows.distributions.augmenters import FlowAugmenter
from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.distributions.dequantizers import VariationalDequantizer
from tfflows.interop import flowpp
from tfflows.interop.flowpp import DEQUANTIZER_NAMES, ContextNames, context_places, step_places
from tfflows.interop.places import Place, assign, num_numbers, values_by_name
from tfflows.interop.sources import read_source

# Names of q's context network in the CIFAR-10 model, where it has no layer norm, and in the ImageNet models.
_CIFAR10_Q = ("context_proc_1", ContextNames("proj_q", "q_c", "q_pos_emb_dq", "q_dqattn", ("q_dqln", "q_ln")))
_IMAGENET_Q = ("q_context_proc", DEQUANTIZER_NAMES)


def load_weights(model: DequantizedFlow, source: Mapping[str, Any] | str | os.PathLike) -> None:
    """Sets the variables of a VFlow from weights by the authors' names.

    Layers are numbered in the order in which the released code creates them: those of the dequantizer, then those of q, then
    those of the flow. The names were checked against the CIFAR-10 model; those of the ImageNet models follow the released code,
    because no weights of them were at hand.

    Args:
      model: The distribution of a VFlow whose q is a flow, or that of a Flow++.
      source: A mapping by the authors' names, or the path of an `.npz` file or of a TF1 checkpoint; see
        `tfflows.interop.flowpp.load_weights`.

    Raises:
      ValueError: If q is not a flow, a name is missing or extra, or a value has the wrong shape or is not finite; nothing is
        changed then.
      FileNotFoundError: If there is nothing at the path.

    References:
      Released code of Chen et al. 2020 (thu-ml/vflow).
    """
    places = released_places(model)
    assign(places, read_source(source, num_numbers(places)))


def export_weights(model: DequantizedFlow) -> dict[str, np.ndarray]:
    """Inverse of `load_weights`.

    Returns:
      `{authors' name: array}`. Vectors lack the authors' leading axes of size 1.
    """
    return values_by_name(released_places(model))


def released_places(model: DequantizedFlow) -> list[Place]:
    """Returns the `Place`s of the variables of a model that `load_weights` takes."""
    if not isinstance(model.flow, AugmentedFlow):
        return flowpp.released_places(model)
    augmenter = model.flow.augmenter
    if not isinstance(augmenter, FlowAugmenter):
        raise ValueError(
            "The released VFlow's q is a flow: weights by its names need augmenter=flow, a FlowAugmenter; got "
            f"{type(augmenter).__name__}."
        )
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
