"""Additive and affine couplings: sums, and products with ratios that the network gives."""

import abc
import functools

import numpy as np

from tfflows.bijectors import AdditiveCoupling, AffineCoupling, CheckerboardAffineCoupling
from tfflows.bijectors.coupling import Coupling
from tfflows.compression import exact
from tfflows.compression.maps.base import LIMIT, IntegerMap, Run, integer_map
from tfflows.compression.maps.plan import Plan
from tfflows.compression.maps.scales import pixels_of, value_of
from tfflows.compression.network import FRACTION_BITS
from tfflows.compression.protocol import CannotCodeError
from tfflows.compression.ratios import divide, multiply, ratios

_SCALES = {
    "sigmoid": lambda raw: exact.sigmoid(raw + 2),
    "exp": exact.exp,
    "tanh": lambda raw: exact.exp(exact.tanh(raw)),
}
_RESCALED = "rescaled_tanh"
# Raw scales beyond it are those at it.
_LARGEST_RAW = 12


class CouplingMap(IntegerMap):
    """What couplings have in common: which channels condition, the network."""

    def __init__(self, bijector: Coupling, grid: np.ndarray, plan: Plan) -> None:
        """Creates the map of a coupling on a grid."""
        self._name = bijector.name
        self.grid = grid
        self._network = plan.networks.runner(bijector.network)
        self._takes_context = bijector.takes_condition
        self._needs_context = bijector.parameters["conditional"] is True
        self._choose_parts(bijector)

    def _choose_parts(self, bijector):
        """Sets what the network sees, the index of what is transformed in an event, and the network's channels."""
        channels = self.grid.shape[-1]
        transformed = bijector.parameters.get("transformed_channels") or channels // 2
        first = bijector.parameters["conditioning_half"] == "first"
        kept = channels - transformed
        self._kept = slice(0, kept) if first else slice(transformed, channels)
        self._changed = (..., slice(kept, channels) if first else slice(0, transformed))
        self._outputs = transformed * bijector._parameters_per_channel

    def encode(self, x: np.ndarray, run: Run) -> np.ndarray:
        """Data to latent."""
        part = x[:, *self._changed]
        return self._replaced(x, self._encoded(part, self._parameters(x, run), run))

    def decode(self, x: np.ndarray, run: Run) -> np.ndarray:
        """Undoes `encode`."""
        part = x[:, *self._changed]
        return self._replaced(x, self._decoded(part, self._parameters(x, run), run))

    def _replaced(self, x, part):
        x = x.copy()
        x[:, *self._changed] = part
        return x

    def _parameters(self, x, run):
        if self._needs_context and run.context is None:
            raise CannotCodeError(f"{self._name!r} depends on labels: the codec gives them to the last prior alone.")
        conditions = [{"context": run.context}] if self._takes_context and run.context is not None else []
        parameters = self._network(self._seen(x), *conditions)
        if parameters.shape != (*x.shape[:-1], self._outputs):
            raise CannotCodeError(f"The network of {self._name!r} gave the shape {parameters.shape}.")
        return parameters

    def _seen(self, x):
        """What the network is given."""
        return x[..., self._kept] * self.grid[..., self._kept]

    def _in_integers(self, shifts):
        return exact.to_integer(shifts / self.grid[self._changed])

    @abc.abstractmethod
    def _encoded(self, part, parameters, run): ...

    @abc.abstractmethod
    def _decoded(self, part, parameters, run): ...


class Additive(CouplingMap):
    """`[a, b] -> [a, b + t(a)]`."""

    def _encoded(self, part, parameters, run):
        return part + self._in_integers(parameters)

    def _decoded(self, part, parameters, run):
        return part - self._in_integers(parameters)


class Affine(CouplingMap):
    """`[a, b] -> [a, (b + t(a)) s(a)]` or `[a, b s(a) + t(a)]`, s a ratio."""

    changes_spread = True

    def __init__(self, bijector: AffineCoupling, grid: np.ndarray, plan: Plan) -> None:
        """Creates the map of an affine coupling on a grid."""
        super().__init__(bijector, grid, plan)
        self._ratios = _ratios_of(bijector)
        self._shift_first = bijector.parameters["order"] == "shift_then_scale"
        self._interleaved = bijector.parameters["parameter_order"] == "interleaved"

    def _encoded(self, part, parameters, run):
        shifts, (numerators, shift_bits) = self._split(parameters)
        run.takes(shift_bits - np.log2(numerators))
        if self._shift_first:
            return multiply(run.stack, checked(part + shifts), numerators, shift_bits)
        return multiply(run.stack, checked(part), numerators, shift_bits) + shifts

    def _decoded(self, part, parameters, run):
        shifts, given = self._split(parameters)
        if self._shift_first:
            return divide(run.stack, part, *given) - shifts
        return divide(run.stack, part - shifts, *given)

    def _split(self, parameters):
        channels = parameters.shape[-1] // 2
        if self._interleaved:
            shifts, raw = parameters[..., 0::2], parameters[..., 1::2]
        else:
            shifts, raw = parameters[..., :channels], parameters[..., channels:]
        return self._in_integers(shifts), look_up(self._ratios, raw)


class CheckerboardAffine(Affine):
    """The pixels of one colour as in `Affine`, given those of the other, among which the network sees zeros."""

    def _choose_parts(self, bijector):
        self._kept = pixels_of(bijector.parameters["conditioning_colour"], self.grid.shape)
        self._changed = (~self._kept,)
        self._outputs = 2 * self.grid.shape[-1]

    def _seen(self, x):
        return np.where(self._kept[..., np.newaxis], x * self.grid, 0.0)

    def _parameters(self, x, run):
        return super()._parameters(x, run)[:, *self._changed]


def scale_form(bijector: Coupling) -> str:
    """The name of a coupling's scale.

    Raises:
      CannotCodeError: If there is no table of it, as of functions.
    """
    form = bijector.parameters["scale"]
    if form not in _SCALES:
        raise CannotCodeError(f"The scale of {bijector.name!r} is {form!r}, of which there is no table of integers.")
    return form


def _ratios_of(bijector):
    """The table of ratios of an affine coupling."""
    if bijector.parameters["scale"] != _RESCALED:
        return ratio_table(scale_form(bijector))
    return ratios(exact.exp(value_of(bijector.rescaling) * exact.tanh(_raw_scales())))


@functools.cache
def ratio_table(form: str) -> tuple[np.ndarray, np.ndarray]:
    """Numerators and shifts of the scales of all rounded raw scales, from the least to the greatest."""
    return ratios(_SCALES[form](_raw_scales()))


def _raw_scales():
    return np.arange(-_LARGEST_RAW << FRACTION_BITS, (_LARGEST_RAW << FRACTION_BITS) + 1) / 2.0**FRACTION_BITS


def look_up(table: tuple[np.ndarray, ...], raw: np.ndarray) -> tuple[np.ndarray, ...]:
    """What tables over rounded raw scales say of some of them."""
    limited = np.clip(raw, -_LARGEST_RAW, _LARGEST_RAW)
    places = ((limited + _LARGEST_RAW) * 2.0**FRACTION_BITS).astype(np.int64)
    return tuple(column[places] for column in table)


def checked(x: np.ndarray) -> np.ndarray:
    """Integers, if they are small enough to be multiplied.

    Raises:
      CannotCodeError: If they are not.
    """
    if np.abs(x).max(initial=0) >= LIMIT:
        raise CannotCodeError("An image is too unlikely for the integers of its latents.")
    return x


@integer_map.register(AdditiveCoupling)
def _additive(bijector: AdditiveCoupling, grid: np.ndarray, plan: Plan) -> Additive:
    return Additive(bijector, grid, plan)


@integer_map.register(AffineCoupling)
@integer_map.register(CheckerboardAffineCoupling)
def _affine(bijector, grid: np.ndarray, plan: Plan) -> Affine:
    kind = CheckerboardAffine if isinstance(bijector, CheckerboardAffineCoupling) else Affine
    made = kind(bijector, grid, plan)
    plan.note(*made._ratios)
    return made
