"""Squeezes, checkerboards, permutations: integers that change their places."""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.bijectors import (
    CheckerboardMerge,
    CheckerboardSplit,
    Permutation,
    Reverse,
    Squeeze,
    SwapHalves,
    Unsqueeze,
)
from tfflows.compression.maps.base import IntegerMap, Run, integer_map
from tfflows.compression.maps.plan import Plan

tfb = tfp.bijectors


class Move(IntegerMap):
    """`x -> x[places]`, with events taken as vectors."""

    def __init__(self, grid: np.ndarray, places: np.ndarray, moved_context: tfb.Bijector | None = None) -> None:
        """Creates the map.

        Args:
          grid: The grid of the input.
          places: Where each element comes from, integers of the shape of an event of the output.
          moved_context: Bijector that moves the context in the same way, if it is to be moved.
        """
        self._shape, self._places = grid.shape, places
        self._inverse = np.argsort(places.ravel())
        self._moved_context = moved_context
        self.grid = grid.ravel()[places]

    def encode(self, x: np.ndarray, run: Run) -> np.ndarray:
        """Data to latent."""
        return np.reshape(x, [len(x), -1])[:, self._places]

    def decode(self, x: np.ndarray, run: Run) -> np.ndarray:
        """Undoes `encode`."""
        return np.reshape(np.reshape(x, [len(x), -1])[:, self._inverse], [len(x), *self._shape])

    def context_after(self, context: np.ndarray | None) -> np.ndarray | None:
        """The context, moved as images are by squeezes."""
        if context is None or self._moved_context is None:
            return context
        return self._moved_context.squeeze_condition(tf.constant(context), 1).numpy()


def _places_of(bijector, shape):
    numbers = tf.reshape(tf.range(np.prod(shape), dtype=tf.float64), [1, *shape])
    return bijector.inverse(numbers).numpy()[0].astype(np.int64)


@integer_map.register(CheckerboardMerge)
@integer_map.register(CheckerboardSplit)
@integer_map.register(Permutation)
@integer_map.register(Reverse)
@integer_map.register(SwapHalves)
def _move(bijector, grid: np.ndarray, plan: Plan) -> Move:
    return Move(grid, _places_of(bijector, grid.shape))


@integer_map.register(Squeeze)
@integer_map.register(Unsqueeze)
def _squeeze(bijector, grid: np.ndarray, plan: Plan) -> Move:
    return Move(grid, _places_of(bijector, grid.shape), bijector)
