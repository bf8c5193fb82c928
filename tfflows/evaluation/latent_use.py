"""Whether a model of latents and pixels uses its latents: the terms of its bound, image by image."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfflows.distributions.dequantizers import bits_per_dim
from tfflows.distributions.image_model import ImageModel
from tfflows.evaluation.latent_terms import QUANTITIES
from tfflows.math.random import RowKeys


def measure_terms(model: ImageModel) -> Callable[[tf.Tensor, tf.Tensor, RowKeys], tf.Tensor]:
    """The `measure` of an `Evaluator` that gives the `QUANTITIES` of each image.

    In a batch of one image, the image before it is the image itself.

    Args:
      model: Model that `has_terms`, such as `AGAVE`.

    Returns:
      Function `(images, labels, keys) -> [B, 4]`.
    """

    def measure(images, labels, keys):
        del labels
        own = model.terms(images, keys)
        other = model.terms(images, keys, latents_of=tf.roll(images, 1, axis=0))
        bits = [bits_per_dim(nats, model.num_dimensions) for nats in (own.pixels, other.pixels)]
        auxiliary = bits_per_dim(own.auxiliary, model.vae.num_dimensions)
        return tf.stack([own.kl, *bits, auxiliary], axis=-1)

    return measure


def describe_terms(values: np.ndarray) -> dict[str, dict[str, float]]:
    """`{quantity: {"value": ..., "standard_error": ...}}` of values `[num_images, 4]`: means over the images.

    The standard error of a single image is 0, as that of its bits/dim.

    Example:
      >>> import numpy as np
      >>> from tfflows.evaluation.latent_use import describe_terms
      >>> described = describe_terms(np.array([[1.0, 2.0, 3.0, 4.0], [3.0, 2.0, 3.0, 4.0]]))
      >>> described["kl_nats"]
      {'value': 2.0, 'standard_error': 1.0}
    """
    count = len(values)
    errors = np.std(values, axis=0, ddof=1) / np.sqrt(count) if count > 1 else np.zeros(values.shape[1])
    return {
        name: {"value": float(mean), "standard_error": float(error)}
        for name, mean, error in zip(QUANTITIES, np.mean(values, axis=0), errors, strict=True)
    }
