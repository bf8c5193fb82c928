"""Weights of AGAVE and its parts by the names of the released IAF and PixelCNN++ code; AGAVE itself has no release."""

from tfflows.distributions.agave import AGAVE
from tfflows.distributions.iaf_vae import IAFVAE
from tfflows.interop import iaf, pixelcnn
from tfflows.interop.places import assign, values_by_name
from tfflows.interop.sources import read_source


def load_weights(model, source):
    """Sets the variables of a model from weights by the authors' names.

    Args:
      model: `AGAVE`, `IAFVAE` or `PixelCNNImages`.
      source: As for `tfflows.interop.iaf` and `tfflows.interop.pixelcnn`; of an AGAVE the names of both, with its feature stream.

    Raises:
      ValueError: if a name is missing, extra, of another shape, or not finite; nothing is changed then.
      FileNotFoundError: if there is nothing at the path.
    """
    weights = {name.removeprefix("model/"): value for name, value in read_source(source).items()}
    assign(released_places(model), weights)


def export_weights(model):
    """The inverse of `load_weights`: `{name: array}`."""
    return values_by_name(released_places(model))


def released_places(model):
    """The `Place`s of a model's variables."""
    if isinstance(model, AGAVE):
        return [*iaf.released_places(model.vae), *pixelcnn.released_places(model.pixels.network, model.stream)]
    if isinstance(model, IAFVAE):
        return iaf.released_places(model)
    return pixelcnn.released_places(model.network)
