"""Weights of AGAVE and its parts by the names of the released IAF and PixelCNN++ code; AGAVE itself was not released."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfflows.distributions.agave import AGAVE
from tfflows.distributions.iaf_vae import IAFVAE
from tfflows.distributions.pixelcnn_images import PixelCNNImages
from tfflows.interop import iaf, pixelcnn
from tfflows.interop.places import Place, assign, num_numbers, values_by_name
from tfflows.interop.sources import read_source


def load_weights(model: AGAVE | IAFVAE | PixelCNNImages, source: Mapping[str, Any] | str | os.PathLike) -> None:
    """Sets the variables of a model from weights by the authors' names.

    Args:
      model: The model to set.
      source: Weights as in `tfflows.interop.iaf` and `tfflows.interop.pixelcnn`. For an AGAVE it has the names of both, with
        those of its feature stream.

    Raises:
      ValueError: If a name is missing or extra, or a value has the wrong shape or is not finite; nothing is changed then.
      FileNotFoundError: If there is nothing at the path.

    Example:
      >>> from tfflows.distributions.pixelcnn_images import PixelCNNImages
      >>> from tfflows.interop.agave import export_weights, load_weights
      >>> from tfflows.networks import PixelCNN
      >>> network = PixelCNN(width=4, filters=10, num_blocks=1)
      >>> model = PixelCNNImages(network, num_components=1, image_shape=[4, 4, 3])
      >>> weights = export_weights(model)
      >>> sorted(weights)[:3]
      ['conv2d_0/V', 'conv2d_0/b', 'conv2d_0/g']
      >>> load_weights(model, weights)
    """
    places = released_places(model)
    weights = read_source(source, num_numbers(places))
    assign(places, {name.removeprefix("model/"): value for name, value in weights.items()})


def export_weights(model: AGAVE | IAFVAE | PixelCNNImages) -> dict[str, np.ndarray]:
    """Inverse of `load_weights`; returns `{authors' name: array}`."""
    return values_by_name(released_places(model))


def released_places(model: AGAVE | IAFVAE | PixelCNNImages) -> list[Place]:
    """Returns the `Place`s of a model's variables."""
    if isinstance(model, AGAVE):
        return [*iaf.released_places(model.vae), *pixelcnn.released_places(model.pixels.network, model.stream)]
    if isinstance(model, IAFVAE):
        return iaf.released_places(model)
    return pixelcnn.released_places(model.network)
