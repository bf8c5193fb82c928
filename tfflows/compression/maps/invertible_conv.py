"""1x1 convolutions by integer lifting.

With the grids of the channels taken into the matrix, it is `P D L U`: P a permutation, D a diagonal, L and U triangular with a
unit diagonal. U and then L add to each channel a rounded sum of others that lifting has not changed, which is undone by
subtracting the same sum. The signs of D are exact, its absolute values are the new grid.
"""

import numpy as np

from tfflows.bijectors import InvertibleConv, InvertibleConvLU
from tfflows.compression import exact
from tfflows.compression.maps.base import IntegerMap, Run, integer_map
from tfflows.compression.maps.compositions import ChainMap
from tfflows.compression.maps.one_grid import OneGrid
from tfflows.compression.maps.plan import Plan
from tfflows.compression.maps.scales import value_of
from tfflows.compression.protocol import CannotCodeError

# Coefficients are multiples of 2**-24.
_FRACTION_BITS = 24
_HALF = 1 << (_FRACTION_BITS - 1)
_LARGEST_COEFFICIENT = 2.0**20


class Lifting(IntegerMap):
    """`x -> signs * L(U(x))` with the channels in another order; `[B, ..., C]`."""

    changes_spread = True

    def __init__(
        self, grid: np.ndarray, upper: np.ndarray, lower: np.ndarray, signs: np.ndarray, order: np.ndarray
    ) -> None:
        """Creates the map.

        Args:
          grid: The grid of the output.
          upper: Strictly upper triangular coefficients, multiples of `2**-24`, int64 `[C, C]`.
          lower: Strictly lower triangular ones.
          signs: 1 or -1, int64 `[C]`.
          order: Which channel each channel of the output is, int64 `[C]`.
        """
        self.grid = grid
        self._upper, self._lower, self._signs = upper, lower, signs[:, np.newaxis]
        self._order, self._inverse_order = order, np.argsort(order)

    def encode(self, x: np.ndarray, run: Run) -> np.ndarray:
        """Data to latent."""
        columns = np.ascontiguousarray(np.reshape(x, [-1, x.shape[-1]]).T)
        columns += (self._upper @ columns + _HALF) >> _FRACTION_BITS
        columns += (self._lower @ columns + _HALF) >> _FRACTION_BITS
        return np.reshape((columns * self._signs)[self._order].T, x.shape)

    def decode(self, x: np.ndarray, run: Run) -> np.ndarray:
        """Undoes `encode`."""
        columns = np.reshape(x, [-1, x.shape[-1]]).T[self._inverse_order] * self._signs
        channels = len(columns)
        for i in range(1, channels):
            columns[i] -= (self._lower[i, :i] @ columns[:i] + _HALF) >> _FRACTION_BITS
        for i in reversed(range(channels - 1)):
            columns[i] -= (self._upper[i, i + 1 :] @ columns[i + 1 :] + _HALF) >> _FRACTION_BITS
        return np.reshape(columns.T, x.shape)


@integer_map.register(InvertibleConv)
def _dense(bijector: InvertibleConv, grid: np.ndarray, plan: Plan) -> IntegerMap:
    return _lifting(bijector, value_of(bijector.weight), grid, plan)


@integer_map.register(InvertibleConvLU)
def _factors(bijector: InvertibleConvLU, grid: np.ndarray, plan: Plan) -> IntegerMap:
    if bijector.diagonal_form == "sign_log":
        diagonal = value_of(bijector.sign) * exact.exp(value_of(bijector.log_abs_diagonal))
    else:
        diagonal = value_of(bijector.diagonal)
    lower = np.tril(value_of(bijector.lower), -1) + np.eye(len(diagonal))
    upper = np.triu(value_of(bijector.upper), 1) + np.diag(diagonal)
    weight = exact_matmul(value_of(bijector.permutation), exact_matmul(lower, upper))
    return _lifting(bijector, weight, grid, plan)


def _lifting(bijector, weight, grid, plan):
    maps = []
    channels = np.reshape(grid, [-1, grid.shape[-1]])
    if not (channels == channels[0]).all():
        one_grid = OneGrid(grid)
        plan.note(one_grid.numerators, one_grid.shifts)
        maps += plan.place(one_grid)
        channels = np.reshape(maps[-1].grid, channels.shape)
    matrix = weight.T * channels[0]
    order, lower, upper = exact_lu(matrix)
    diagonal = np.diag(upper)
    scales = np.abs(diagonal)
    if not (np.isfinite(upper).all() and (scales > 0).all()):
        raise CannotCodeError(f"The weight of {bijector.name!r} ({type(bijector).__name__}) has no inverse.")
    upper = np.triu(upper / diagonal[:, np.newaxis], 1)
    lower = np.tril(lower * diagonal / diagonal[:, np.newaxis], -1)
    if max(np.abs(upper).max(), np.abs(lower).max()) > _LARGEST_COEFFICIENT:
        raise CannotCodeError(f"The weight of {bijector.name!r} ({type(bijector).__name__}) is all but singular.")
    scale = 2.0**_FRACTION_BITS
    # `order[k]` is the output that row k gives.
    places = np.argsort(order)
    tables = exact.to_integer(upper * scale), exact.to_integer(lower * scale), np.where(diagonal < 0, -1, 1), places
    plan.note(*tables)
    maps += plan.place(Lifting(np.broadcast_to(scales[places], grid.shape), *tables))
    return ChainMap(maps, grid)


def exact_matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`a @ b` with its sums in one order, so that it has the same bits everywhere."""
    total = np.zeros([len(a), b.shape[1]])
    for k in range(len(b)):
        total = total + a[:, k, np.newaxis] * b[k]
    return total


def exact_lu(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`(order, L, U)` with `matrix[order] = L U`, by elimination with row pivots in one order of operations.

    Example:
      >>> import numpy as np
      >>> from tfflows.compression.maps.invertible_conv import exact_lu
      >>> order, lower, upper = exact_lu(np.array([[1.0, 2.0], [4.0, 4.0]]))
      >>> print(order, lower.tolist(), upper.tolist())
      [1 0] [[1.0, 0.0], [0.25, 1.0]] [[4.0, 4.0], [0.0, 1.0]]
    """
    upper = np.array(matrix, np.float64)
    size = len(upper)
    order, lower = np.arange(size), np.zeros_like(upper)
    for k in range(size - 1):
        pivot = k + int(np.argmax(np.abs(upper[k:, k])))
        for rows in (upper, lower, order):
            rows[[k, pivot]] = rows[[pivot, k]]
        if upper[k, k] == 0:
            break
        factors = upper[k + 1 :, k] / upper[k, k]
        lower[k + 1 :, k] = factors
        upper[k + 1 :] = upper[k + 1 :] - factors[:, np.newaxis] * upper[k]
        upper[k + 1 :, k] = 0.0
    return order, lower + np.eye(size), upper
