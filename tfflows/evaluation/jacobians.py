"""Log-determinants of Jacobians by automatic differentiation, without what a bijector says about them."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf


def log_abs_det(function: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor) -> float:
    """`ln |det dy/dx|` of one event, from its whole Jacobian, whose determinant is taken in float64.

    The rows come from one pass over as many copies of the event as it has values, so the function must map each row of a batch on
    its own.

    Args:
      function: Map `[B, event] -> [B, event of as many values]`, differentiable.
      x: `[1, event]`.

    Returns:
      Nats; minus infinity if the Jacobian is singular.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.evaluation.jacobians import log_abs_det
      >>> round(log_abs_det(lambda x: tf.exp(x), tf.constant([[1.0, 2.0]])), 4)  # the sum of x
      3.0
    """
    size = x.shape.num_elements()
    tiled = tf.repeat(x, size, axis=0)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(tiled)
        y = function(tiled)
    upstream = tf.reshape(tf.eye(size, dtype=y.dtype), y.shape)
    rows = tape.gradient(y, tiled, output_gradients=upstream, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return float(np.linalg.slogdet(rows.numpy().reshape([size, size]).astype(np.float64))[1])


def estimated_log_abs_det(
    function: Callable[[tf.Tensor], tf.Tensor],
    x: tf.Tensor,
    num_directions: int = 8,
    num_steps: int = 24,
    seed: int = 0,
) -> tuple[float, float]:
    """Estimates `ln |det J| = tr ln(J^T J) / 2` of one event of any size by stochastic Lanczos quadrature.

    Only products of J and its transpose with vectors are needed. Each direction has random signs, so the estimate has no variance
    where the Jacobian is diagonal. Elsewhere it has one, and what is smaller than a few standard errors is not seen.

    Args:
      function: Map `[B, event] -> [B, event of as many values]`, twice differentiable.
      x: `[1, event]`.
      num_directions: Number of random directions.
      num_steps: Number of Lanczos steps, each a product with J and one with its transpose.
      seed: Seed of the directions.

    Returns:
      The estimate and its standard error, nats.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.evaluation.jacobians import estimated_log_abs_det
      >>> estimate, error = estimated_log_abs_det(lambda x: tf.exp(x), tf.constant([[1.0, 2.0]]))
      >>> round(estimate, 4), error < 1e-4
      (3.0, True)

    References:
      Ubaru et al. 2017, https://doi.org/10.1137/16M1104974.
    """
    size = x.shape.num_elements()
    num_steps = min(num_steps, size)
    tiled = tf.repeat(x, num_directions, axis=0)
    zero = tf.UnconnectedGradients.ZERO
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch(tiled)
        y = function(tiled)
    upstream = tf.zeros_like(y)
    # The product with the transpose is linear in `upstream`: its own transpose is the product with J.
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as linear:
        linear.watch(upstream)
        pulled = tape.gradient(y, tiled, output_gradients=upstream, unconnected_gradients=zero)

    def product(vectors):
        """`J^T J` of each row, in float64."""
        rows = tf.reshape(tf.cast(vectors, x.dtype), tiled.shape)
        pushed = linear.gradient(pulled, upstream, output_gradients=rows, unconnected_gradients=zero)
        pulled_back = tape.gradient(y, tiled, output_gradients=pushed, unconnected_gradients=zero)
        return pulled_back.numpy().reshape([num_directions, size]).astype(np.float64)

    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=[num_directions, size])
    basis = [signs / np.sqrt(size)]
    tridiagonal = np.zeros([num_directions, num_steps, num_steps])
    alive = np.ones([num_directions], bool)
    for step in range(num_steps):
        vectors = product(basis[-1])
        diagonal = np.sum(vectors * basis[-1], axis=1)
        # A space that is exhausted goes on as an identity, which has no weight.
        tridiagonal[:, step, step] = np.where(alive, diagonal, 1.0)
        scale = np.linalg.norm(vectors, axis=1)
        for _ in range(2):
            for earlier in basis:
                vectors -= np.sum(vectors * earlier, axis=1, keepdims=True) * earlier
        length = np.linalg.norm(vectors, axis=1)
        alive &= length > 1e-5 * scale  # below this a product in float32 is rounding
        if step + 1 < num_steps:
            length = np.where(alive, length, 0.0)
            tridiagonal[:, step, step + 1] = tridiagonal[:, step + 1, step] = length
            basis.append(np.where(alive[:, None], vectors / np.where(alive, length, 1.0)[:, None], 0.0))
    values, vectors = np.linalg.eigh(tridiagonal)
    logs = np.log(np.maximum(values, np.finfo(np.float64).tiny))
    estimates = 0.5 * size * np.sum(vectors[:, 0, :] ** 2 * logs, axis=1)
    return float(estimates.mean()), float(estimates.std(ddof=1) / np.sqrt(num_directions))
