"""Samples of models that are no flow, as grids; of a guided one beside what its decoder gave."""

import pathlib

import numpy as np
import tensorflow as tf

from tfflows.evaluation.image_grid import image_grid, near_square_columns, write_png
from tfflows.math.random import row_keys

# Autoregressive samples are drawn so many at a time: a pixel costs little more for many images than for one.
BATCH_SIZE = 64


def write_image_model_samples(model, directory, num_samples, temperatures, seed, batch_size=BATCH_SIZE, padding=2):
    """Writes `samples_temperature_1.00.png` for each temperature; all show the same noise.

    Of a model with `sample_with_means` each sample stands to the right of its `f(z)` (Lucas & Verbeek 2018, figure 1).

    Args:
      model: `ImageModel`.
      directory: Where to write; made if need be.
      num_samples: Python `int`, at least 1.
      temperatures: Python `float`s.
      seed: Python `int`.
      batch_size: Images drawn at once.
      padding: Margin around each image in pixels.

    Returns:
      List of `pathlib.Path`, one a temperature.
    """
    size = min(batch_size, num_samples)
    in_pairs = hasattr(model, "sample_with_means")

    @tf.function(autograph=False)
    def draw(start, temperature):
        keys = row_keys(seed, 0, start)
        if in_pairs:
            return tf.stack(model.sample_with_means(size, keys, temperature), axis=1)
        return model.sample(size, keys, temperature)[:, tf.newaxis]

    paths = []
    for temperature in temperatures:
        batches = [
            draw(tf.constant(start, tf.int64), tf.constant(temperature, tf.float32)).numpy()
            for start in range(0, num_samples, size)
        ]
        images = np.concatenate(batches)[:num_samples]
        columns = images.shape[1] * near_square_columns(num_samples)
        images = images.reshape([-1, *images.shape[2:]])
        path = pathlib.Path(directory) / f"samples_temperature_{temperature:.2f}.png"
        paths.append(write_png(path, image_grid(images, columns, padding)))
    return paths
