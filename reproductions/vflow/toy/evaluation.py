"""Log-likelihoods of a cell's models on test points."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from reproductions.vflow.toy.bound import FlowParameters, importance_weighted, log_weight
from reproductions.vflow.toy.cells import IMPORTANCE_SAMPLES, TEST_POINTS, Cell
from reproductions.vflow.toy.training import draw, draw_noise
from tfflows.math.random import fold_in, row_keys
from tfflows.progress import Task

# Number of draws of z computed at once for all points; a hidden layer then stays below 100 MB.
_DRAWS = 10


class LogLikelihoods(NamedTuple):
    """Log-likelihoods of each test point in nats, NumPy float64 `[S, N]`; for Glow both are the log density.

    Attributes:
      importance_weighted: Importance-weighted bound, `ln (1/K) sum_k p(x, z_k) / q(z_k|x)`.
      elbo: Mean of `ln p(x, z_k) - ln q(z_k|x)` over the same draws.
    """

    importance_weighted: np.ndarray
    elbo: np.ndarray


def log_weights(
    cell: Cell, parameters: FlowParameters, seeds: Sequence[int], x: tf.Tensor, num_samples: int = IMPORTANCE_SAMPLES
) -> np.ndarray:
    """Computes `ln p(x, z_k) - ln q(z_k|x)` for draws k of z, or the log density for Glow.

    Args:
      cell: The cell.
      parameters: By flow and name, `[L, S, ...]`.
      seeds: The S seeds of the draws.
      x: Points, `[S, 2, N]`.
      num_samples: Number of draws, K.

    Returns:
      NumPy float64 `[K, S, N]`, in nats; K is 1 for Glow.
    """
    num_samples = num_samples if cell.latent_dimensions else 1
    num_points = x.shape[-1]

    @tf.function(jit_compile=True, autograph=False)
    def some(parameters, start):
        draws = min(_DRAWS, num_samples)
        keys = [fold_in(row_keys(seed, start=start), "evaluation") for seed in seeds]
        noise = tf.unstack(draw_noise(cell, keys, draws, num_points, x.dtype))
        # All draws in one batch: one large product instead of several small ones.
        tiled = tf.concat([x] * draws, axis=-1)
        weights = log_weight(cell, parameters, tiled, tf.concat(noise, axis=-1))
        return tf.stack(tf.split(weights, draws, axis=-1))

    # Traced explicitly, because TensorFlow warns about functions that are created again for each cell.
    some = some.get_concrete_function(parameters, tf.TensorSpec([], tf.int64))
    parts = []
    with Task(f"{cell.name}: log-likelihood", num_samples) as task:
        for start in range(0, num_samples, _DRAWS):
            parts.append(some(parameters, tf.constant(start, tf.int64)))
            task.update(min(start + _DRAWS, num_samples))
    return tf.concat(parts, axis=0)[:num_samples].numpy().astype(np.float64)


def points_to_test(
    cell: Cell, seeds: Sequence[int], num_points: int = TEST_POINTS, dtype: tf.DType = tf.float32
) -> tf.Tensor:
    """Draws the test points of each seed, the same for all cells: `[S, 2, N]`."""
    x, _ = draw(cell, seeds, "test points", 0, 1, num_points, dtype)
    return x[0]


def evaluate(
    cell: Cell,
    parameters: FlowParameters,
    seeds: Sequence[int],
    num_points: int = TEST_POINTS,
    num_samples: int = IMPORTANCE_SAMPLES,
) -> LogLikelihoods:
    """Computes the log-likelihoods of the test points; the arguments are as in `log_weights` and `points_to_test`."""
    x = points_to_test(cell, seeds, num_points)
    weights = log_weights(cell, parameters, seeds, x, num_samples)
    return LogLikelihoods(importance_weighted(tf.constant(weights)).numpy(), weights.mean(axis=0))
