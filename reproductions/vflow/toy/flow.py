"""Glow steps on vectors, for several seeds at once: pure functions of stacked parameters.

Every parameter has the leading axes `[L, S]` for steps and seeds, and data have shape `[S, D, B]`: the batch is the innermost
axis, where products of small matrices are fastest. The seeds are independent models that are computed by the same kernels.
"""

import math
from collections.abc import Mapping

import tensorflow as tf

from tfflows.math.invertible_conv import log_abs_det

Parameters = Mapping[str, tf.Tensor]


def num_conditioning(dimensions: int) -> int:
    """Returns the number of dimensions that a coupling leaves unchanged: half, rounded up."""
    return dimensions - dimensions // 2


def network_shapes(inputs: int, outputs: int, width: int) -> dict[str, tuple[int, int]]:
    """Returns the shapes of a network with two hidden layers, by name, without the leading axes."""
    return {
        "hidden_1_weight": (width, inputs),
        "hidden_1_bias": (width, 1),
        "hidden_2_weight": (width, width),
        "hidden_2_bias": (width, 1),
        "output_weight": (outputs, width),
        "output_bias": (outputs, 1),
    }


def step_shapes(dimensions: int, condition_dimensions: int, width: int) -> dict[str, tuple[int, int]]:
    """Returns the shapes of the parameters of a Glow step, by name, without the leading axes."""
    conditioning = num_conditioning(dimensions)
    outputs = 2 * (dimensions - conditioning)
    return {
        "actnorm_bias": (dimensions, 1),
        "actnorm_log_scale": (dimensions, 1),
        "linear": (dimensions, dimensions),
        **network_shapes(conditioning + condition_dimensions, outputs, width),
    }


def step_parameters(parameters: Parameters) -> list[dict[str, tf.Tensor]]:
    """Splits stacked parameters `[L, S, ...]` into a list of L mappings of `[S, ...]`."""
    cut = {name: tf.unstack(value) for name, value in parameters.items()}
    return [dict(zip(cut, values, strict=True)) for values in zip(*cut.values(), strict=True)]


def actnorm(step: Parameters, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes `(x + bias) exp(log_scale)` for `[S, D, B]`, and its log-determinant `[S, 1]`, in nats."""
    log_scale = step["actnorm_log_scale"]
    return (x + step["actnorm_bias"]) * tf.exp(log_scale), tf.reduce_sum(log_scale, axis=-2)


def network(step: Parameters, x: tf.Tensor) -> tf.Tensor:
    """Applies a network of two hidden layers with ReLU: `[S, inputs, B] -> [S, outputs, B]`."""
    hidden = tf.nn.relu(tf.matmul(step["hidden_1_weight"], x) + step["hidden_1_bias"])
    hidden = tf.nn.relu(tf.matmul(step["hidden_2_weight"], hidden) + step["hidden_2_bias"])
    return tf.matmul(step["output_weight"], hidden) + step["output_bias"]


def bounded_log_scale(raw_scale: tf.Tensor) -> tf.Tensor:
    """Computes `3 tanh(r / 3)`: the scale is about `exp r` for small r, but does not explode over twenty couplings."""
    return 3 * tf.tanh(raw_scale / 3)


def coupling(step: Parameters, x: tf.Tensor, condition: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes `[a, b] -> [a, (b + t) exp(3 tanh(r / 3))]`, with `(t, r)` the halves of the network's output at `[a, condition]`.

    Args:
      step: Parameters of a step.
      x: Input, `[S, D, B]`.
      condition: Condition, `[S, C, B]`, or None.

    Returns:
      The result, and its log-determinant `[S, B]`, in nats.
    """
    conditioning, transformed = tf.split(x, [num_conditioning(x.shape[-2]), -1], axis=-2)
    inputs = conditioning if condition is None else tf.concat([conditioning, condition], axis=-2)
    shift, raw_scale = tf.split(network(step, inputs), 2, axis=-2)
    log_scale = bounded_log_scale(raw_scale)
    transformed = (transformed + shift) * tf.exp(log_scale)
    return tf.concat([conditioning, transformed], axis=-2), tf.reduce_sum(log_scale, axis=-2)


def glow_step(step: Parameters, x: tf.Tensor, condition: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
    """Applies actnorm, linear map and coupling to `[S, D, B]`; the log-determinant `[S, B]` excludes the linear map."""
    x, actnorm_log_det = actnorm(step, x)
    x, coupling_log_det = coupling(step, tf.matmul(step["linear"], x), condition)
    return x, coupling_log_det + actnorm_log_det


def glow(parameters: Parameters, x: tf.Tensor, condition: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
    """Applies all steps of stacked parameters to `[S, D, B]`; also returns the log-determinant `[S, B]`, in nats."""
    # Log-determinants of all linear maps at once.
    linear_log_dets = tf.reduce_sum(log_abs_det(parameters["linear"]), axis=0)
    log_dets = [tf.cast(linear_log_dets, x.dtype)[:, tf.newaxis]]
    for step in step_parameters(parameters):
        x, log_det = glow_step(step, x, condition)
        log_dets.append(log_det)
    return x, sum(log_dets)


def normal_log_prob(x: tf.Tensor) -> tf.Tensor:
    """Computes `ln N(x; 0, I)` over the dimensions of `[S, D, B]`: `[S, B]`, in nats."""
    return -0.5 * tf.reduce_sum(tf.square(x), axis=-2) - 0.5 * x.shape[-2] * math.log(2 * math.pi)
