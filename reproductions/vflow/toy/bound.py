"""The density of a cell's model at a point, or for VFlow the bounds on it (Chen et al. 2020, eq. 4 and 6)."""

import math
from collections.abc import Mapping

import tensorflow as tf

from reproductions.vflow.toy import flow
from reproductions.vflow.toy.cells import DATA_DIMENSIONS, WIDTH, Cell

# The two flows of a model, and q(z|x) where it is a trained Gaussian.
PRIOR, POSTERIOR = "prior", "posterior"

# By flow and name, `[L, S, ...]`: steps and seeds lead.
FlowParameters = Mapping[str, flow.Parameters]


def trained_shapes(cell: Cell, width: int = WIDTH) -> dict[str, dict[str, tuple[int, ...]]]:
    """Returns the shapes of the parameters of a cell for one seed, by flow and name; the first axis counts the steps."""
    flows = {PRIOR: _stacked(cell.prior_steps, flow.step_shapes(cell.dimensions, 0, width))}
    if cell.has_glow_posterior:
        steps = flow.step_shapes(cell.latent_dimensions, DATA_DIMENSIONS, width)
        flows[POSTERIOR] = _stacked(cell.posterior_steps, steps)
    elif cell.has_gaussian_posterior:
        outputs = 2 * cell.latent_dimensions
        flows[POSTERIOR] = _stacked(1, flow.network_shapes(DATA_DIMENSIONS, outputs, width))
    return flows


def count_parameters(cell: Cell, width: int = WIDTH) -> int:
    """Returns the number of trained parameters of one model of a cell."""
    return sum(math.prod(shape) for shapes in trained_shapes(cell, width).values() for shape in shapes.values())


def sample_posterior(
    cell: Cell, parameters: FlowParameters, x: tf.Tensor, noise: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws `z ~ q(z|x)` from noise, and computes `ln q(z|x)`.

    Args:
      cell: A cell of VFlow.
      parameters: By flow and name, `[L, S, ...]`.
      x: Points, `[S, 2, B]`.
      noise: Standard normal noise, `[S, D_z, B]`.

    Returns:
      `z`, `[S, D_z, B]`, and `ln q(z|x)`, `[S, B]`, in nats.
    """
    if cell.normal_posterior:
        return noise, flow.normal_log_prob(noise)
    if cell.has_gaussian_posterior:
        (step,) = flow.step_parameters(parameters[POSTERIOR])
        mean, log_scale = tf.split(flow.network(step, x), 2, axis=-2)
        z, log_det = mean + tf.exp(log_scale) * noise, tf.reduce_sum(log_scale, axis=-2)
    else:
        z, log_det = flow.glow(parameters[POSTERIOR], noise, x)
    return z, flow.normal_log_prob(noise) - log_det


def log_weight(cell: Cell, parameters: FlowParameters, x: tf.Tensor, noise: tf.Tensor | None = None) -> tf.Tensor:
    """Computes `ln p(x)` for Glow, or `ln p(x, z) - ln q(z|x)` for VFlow with the `z` that the noise gives.

    Args:
      cell: The cell.
      parameters: By flow and name, `[L, S, ...]`.
      x: Points, `[S, 2, B]`.
      noise: Standard normal noise, `[S, D_z, B]`; None for Glow.

    Returns:
      `[S, B]`, in nats. Its mean over the noise is a lower bound of `ln p(x)`, as is the logarithm of the mean of its
      exponential over several draws.
    """
    if not cell.latent_dimensions:
        latent, log_det = flow.glow(parameters[PRIOR], x)
        return flow.normal_log_prob(latent) + log_det
    z, posterior_log_prob = sample_posterior(cell, parameters, x, noise)
    latent, log_det = flow.glow(parameters[PRIOR], tf.concat([x, z], axis=-2))
    return flow.normal_log_prob(latent) + log_det - posterior_log_prob


def importance_weighted(log_weights: tf.Tensor) -> tf.Tensor:
    """Computes `ln (1/K) sum_k exp(w_k)` over the first axis of `[K, ...]`, in nats."""
    count = tf.cast(tf.shape(log_weights)[0], log_weights.dtype)
    return tf.reduce_logsumexp(log_weights, axis=0) - tf.math.log(count)


def _stacked(steps, shapes):
    return {name: (steps, *shape) for name, shape in shapes.items()}
