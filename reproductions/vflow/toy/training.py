"""Training of a cell: many iterations per call, compiled as a whole by XLA, all seeds at once."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from reproductions.vflow.toy import checkerboard
from reproductions.vflow.toy.bound import FlowParameters, log_weight
from reproductions.vflow.toy.cells import BATCH_SIZE, LEARNING_RATE, Cell
from tfflows.math.random import RowKeys, fold_in, normal_rows, row_keys, uniform_rows

# Iterations whose samples are drawn at once, enough that the overhead of a call is negligible.
BLOCK = 1000

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8
# Share of the training, at its end, in which the learning rate falls.
_DECAYED_SHARE = 0.3


class State(NamedTuple):
    """State of training: parameters and Adam's moments, each by flow and name, `[L, S, ...]`."""

    parameters: dict
    first_moments: dict
    second_moments: dict


def initial_state(parameters: FlowParameters) -> State:
    """Returns the state before the first iteration."""
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
    """Draws points of the checkerboard and the noise of z, batches `start ... start + num_batches - 1` of a stream.

    The batch of a seed depends only on the seed, the stream and the number of the batch. The noise of z differs with and without
    XLA.

    Args:
      cell: The cell, for the size of z.
      seeds: The S seeds.
      stream: Name of the stream, such as `'train'`.
      start: Number of the first batch.
      num_batches: Number of batches, N.
      batch_size: Samples per batch, B.
      dtype: Dtype of points and noise.

    Returns:
      Points `x`, `[N, S, 2, B]`, and noise, `[N, S, D_z, B]`, with D_z = 0 for Glow.
    """
    keys = [fold_in(row_keys(seed, start=start), stream) for seed in seeds]
    uniforms = [uniform_rows(fold_in(key, "x"), num_batches, [3, batch_size], dtype) for key in keys]
    x = checkerboard.from_uniforms(tf.stack(uniforms, axis=1))
    return x, draw_noise(cell, keys, num_batches, batch_size, dtype)


def draw_noise(
    cell: Cell, keys: Sequence[RowKeys], num_batches: int, batch_size: int, dtype: tf.DType = tf.float32
) -> tf.Tensor:
    """Draws standard normal noise of z, `[N, S, D_z, B]`, from the keys of each seed."""
    size = cell.latent_dimensions
    if not size:
        return tf.zeros([num_batches, len(keys), 0, batch_size], dtype)
    normals = [normal_rows(fold_in(key, "z"), num_batches, [size, batch_size], dtype) for key in keys]
    return tf.stack(normals, axis=1)


def loss_and_gradients(
    cell: Cell, parameters: FlowParameters, x: tf.Tensor, noise: tf.Tensor
) -> tuple[tf.Tensor, FlowParameters]:
    """Computes the loss, minus the mean bound over a batch, `[S]`, in nats, and its gradients.

    The seeds share no parameters, so the gradient of the sum of losses is the gradient of each.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(parameters)
        losses = -tf.reduce_mean(log_weight(cell, parameters, x, noise), axis=-1)
        total = tf.reduce_sum(losses)
    return losses, tape.gradient(total, parameters)


def learning_rate_at(iteration: int | tf.Tensor, num_iterations: int, peak: float = LEARNING_RATE) -> tf.Tensor:
    """Computes the learning rate of iteration t = 1 ... T: `peak` up to 0.7 T, then `peak (1 - t / T) / 0.3`, linear to zero."""
    left = 1 - tf.cast(iteration, tf.float32) / num_iterations
    return peak * tf.minimum(1.0, left / _DECAYED_SHARE)


def adam(
    state: State, gradients: FlowParameters, iteration: int | tf.Tensor, learning_rate: float | tf.Tensor
) -> State:
    """Applies one update of Adam (Kingma & Ba 2015), with bias-corrected moments.

    Args:
      state: State before the update.
      gradients: Gradients by flow and name.
      iteration: Number of the iteration, from 1.
      learning_rate: Learning rate.
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
    """Builds the compiled function that trains for up to `block` iterations.

    Args:
      cell: The cell.
      seeds: The S seeds.
      num_iterations: Number of iterations of the whole training, for the learning rate.
      block: Number of iterations whose samples a call draws.
      batch_size: Samples per iteration.

    Returns:
      A function `(state, start, count) -> (state, losses)` that trains for `count` iterations, at most `block`, from iteration
      `start` on. The losses are means over these iterations, `[S]`, in nats. Splitting a training into calls in a different way
      gives the same result bit for bit.
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
