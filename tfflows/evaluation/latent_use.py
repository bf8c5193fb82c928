"""Whether a model of latents and pixels uses its latents: the terms of its bound, image by image."""

import numpy as np
import tensorflow as tf

from tfflows.distributions.quantization import bits_per_dim
from tfflows.evaluation.latent_terms import QUANTITIES


def measure_terms(model):
    """The function `(images, labels, keys) -> [B, 4]` of `QUANTITIES`, for an `Evaluator`.

    Of a batch of one image the image before it is itself.

    Args:
      model: `ImageModel` that `has_terms`, such as `AGAVE`.
    """

    def measure(images, labels, keys):
        del labels
        own = model.terms(images, keys)
        other = model.terms(images, keys, latents_of=tf.roll(images, 1, axis=0))
        bits = [bits_per_dim(nats, model.num_dimensions) for nats in (own.pixels, other.pixels)]
        auxiliary = bits_per_dim(own.auxiliary, model.vae.num_dimensions)
        return tf.stack([own.kl, *bits, auxiliary], axis=-1)

    return measure


def describe_terms(values):
    """`{quantity: {value, standard_error}}` of `[num_images, 4]`: means over the images."""
    errors = np.std(values, axis=0, ddof=1) / np.sqrt(len(values))
    return {
        name: {"value": float(mean), "standard_error": float(error)}
        for name, mean, error in zip(QUANTITIES, np.mean(values, axis=0), errors, strict=True)
    }
