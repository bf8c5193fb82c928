"""One grid where there were several: constant ratios."""

import numpy as np

from tfflows.compression.maps.base import IntegerMap, Run
from tfflows.compression.ratios import divide, multiply, ratios


class OneGrid(IntegerMap):
    """Brings integers of different grids to one grid by constant ratios."""

    changes_spread = True

    def __init__(self, grid: np.ndarray, new_grid: np.ndarray | None = None) -> None:
        """Creates the map.

        Args:
          grid: The grid of the input, `[..., C]`.
          new_grid: The grid of the output; None: one for all pixels of a channel.
        """
        if new_grid is None:
            # The power of two in the middle of those of a channel, so that the ratios are near 1.
            _, exponents = np.frexp(np.reshape(grid, [-1, grid.shape[-1]]))
            middle = np.ldexp(1.0, (exponents.min(axis=0) + exponents.max(axis=0)) // 2)
            new_grid = np.broadcast_to(middle, grid.shape)
        self.grid = new_grid
        self.numerators, self.shifts = ratios(grid / new_grid)
        self._log_ratios = np.log2(self.numerators) - self.shifts

    def encode(self, x: np.ndarray, run: Run) -> np.ndarray:
        """Data to latent."""
        run.takes(np.broadcast_to(-self._log_ratios, x.shape))
        return multiply(run.stack, x, *self._ratios(x.shape))

    def decode(self, x: np.ndarray, run: Run) -> np.ndarray:
        """Undoes `encode`."""
        return divide(run.stack, x, *self._ratios(x.shape))

    def _ratios(self, shape):
        return np.broadcast_to(self.numerators, shape), np.broadcast_to(self.shifts, shape)
