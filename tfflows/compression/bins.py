"""Integers under Gaussian and logistic distributions: the bin from a table of integers, the place in the bin uniformly.

A scale is 16 to 32 bins of a Gaussian, 8 to 16 of a logistic, so that a density is as good as constant within a bin. Means
are rounded to quarters of a bin, scales to 1/64 of the least scale: together they cost some 1e-4 bits. What lies beyond the
table is an escape, and its distance is coded by its number of binary digits.
"""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from tfflows.compression import exact
from tfflows.compression.coder import Stack
from tfflows.compression.protocol import CannotCodeError

PRECISION = 18
_OFFSETS = 4
_LEVELS = 64
# Of 2**PRECISION, for all that lies beyond one end of a table.
_ESCAPE = 16
_MAX_BIN_BITS = 40


@dataclasses.dataclass(frozen=True)
class Binned:
    """A family of distributions of a location and a scale, on the integers.

    Attributes:
      name: Its name.
      cdf: Cumulative distribution function of the standard member.
      scale_bits: A scale is `2**scale_bits` to twice as many bins.
      reach: Scales on each side of the mean that a table covers.
      has_escapes: Whether there are integers beyond the table. Noise, which is popped before it is pushed, must not have any: it
        would be as far out as escapes go, now and then.

    Example:
      >>> import numpy as np
      >>> from tfflows.compression.bins import GAUSSIAN
      >>> from tfflows.compression.coder import Stack
      >>> x, mean, scale = np.array([70_000, -3, 10**9]), np.zeros(3), np.full(3, 50_000.0)
      >>> stack = Stack()
      >>> GAUSSIAN.push(stack, x, mean, scale)
      >>> print(GAUSSIAN.pop(stack, mean, scale), stack.holds_noise_alone())
      [     70000         -3 1000000000] True
    """

    name: str
    cdf: Callable[[np.ndarray], np.ndarray]
    scale_bits: int
    reach: float
    has_escapes: bool = True

    def push(
        self, stack: Stack, x: np.ndarray, mean: np.ndarray, scale: np.ndarray, masks: np.ndarray | None = None
    ) -> None:
        """Pushes integers.

        Args:
          stack: The stack.
          x: int64 `[...]`, below 2**45 in absolute value.
          mean: float64 of the same shape, in units of x; the same bits wherever they are computed.
          scale: As `mean`: the standard deviations of Gaussians, the scales of logistics.
          masks: int64 of the same shape, below `2**PRECISION`, as for `Stack.pop_intervals`.

        Raises:
          CannotCodeError: If an integer lies beyond the table of a family without escapes.
        """
        x, (bits, centre, row) = np.ravel(x), self._bins(np.ravel(mean), np.ravel(scale))
        table = _table(self)
        stack.push_bits(x & ((1 << bits) - 1), bits)
        place = (x >> bits) - centre
        below, above = -table.half[row] - 1 - place, place - table.half[row]
        beyond = np.maximum(below, above)
        far = beyond >= 0
        if far.any():
            if not self.has_escapes:
                raise CannotCodeError(f"{self.name} does not reach as far as {self.reach} scales.")
            _push_magnitudes(stack, beyond[far])
        symbol = np.clip(place + table.half[row] + 1, 0, 2 * table.half[row] + 1)
        index = table.first[row] + symbol
        stack.push_intervals(
            table.starts[index], table.widths[index], PRECISION, None if masks is None else np.ravel(masks)
        )

    def pop(self, stack: Stack, mean: np.ndarray, scale: np.ndarray, masks: np.ndarray | None = None) -> np.ndarray:
        """Pops what `push` pushed with the same means, scales and masks; int64 of their shape."""
        bits, centre, row = self._bins(np.ravel(mean), np.ravel(scale))
        table = _table(self)

        def find(points, part):
            index = np.searchsorted(table.keys, (row[part] << PRECISION) + points, side="right") - 1
            return index - table.first[row[part]], table.starts[index], table.widths[index]

        symbol = stack.pop_intervals(row.size, PRECISION, find, None if masks is None else np.ravel(masks))
        half = table.half[row]
        place = symbol - half - 1
        low, high = symbol == 0, symbol == 2 * half + 1
        far = low | high
        if far.any():
            beyond = np.zeros_like(place)
            beyond[far] = _pop_magnitudes(stack, int(far.sum()))
            place = np.where(low, place - beyond, place + beyond)
        x = ((place + centre) << bits) + stack.pop_bits(bits)
        return x.reshape(np.shape(mean))

    def _bins(self, mean, scale):
        """Bits of a bin's size, the bin of the mean, and the row of the table."""
        _, exponent = np.frexp(scale)
        bits = np.clip(exponent - 1 - self.scale_bits, 0, _MAX_BIN_BITS).astype(np.int64)
        least = 1 << self.scale_bits
        in_bins = np.ldexp(scale, -bits.astype(np.int32)) / least
        level = np.clip(exact.to_integer((in_bins - 1) * _LEVELS), 0, _LEVELS - 1)
        quarters = exact.to_integer(np.ldexp(mean, -bits.astype(np.int32)) * _OFFSETS)
        return bits, quarters // _OFFSETS, level * _OFFSETS + quarters % _OFFSETS


@dataclasses.dataclass(frozen=True)
class _Table:
    """The rows of a family, one after the other; row `level * _OFFSETS + offset`."""

    starts: np.ndarray  # of each symbol of each row
    widths: np.ndarray
    keys: np.ndarray  # row * 2**PRECISION + start, rising
    first: np.ndarray  # index of the first symbol of a row
    half: np.ndarray  # bins on each side of the centre of a row


@functools.cache
def _table(family: Binned) -> _Table:
    starts, widths, keys, first, halves = [], [], [], [], []
    for row in range(_LEVELS * _OFFSETS):
        level, offset = divmod(row, _OFFSETS)
        scale = (1 << family.scale_bits) * (1 + level / _LEVELS)
        half = int(np.ceil(family.reach * scale))
        edges = family.cdf((np.arange(-half, half + 1) - offset / _OFFSETS) / scale)
        escape = _ESCAPE if family.has_escapes else 0
        if not family.has_escapes:
            edges = (edges - edges[0]) / (edges[-1] - edges[0])
        counts = np.arange(2 * half + 1)
        falling = exact.to_integer(edges * ((1 << PRECISION) - 2 * escape)) - counts
        # Every bin keeps a width of 1 at least; the room for it is taken from the middle.
        lower, upper = np.maximum.accumulate(falling), np.minimum.accumulate(falling[::-1])[::-1]
        rising = np.where(counts <= half, lower, upper) + counts + escape
        own = np.concatenate([[0], rising, [1 << PRECISION]])
        first.append(sum(map(len, starts)))
        halves.append(half)
        starts.append(own[:-1])
        widths.append(np.diff(own))
        keys.append((row << PRECISION) + own[:-1])
        if widths[-1][1:-1].min() < 1:
            raise AssertionError(f"A bin of the {family.name} has no width.")
    return _Table(*map(np.concatenate, (starts, widths, keys)), np.array(first), np.array(halves))


def _push_magnitudes(stack, values):
    """Numbers 0, 1, ...: the number of binary digits below 64, then the digits behind the first."""
    _, digits = np.frexp((values + 1).astype(np.float64))
    behind = digits.astype(np.int64) - 1
    stack.push_bits((values + 1) & ((1 << behind) - 1), behind)
    stack.push(behind, 64)


def _pop_magnitudes(stack, count):
    behind = np.minimum(stack.pop(64, count), 62)
    return (1 << behind) + stack.pop_bits(behind) - 1


def _logistic_cdf(x):
    return exact.sigmoid(x)


GAUSSIAN = Binned("Gaussian", exact.normal_cdf, 4, 4.25)
GAUSSIAN_NOISE = Binned("Gaussian noise", exact.normal_cdf, 4, 4.25, has_escapes=False)
LOGISTIC = Binned("logistic", _logistic_cdf, 3, 10.0)
