"""Fixed points of maps in which each number depends only on those before it, in some order."""

import math
from collections.abc import Callable

import tensorflow as tf

# The last change that matters to images, relative to values above 1. A grey level is 0.004.
TOLERANCE = 1e-5


def fixed_point(
    update: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    start: tf.Tensor,
    kept: tf.Tensor,
    max_rounds: int,
    tolerance: float = 0.0,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Solves `y = f(y)` by the iteration `y <- f(y)` (Jacobi's), where f is triangular: each number sees only those before it.

    In exact arithmetic each round settles at least all numbers whose predecessors are settled, so the longest chain of them is
    the number of rounds that any such f needs; usually far fewer do. What is not settled yet may grow without bounds. f does not
    see numbers beyond the square root of the largest one, since infinity times a weight of zero is NaN, for settled numbers too.

    Args:
      update: `y -> (f(y), kept)`; what is kept is returned for the last round.
      start: First y.
      kept: A tensor of the shape of what `update` keeps.
      max_rounds: Largest number of rounds.
      tolerance: The iteration ends when no number changes by more than `tolerance * max(1, |y|)`; 0: when nothing changes.

    Returns:
      `(y, kept, num_rounds)`; numbers too large for f to see are NaN.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.math.fixed_point import fixed_point
      >>> matrix = tf.constant([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [1.0, 3.0, 0.0]])
      >>> y, _, num_rounds = fixed_point(lambda y: (1.0 + tf.linalg.matvec(matrix, y), y), tf.zeros([3]), tf.zeros([3]), 4)
      >>> print(y.numpy(), num_rounds.numpy())  # the last round changes nothing
      [ 1.  3. 11.] 4

    References:
      Song et al. 2021, https://arxiv.org/abs/2002.03629.
    """
    limit = math.sqrt(start.dtype.max)

    def seen(y):
        return tf.where(tf.abs(y) <= limit, y, tf.zeros_like(y))

    def changes(new, old):
        if not tolerance:
            return tf.reduce_any(new != old)
        return tf.reduce_any(tf.abs(new - old) > tolerance * tf.maximum(tf.abs(new), 1.0))

    def body(count, y, moving, kept):
        del moving, kept
        new, kept = update(seen(y))
        return count + 1, new, changes(seen(new), seen(y)), kept

    num_rounds, y, _, kept = tf.while_loop(
        lambda count, y, moving, kept: moving,
        body,
        (tf.constant(0), start, tf.constant(True), kept),
        maximum_iterations=max_rounds,
    )
    # A number of the solution that is too large was not seen by those after it.
    return tf.where(tf.abs(y) <= limit, y, tf.constant(math.nan, y.dtype)), kept, num_rounds
