"""Images beside what a model with an encoder decodes from their latents."""

import os
import pathlib

import numpy as np
import tensorflow as tf

from tfflows.distributions.image_model import ImageModel
from tfflows.evaluation.samples import image_grid, write_png
from tfflows.math.random import row_keys


def write_reconstructions(
    model: ImageModel, path: str | os.PathLike, images: np.ndarray, seed: int, padding: int = 2
) -> pathlib.Path:
    """Writes a PNG with one row per image: the image, then what `model.reconstruct` gives for it.

    For an `AGAVE` these are `f(z)`, with z drawn from `q(z | image)`, and a sample of the pixels given it.

    Args:
      model: Model that `has_encoder`.
      path: Path of the PNG file.
      images: uint8 `[B, H, W, C]`.
      seed: Seed of the latents and the sample.
      padding: Margin around each image in pixels.

    Returns:
      Path of the file.

    References:
      Lucas & Verbeek 2018, figure 3 a, https://arxiv.org/abs/1711.11479.
    """
    reconstruct = tf.function(lambda images: model.reconstruct(images, row_keys(seed)), autograph=False)
    columns = [images, *(column.numpy() for column in reconstruct(tf.constant(images)))]
    rows = np.stack(columns, axis=1).reshape([-1, *images.shape[1:]])
    return write_png(path, image_grid(rows, len(columns), padding))
