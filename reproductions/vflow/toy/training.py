"""Training of a cell: many iterations a call, compiled as a whole by XLA, all seeds at once."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from reproductions.vflow.toy import checkerboard
from reproductions.vflow.toy.bound import FlowParameters, log_weight
from reproductions.vflow.toy.cells import BATCH_SIZE, LEARNING_RATE, Cell
from tfflows.math.random import RowKeys, fold_in, normal_rows, row_keys, uniform_rows

# Iterations whose samples are drawn at once: enough that what a call costs is nothing beside them.
BLOCK = 1000

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8
# The last so much of a training has a falling learning rate.
_DECAYED_SHARE = 0.3


class State(NamedTuple):
    """What training changes: parameters and Adam's moments, each by flow and name, `[L, S, ...]`."""

    parameters: dict
    first_moments: dict
    second_moments: dict


def initial_state(parameters: FlowParameters) -> State:
    """The state before the first iteration."""
    return State(parameters, _zeros_like(parameters), _zeros_like(parameters))


def draw(
    cell: Cell,
    seeds: Sequence[int],
    stream: str,
    start: int | tf.Tensor,
    num_batches: int,
    batch_size: int,
    dtype: tf.DType = tf.float32,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Points of the checkerboard and the noise of z, batches `start ... start + num_batches - 1` of a stream.

    A seed's batch depends on the seed, the stream and the batch's number alone; the noise of z under XLA is another than
    without it.

    Args:
      cell: The cell, for the size of z.
      seeds: Python integers, S of them.
      stream: Python `str`, such as `'train'`.
      start: Integer, number of the first batch.
      num_batches: Python `int` N.
      batch_size: Python `int` B.
      dtype: Of the numbers.

    Returns:
      `x`, `[N, S, 2, B]`, and the noise, `[N, S, D_z, B]`, of no dimension for Glow.
    """
    keys = [fold_in(row_keys(seed, start=start), stream) for seed in seeds]
    uniforms = [uniform_rows(fold_in(key, "x"), num_batches, [3, batch_size], dtype) for key in keys]
    x = checkerboard.from_uniforms(tf.stack(uniforms, axis=1))
    return x, draw_noise(cell, keys, num_batches, batch_size, dtype)


def draw_noise(
    cell: Cell, keys: Sequence[RowKeys], num_batches: int, batch_size: int, dtype: tf.DType = tf.float32
) -> tf.Tensor:
    """Standard normal noise of z, `[N, S, D_z, B]`, for `RowKeys` of each seed."""
    size = cell.latent_dimensions
    if not size:
        return tf.zeros([num_batches, len(keys), 0, batch_size], dtype)
    normals = [normal_rows(fold_in(key, "z"), num_batches, [size, batch_size], dtype) for key in keys]
    return tf.stack(normals, axis=1)


def loss_and_gradients(
    cell: Cell, parameters: FlowParameters, x: tf.Tensor, noise: tf.Tensor
) -> tuple[tf.Tensor, FlowParameters]:
    """The mean over a batch of minus the bound, `[S]`, in nats, and its gradients.

    The seeds share no parameter, so that the gradient of their sum is that of each.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(parameters)
        losses = -tf.reduce_mean(log_weight(cell, parameters, x, noise), axis=-1)
        total = tf.reduce_sum(losses)
    return losses, tape.gradient(total, parameters)


def learning_rate_at(iteration: int | tf.Tensor, num_iterations: int, peak: float = LEARNING_RATE) -> tf.Tensor:
    """Of iteration t = 1 ... T: `peak` up to 0.7 T, then a line to zero, `peak (1 - t / T) / 0.3`."""
    left = 1 - tf.cast(iteration, tf.float32) / num_iterations
    return peak * tf.minimum(1.0, left / _DECAYED_SHARE)


def adam(
    state: State, gradients: FlowParameters, iteration: int | tf.Tensor, learning_rate: float | tf.Tensor
) -> State:
    """One update by Adam (Kingma & Ba 2015), moments corrected for their start at zero.

    Args:
      state: The state before.
      gradients: By flow and name.
      iteration: Integer scalar, 1 for the first.
      learning_rate: Python `float` or scalar `Tensor`.
    """
    dtype = tf.nest.flatten(gradients)[0].dtype
    count = tf.cast(iteration, dtype)
    rate = tf.cast(learning_rate, dtype) * tf.sqrt(1 - _BETA_2**count) / (1 - _BETA_1**count)
    first = tf.nest.map_structure(lambda m, g: m + (1 - _BETA_1) * (g - m), state.first_moments, gradients)
    second = tf.nest.map_structure(lambda v, g: v + (1 - _BETA_2) * (g * g - v), state.second_moments, gradients)
    parameters = tf.nest.map_structure(
        lambda value, m, v: value - rate * m / (tf.sqrt(v) + _EPSILON), state.parameters, first, second
    )
    return State(parameters, first, second)


def build_run(
    cell: Cell, seeds: Sequence[int], num_iterations: int, block: int = BLOCK, batch_size: int = BATCH_SIZE
) -> Callable[[State, tf.Tensor, tf.Tensor], tuple[State, tf.Tensor]]:
    """The compiled function that trains for up to `block` iterations.

    Args:
      cell: The cell.
      seeds: Python integers, S of them.
      num_iterations: Python `int`, of the whole training, for the learning rate.
      block: Python `int`, how many iterations' samples a call draws.
      batch_size: Python `int`, samples an iteration.

    Returns:
      A function `(state, start, count) -> (state, losses)`: from iteration `start` on, `count` of at most `block`; the losses
      are means over these iterations, `[S]`, in nats. Where a long training is cut changes no bit of it.
    """

    def run(state, start, count):
        dtype = tf.nest.flatten(state.parameters)[0].dtype
        x, noise = draw(cell, seeds, "train", start, block, batch_size, dtype)

        def iterate(i, state, total):
            losses, gradients = loss_and_gradients(cell, state.parameters, x[i], noise[i])
            iteration = start + i + 1
            rate = learning_rate_at(iteration, num_iterations)
            return i + 1, adam(state, gradients, iteration, rate), total + losses

        _, state, total = tf.while_loop(
            lambda i, *_: i < count,
            iterate,
            (tf.constant(0, tf.int64), State(*state), tf.zeros([len(seeds)], dtype)),
        )
        return state, total / tf.cast(count, dtype)

    return tf.function(run, jit_compile=True, autograph=False)


def _zeros_like(parameters):
    return tf.nest.map_structure(tf.zeros_like, parameters)
