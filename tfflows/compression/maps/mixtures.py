"""Couplings by mixtures of logistics: `logit(CDF)`, a scale and a shift as one increasing function."""

import functools

import numpy as np
import tensorflow as tf

from tfflows.bijectors import LogisticMixtureCoupling, LogisticMixtureLogitCDF
from tfflows.compression import exact
from tfflows.compression.maps.base import IntegerMap, Run, integer_map
from tfflows.compression.maps.coupling import CouplingMap, scale_form
from tfflows.compression.maps.curves import FINE_BITS, Curve, rising_knots
from tfflows.compression.maps.plan import Plan
from tfflows.compression.maps.scales import value_of
from tfflows.math.bounded_logit import bounded_logit_inverse
from tfflows.math.logistic_mixture import solve

# Coarse points are at most an eighth of the least scale apart.
_POINTS_A_SCALE_BITS = 3
_NEAR = 40.0


class MixtureCurve(Curve):
    """`x -> logit((1 - 2 m) F(x) + m) exp(s) + t` with a mixture F for each variable."""

    def __init__(
        self, parameters: np.ndarray, grid: np.ndarray, form: str, min_log_scale: float | None, margin: float
    ) -> None:
        """Creates the functions.

        Args:
          parameters: float64 `[2 + 3 K, N]`: raw log-scale, shift, logits, means, log-scales.
          grid: The grids, float64 `[N]`.
          form: How the scale follows from the raw one.
          min_log_scale: Lower bound of the mixtures' log-scales, or None.
          margin: m.
        """
        num_components = (len(parameters) - 2) // 3
        self._grid, self._margin = grid, margin
        self._scale, self._shift = _SCALES[form](parameters[0]), parameters[1]
        logits, self._means, log_scales = np.split(parameters[2:], 3)
        if min_log_scale is not None:
            log_scales = np.maximum(log_scales, min_log_scale)
        self._logits = logits - _log_sum_exp(logits)
        self._log_scales = log_scales
        self._inverse_scales = exact.exp(-log_scales)
        least = exact.exp(np.min(log_scales, axis=0)) / grid
        _, exponent = np.frexp(least)
        self.coarse_bits = np.clip(exponent - 1 - _POINTS_A_SCALE_BITS, 0, FINE_BITS).astype(np.int64)
        self._unit = np.ldexp(grid, self.coarse_bits.astype(np.int32) - FINE_BITS)
        self._num_components = num_components

    def knots(self, places: np.ndarray, which: slice | np.ndarray) -> np.ndarray:
        """The knots."""
        x = (places << self.coarse_bits[which]) * self._grid[which]
        values = self._values(x, which) * self._scale[which] + self._shift[which]
        return rising_knots(values, self._unit[which], places)

    def _values(self, x, which):
        """The logit, elementwise; all sums run over the components in their order."""
        z = (x - self._means[:, which]) * self._inverse_scales[:, which]
        large = 1 / (1 + exact.exp(-np.abs(z)))
        log_pi = self._logits[:, which]
        value = _log_sum(log_pi + np.minimum(z, 0.0), large) - _log_sum(log_pi - np.maximum(z, 0.0), large)
        if not self._margin:
            return value
        bound = _bound(self._margin)
        near = np.clip(value, -_NEAR, _NEAR)
        return exact.softplus(near + bound) - exact.softplus(near - bound) - bound

    def guess(self, values: np.ndarray) -> np.ndarray:
        """Where a knot may have these values, by the library's root finder."""
        places = np.zeros(values.shape, np.int64)
        solver = _solver(self._num_components, self._margin)
        for _ in range(2):
            y = ((values - 2.0 * places) * self._unit - self._shift) / self._scale
            x = solver(y, self._logits, self._means, self._log_scales).numpy()
            x = np.clip(np.nan_to_num(x), -1e9 * self._grid, 1e9 * self._grid)
            places = np.floor(x / self._grid).astype(np.int64) >> self.coarse_bits
        return places


_SCALES = {
    "sigmoid": lambda raw: exact.sigmoid(raw + 2),
    "exp": lambda raw: exact.exp(np.clip(raw, -30.0, 30.0)),
    "tanh": lambda raw: exact.exp(exact.tanh(raw)),
}


def _log_sum(exponents, factors):
    """`ln sum_k factors_k exp(exponents_k)`."""
    top = np.max(exponents, axis=0)
    total = np.zeros_like(top)
    for term in factors * exact.exp(exponents - top):
        total = total + term
    return top + exact.log(total)


def _log_sum_exp(terms):
    return _log_sum(terms, np.ones_like(terms))


def _bound(margin):
    return float(exact.log((1 - margin) / margin))


@functools.cache
def _solver(num_components, margin):
    column, rows = tf.TensorSpec([None], tf.float64), tf.TensorSpec([num_components, None], tf.float64)

    def run(y, logits, means, log_scales):
        if margin:
            y, _ = bounded_logit_inverse(y, margin)
        return solve(y, logits, means, log_scales)[0]

    return tf.function(run, [column, rows, rows, rows], autograph=False)


class MixtureCoupling(CouplingMap):
    """`[a, b] -> [a, f(b; a)]` with the functions of `MixtureCurve`."""

    changes_spread = True

    def __init__(self, bijector: LogisticMixtureCoupling, grid: np.ndarray, plan: Plan) -> None:
        """Creates the map of a coupling on a grid."""
        super().__init__(bijector, grid, plan)
        self._form = scale_form(bijector), bijector.parameters["min_log_scale"], bijector.parameters["margin"]
        self._kinds = 2 + 3 * bijector.num_components

    def _encoded(self, part, parameters, run):
        return self._curve(part, parameters).forward(_columns(part), run).reshape(part.shape)

    def _decoded(self, part, parameters, run):
        return self._curve(part, parameters).backward(_columns(part), run).reshape(part.shape)

    def _curve(self, part, parameters):
        rows = np.moveaxis(parameters.reshape([*part.shape[:-1], self._kinds, part.shape[-1]]), -2, 0)
        grid = np.broadcast_to(self.grid[self._changed], part.shape)
        return MixtureCurve(np.ascontiguousarray(rows.reshape([self._kinds, -1])), grid.ravel(), *self._form)


def _columns(part):
    return np.ascontiguousarray(part).ravel()


@integer_map.register(LogisticMixtureCoupling)
def _mixture(bijector: LogisticMixtureCoupling, grid: np.ndarray, plan: Plan) -> MixtureCoupling:
    return MixtureCoupling(bijector, grid, plan)


class GivenMixtures(IntegerMap):
    """The functions of `MixtureCurve` with parameters of the bijector's own, the same for all images."""

    changes_spread = True

    def __init__(self, bijector: LogisticMixtureLogitCDF, grid: np.ndarray) -> None:
        """Creates the map on a grid."""
        self.grid = grid
        single = [np.broadcast_to(value_of(each), grid.shape) for each in (bijector.log_scale, bijector.shift)]
        components = [
            np.moveaxis(np.broadcast_to(each, [*grid.shape, each.shape[-1]]), -1, 0)
            for each in map(value_of, (bijector.logits, bijector.means, bijector.log_scales))
        ]
        self.parameters = np.concatenate([np.stack(single), *components]).reshape([-1, grid.size])

    def encode(self, x: np.ndarray, run: Run) -> np.ndarray:
        """Data to latent."""
        return self._curve(len(x)).forward(x.ravel(), run).reshape(x.shape)

    def decode(self, x: np.ndarray, run: Run) -> np.ndarray:
        """Undoes `encode`."""
        return self._curve(len(x)).backward(x.ravel(), run).reshape(x.shape)

    def _curve(self, count):
        return MixtureCurve(np.tile(self.parameters, count), np.tile(self.grid.ravel(), count), "exp", None, 0.0)


@integer_map.register(LogisticMixtureLogitCDF)
def _given_mixtures(bijector: LogisticMixtureLogitCDF, grid: np.ndarray, plan: Plan) -> GivenMixtures:
    made = GivenMixtures(bijector, grid)
    plan.note(made.parameters)
    return made
