"""Images beside what a model with an encoder makes of their latents."""

import numpy as np
import tensorflow as tf

from tfflows.evaluation.image_grid import image_grid, write_png
from tfflows.math.random import row_keys


def write_reconstructions(model, path, images, seed, padding=2):
    """Writes a row for each image: the image, then what `model.reconstruct` gives of it.

    Of a guided model these are `f(z)`, z drawn from `q(z | image)`, and a sample of the pixels given it (Lucas & Verbeek 2018,
    figure 3 a).

    Args:
      model: `ImageModel` that `has_encoder`.
      path: Of the PNG file.
      images: uint8 `[B, H, W, C]`.
      seed: Python `int` of the latents and the sample.
      padding: Margin around each image in pixels.

    Returns:
      The path.
    """
    reconstruct = tf.function(lambda images: model.reconstruct(images, row_keys(seed)), autograph=False)
    columns = [images, *(column.numpy() for column in reconstruct(tf.constant(images)))]
    rows = np.stack(columns, axis=1).reshape([-1, *images.shape[1:]])
    return write_png(path, image_grid(rows, len(columns), padding))
