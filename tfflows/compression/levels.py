"""Levels of colours under mixtures of discretized logistics, in integers.

A level j of n lies between the edges j and j + 1 of a mixture of logistics over the real line; the first and the last reach to
infinity. The parameters are rounded outputs of networks, and all that follows from them is the same wherever it is computed:
the logistic function is a table, and sums over components are sums of integers.
"""

import functools

import numpy as np

from tfflows.compression import exact
from tfflows.compression.coder import Stack

# Of the intervals of the coder. A level keeps a probability of 2**-18, and 256 of them cost others 0.0014 bits.
PRECISION = 18
# Of weights and of the logistic function.
_WEIGHT_BITS = 20
_CDF_BITS = 30
# The table of the logistic function: entries a unit, and where it ends on both sides.
_ENTRIES = 1 << 13
_REACH = 24
# Levels are looked for in rounds that divide what is left by this.
_FANOUT = 16


def unit_weights(count: int, num_components: int) -> np.ndarray:
    """Equal weights of components, int64 `[count, num_components]`."""
    return np.full([count, num_components], 1 << _WEIGHT_BITS, np.int64)


def weights_of(exponentials: np.ndarray) -> np.ndarray:
    """Weights in proportion to numbers of which the greatest of each row is 1, int64."""
    return exact.to_integer(exponentials * float(1 << _WEIGHT_BITS))


class LevelMixture:
    """`sum_k w_k Logistic(m_k, s_k)` on levels `0 ... n - 1`, one mixture a row.

    Example:
      >>> import numpy as np
      >>> from tfflows.compression.coder import Stack
      >>> from tfflows.compression.levels import LevelMixture, unit_weights
      >>> mixture = LevelMixture(unit_weights(3, 1), np.full([3, 1], 100.5), np.full([3, 1], 1 / 8), num_levels=256)
      >>> starts, widths = mixture.intervals(np.array([100, 0, 255]))
      >>> print(np.round(widths / 2**18, 4))  # that of the middle is tanh(1 / 32)
      [0.0312 0.     0.    ]
      >>> stack = Stack()
      >>> mixture.push(stack, np.array([100, 0, 255]))
      >>> print(mixture.pop(stack))
      [100   0 255]
    """

    def __init__(self, weights: np.ndarray, means: np.ndarray, inverse_scales: np.ndarray, num_levels: int) -> None:
        """Creates the mixtures.

        Args:
          weights: int64 `[N, K]`, 0 to 2**20, some of each row not 0.
          means: float64 `[N, K]`, the same bits wherever they are computed, in units of levels: the middle of level j is
            `j + 1/2`.
          inverse_scales: As `means`.
          num_levels: Number n of levels, a power of 2.
        """
        self._weights = weights
        self._total = weights.sum(axis=-1, keepdims=True)
        self._means, self._inverse_scales = means[:, np.newaxis], (inverse_scales * float(_ENTRIES))[:, np.newaxis]
        self._num_levels = num_levels
        self._free = (1 << PRECISION) - num_levels
        # The outer edges are infinitely far away.
        self._edges = np.concatenate([[-np.inf], np.arange(1.0, num_levels), [np.inf]])
        self._mass = np.empty(weights.shape, np.int64)

    def intervals(self, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Starts and widths of levels `[N]` within `[0, 2**PRECISION)`, int64."""
        edges = np.stack([levels, levels + 1], axis=1)
        below = self._below(edges, slice(None))
        self._mass = below[:, 1] - below[:, 0]
        starts = self._starts(edges, below, slice(None))
        return starts[:, 0], starts[:, 1] - starts[:, 0]

    def push(self, stack: Stack, levels: np.ndarray) -> None:
        """Pushes levels `[N]`."""
        stack.push_intervals(*self.intervals(levels), PRECISION)

    def pop(self, stack: Stack) -> np.ndarray:
        """Pops what `push` pushed."""
        return stack.pop_intervals(len(self._total), PRECISION, self._find)

    def weights_after(self) -> np.ndarray:
        """Weights of the components given the levels that `intervals` or `pop` had last, int64 `[N, K]`."""
        # One unit at least: a level that no component expects is as good as impossible under each.
        joint = self._weights * np.maximum(self._mass, 1)
        _, digits = np.frexp(joint.max(axis=-1, keepdims=True).astype(np.float64))
        digits = digits.astype(np.int64) - _WEIGHT_BITS
        return (joint << np.maximum(-digits, 0)) >> np.maximum(digits, 0)

    def _find(self, points, part):
        """The levels in whose intervals points are, with their starts and widths."""
        low, span, places = np.zeros_like(points), self._num_levels, np.arange(len(points))
        while span > 1:
            parts = min(span, _FANOUT)
            span //= parts
            edges = low[:, np.newaxis] + np.arange(0, (parts + 1) * span, span)
            below = self._below(edges, part)
            starts = self._starts(edges, below, part)
            found = (starts[:, 1:-1] <= points[:, np.newaxis]).sum(axis=1)
            low = low + span * found
        self._mass[part] = below[places, found + 1] - below[places, found]
        start = starts[places, found]
        return low, start, starts[places, found + 1] - start

    def _starts(self, edges, below, part):
        """Where the levels above edges `[N, E]` begin."""
        sums = np.matmul(below, self._weights[part][..., np.newaxis])[..., 0]
        return ((sums // self._total[part] * self._free) >> _CDF_BITS) + edges

    def _below(self, edges, part):
        """`2**_CDF_BITS` times the probability of each component below edges `[N, E]`, int64 `[N, E, K]`."""
        place = (self._edges[edges][..., np.newaxis] - self._means[part]) * self._inverse_scales[part]
        place = np.minimum(np.maximum(place + float(_REACH * _ENTRIES), 0.0), float(2 * _REACH * _ENTRIES))
        return logistic_table()[place.astype(np.int64)]


@functools.cache
def logistic_table() -> np.ndarray:
    """`2**30` times the logistic function at multiples of 2**-13 from -24 to 24; it never falls, from 0 to 2**30."""
    places = np.arange(-_REACH * _ENTRIES, _REACH * _ENTRIES + 1) / float(_ENTRIES)
    return exact.to_integer(exact.sigmoid(places) * float(1 << _CDF_BITS))
