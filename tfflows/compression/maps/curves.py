"""Increasing functions of one variable as integer maps: lines between the values at coarse points.

Coarse points are multiples of `2**c`. The value at point number i is a whole number `knot(i)` in units of `2**(c - F)` integers
of the output, and the knots rise strictly. Between two of them the map is a line of slope `rise / 2**F`: as in
`tfflows.compression.ratios`, r is popped below the rise, and the last F bits of the result are pushed.
"""

import abc

import numpy as np
import tensorflow_probability as tfp

from tfflows.bijectors import Logit
from tfflows.compression import exact
from tfflows.compression.coder import quantize_cdf
from tfflows.compression.maps.base import LIMIT, IntegerMap, Run, integer_map
from tfflows.compression.maps.compositions import ChainMap
from tfflows.compression.maps.one_grid import OneGrid
from tfflows.compression.maps.plan import Plan
from tfflows.compression.protocol import CannotCodeError

tfb = tfp.bijectors

FINE_BITS = 12
_LARGEST_RISE = 1 << 32
_LARGEST_KNOT = 2.0**60
_MOST_STEPS = 200


class Curve(abc.ABC):
    """Increasing functions of N variables.

    Attributes:
      coarse_bits: c of each function, int64 `[N]`.
      fine_bits: F.
    """

    coarse_bits: np.ndarray
    fine_bits = FINE_BITS

    @abc.abstractmethod
    def knots(self, places: np.ndarray, which: slice | np.ndarray) -> np.ndarray:
        """The knots number `places` of the functions `which`, int64; they rise by at least 1 with each place."""
        ...

    @abc.abstractmethod
    def guess(self, values: np.ndarray) -> np.ndarray:
        """Where a knot may have about these values, int64 `[N]`; it may be wrong, and differ from machine to machine."""
        ...

    def forward(self, x: np.ndarray, run: Run) -> np.ndarray:
        """The values of integers `[N]`."""
        bits, places = self.coarse_bits, x >> self.coarse_bits
        low = self.knots(places, slice(None))
        rise = self.knots(places + 1, slice(None)) - low
        if rise.max(initial=1) > _LARGEST_RISE:
            raise CannotCodeError("An image is too unlikely for the slopes of its latents.")
        run.takes(self.fine_bits - np.log2(rise))
        out = (low << bits) + (x - (places << bits)) * rise
        for part in run.stack.chunks(len(x)):
            out[part] += run.stack.pop_below(rise[part])
            run.stack.push_bits(out[part] & ((1 << self.fine_bits) - 1), self.fine_bits)
        return out >> self.fine_bits

    def backward(self, y: np.ndarray, run: Run) -> np.ndarray:
        """Undoes `forward`."""
        out = y << self.fine_bits
        guesses = self.guess(out >> self.coarse_bits)
        x = np.empty_like(out)
        for part in reversed(run.stack.chunks(len(y))):
            out[part] += run.stack.pop_bits(self.fine_bits, part.stop - part.start)
            bits = self.coarse_bits[part]
            places, low, rise = self._interval(out[part] >> bits, guesses[part], part)
            n = out[part] - (low << bits)
            steps = n // rise
            x[part] = (places << bits) + steps
            run.stack.push_below(n - steps * rise, rise)
        return x

    def _interval(self, values, places, part):
        """The intervals whose knots enclose values: number, lower knot and rise of each."""
        which, places = np.arange(part.start, part.stop), places.copy()
        least, most = np.full(places.shape, -(1 << 62)), np.full(places.shape, 1 << 62)
        low, high = np.empty_like(places), np.empty_like(places)
        step = np.ones_like(places)
        left = np.arange(len(places))
        for _ in range(_MOST_STEPS):
            low[left] = self.knots(places[left], which[left])
            high[left] = self.knots(places[left] + 1, which[left])
            below, above = values[left] < low[left], values[left] >= high[left]
            least[left[above]] = places[left[above]] + 1
            most[left[below]] = places[left[below]] - 1
            left = left[below | above]
            if not left.size:
                return places, low, high - low
            # Towards the interval in steps that double, until it is enclosed; then by halves.
            enclosed = (least[left] > -(1 << 62)) & (most[left] < 1 << 62)
            beyond = np.where(most[left] < 1 << 62, most[left] - step[left] + 1, least[left] + step[left] - 1)
            places[left] = np.where(enclosed, (least[left] + most[left]) >> 1, beyond)
            step[left] *= 2
            if np.abs(places[left]).max() >= LIMIT:
                break
        raise CannotCodeError("What is decoded has no place on a curve.")


def rising_knots(values: np.ndarray, units: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Whole numbers of units near values that rise with the places, made to rise strictly.

    Two are added from each place to the next: one for a value that rises by less than a unit, one for a value that seems to fall
    because it was rounded.
    """
    scaled = np.floor(values / units)
    if not np.abs(scaled).max(initial=0.0) < _LARGEST_KNOT:
        raise CannotCodeError("An image is too unlikely for the integers of its latents.")
    return scaled.astype(np.int64) + 2 * places


class LogitCurve(Curve):
    """`logit(scale v + 1/2)` of values v on one grid."""

    def __init__(self, count: int, grid: float, scale: float) -> None:
        """Creates the functions, which are all the same.

        Args:
          count: Their number.
          grid: The grid of v and of the values.
          scale: The scale.
        """
        _, exponent = np.frexp(grid)
        self.coarse_bits = np.full(count, np.clip(-8 - exponent, 0, FINE_BITS))
        self._grid, self._scale = grid, scale
        self._unit = np.ldexp(grid, int(self.coarse_bits[0]) - FINE_BITS) if count else 1.0

    def knots(self, places: np.ndarray, which: slice | np.ndarray) -> np.ndarray:
        """The knots."""
        v = np.ldexp(places.astype(np.float64), int(self.coarse_bits[0])) * self._grid
        p = np.clip(0.5 + self._scale * v, 2.0**-24, 1 - 2.0**-24)
        return rising_knots(exact.log(p) - exact.log(1 - p), self._unit, places)

    def guess(self, values: np.ndarray) -> np.ndarray:
        """Where a knot may have these values."""
        places = np.zeros(values.shape, np.int64)
        for _ in range(2):
            logit = np.clip((values - 2.0 * places) * self._unit, -40, 40)
            v = 0.5 * np.tanh(0.5 * logit) / self._scale
            places = np.floor(np.ldexp(v / self._grid, -int(self.coarse_bits[0]))).astype(np.int64)
        return places


class CurveMap(IntegerMap):
    """One curve for all values, on one grid for all."""

    changes_spread = True

    def __init__(self, grid: np.ndarray, make: type, *settings: float) -> None:
        """Creates the map.

        Args:
          grid: The grid of the output.
          make: Makes the curve: `make(count, *settings)`.
          *settings: What the curve depends on.
        """
        self.grid = grid
        self._make, self._settings = make, settings

    def encode(self, x: np.ndarray, run: Run) -> np.ndarray:
        """Data to latent."""
        return self._make(x.size, *self._settings).forward(x.ravel(), run).reshape(x.shape)

    def decode(self, x: np.ndarray, run: Run) -> np.ndarray:
        """Undoes `encode`."""
        return self._make(x.size, *self._settings).backward(x.ravel(), run).reshape(x.shape)


@integer_map.register(Logit)
def _logit(bijector: Logit, grid: np.ndarray, plan: Plan) -> ChainMap:
    maps = on_one_grid(grid, plan)
    grid = maps[-1].grid if maps else grid
    curve = CurveMap(grid, LogitCurve, float(grid.flat[0]), 1 - 2 * bijector.parameters["margin"])
    return ChainMap([*maps, *plan.place(curve)], grid)


def on_one_grid(grid: np.ndarray, plan: Plan) -> list[IntegerMap]:
    """Maps that bring all values to one grid; none if they are on it."""
    if (grid == grid.flat[0]).all():
        return []
    _, exponents = np.frexp(grid)
    made = OneGrid(grid, np.ldexp(np.ones(grid.shape), (int(exponents.min()) + int(exponents.max())) // 2))
    plan.note(made.numerators, made.shifts)
    return plan.place(made)


class SigmoidCurve(Curve):
    """`sigmoid(x)` onto the integers `0 ... 2**bits - 1`, for x between -16 and 16."""

    _REACH, _PLACES_A_UNIT = 16, 64

    def __init__(self, count: int, grid: float, bits: int) -> None:
        """Creates the functions, which are all the same.

        Args:
          count: Their number.
          grid: The grid of x, a power of two.
          bits: Bits of the values.
        """
        _, exponent = np.frexp(grid)
        coarse = int(1 - exponent) - 6
        if coarse < 0:
            raise CannotCodeError("The grid of what goes into a sigmoid is too coarse.")
        # The least knot, at -16, is 0 and the greatest 2**24.
        self.fine_bits = 24 + coarse - bits
        self.coarse_bits = np.full(count, coarse)
        self._limit = self._REACH * self._PLACES_A_UNIT
        points = np.arange(-self._limit, self._limit + 1) / self._PLACES_A_UNIT
        self._table = quantize_cdf(exact.sigmoid(points), 24)

    def knots(self, places: np.ndarray, which: slice | np.ndarray) -> np.ndarray:
        """The knots."""
        if places.min(initial=0) < -self._limit or places.max(initial=0) > self._limit:
            raise CannotCodeError("Noise is too far out for its sigmoid.")
        return self._table[places + self._limit]

    def guess(self, values: np.ndarray) -> np.ndarray:
        """Where a knot has these values."""
        found = np.searchsorted(self._table, values, side="right") - 1 - self._limit
        return np.clip(found, -self._limit, self._limit - 1)


@integer_map.register(tfb.Invert)
def _invert(bijector: tfb.Invert, grid: np.ndarray, plan: Plan) -> ChainMap:
    if not isinstance(bijector.bijector, tfb.Sigmoid):
        return integer_map.dispatch(object)(bijector, grid, plan)
    maps = on_one_grid(grid, plan)
    grid = maps[-1].grid if maps else grid
    value = float(grid.flat[0])
    if np.frexp(value)[0] != 0.5:
        one_grid = OneGrid(grid, np.ldexp(np.ones(grid.shape), int(np.frexp(value)[1])))
        plan.note(one_grid.numerators, one_grid.shifts)
        maps += plan.place(one_grid)
        value = float(maps[-1].grid.flat[0])
    curve = CurveMap(np.full(grid.shape, 2.0**-plan.unit_bits), SigmoidCurve, value, plan.unit_bits)
    curve.changes_spread = False
    return ChainMap([*maps, *plan.place(curve)], grid)
