"""Constant scales and shifts: a scale changes the grid alone, a shift is a sum."""

from typing import Any

import numpy as np
import tensorflow_probability as tfp

from tfflows.bijectors import ActNorm, BatchNorm
from tfflows.compression import exact
from tfflows.compression.maps.base import IntegerMap, Run, integer_map
from tfflows.compression.maps.plan import Plan
from tfflows.compression.protocol import CannotCodeError
from tfflows.math.coupling import COLOURS, colour_mask

tfb = tfp.bijectors


class ScaleAndShift(IntegerMap):
    """`x -> signs * x + shifts`, on another grid."""

    def __init__(self, grid: np.ndarray, shifts: np.ndarray | int = 0, signs: np.ndarray | int = 1) -> None:
        """Creates the map.

        Args:
          grid: The grid of the output.
          shifts: int64 that broadcast to the grid.
          signs: 1 or -1, as `shifts`.
        """
        self.grid = grid
        self._shifts, self._signs = shifts, signs

    def encode(self, x: np.ndarray, run: Run) -> np.ndarray:
        """Data to latent."""
        return x * self._signs + self._shifts

    def decode(self, x: np.ndarray, run: Run) -> np.ndarray:
        """Undoes `encode`."""
        return (x - self._shifts) * self._signs


def value_of(parameter: Any) -> np.ndarray:
    """A parameter in float64."""
    return np.asarray(parameter, np.float64)


@integer_map.register(ActNorm)
def _actnorm(bijector: ActNorm, grid: np.ndarray, plan: Plan) -> ScaleAndShift:
    bias, signs = value_of(bijector.bias), np.int64(1)
    if bijector.form == "shift_then_scale":
        shifts = exact.to_integer(bias / grid)
        grid = grid * exact.exp(bijector.parameters["log_scale_factor"] * value_of(bijector.log_scale))
    else:
        if bijector.form == "exp_scale_then_shift":
            scale = exact.exp(value_of(bijector.log_scale))
        elif bijector.form == "positive_scale_then_shift":
            scale = np.maximum(value_of(bijector.scale), 1e-10)
        else:
            scale = value_of(bijector.scale)
            signs = np.where(scale < 0, -1, 1)
        grid = grid * np.abs(scale)
        shifts = exact.to_integer(bias / check_grid(bijector, grid))
    plan.note(shifts, signs)
    return ScaleAndShift(check_grid(bijector, grid), shifts, signs)


@integer_map.register(BatchNorm)
def _batch_norm(bijector: BatchNorm, grid: np.ndarray, plan: Plan) -> ScaleAndShift:
    """The running statistics: a scale and a shift of the part that is normalized."""
    part, half = bijector.parameters["part"], grid.shape[-1] // 2
    if part in COLOURS:
        index = (pixels_of(part, grid.shape),)
    else:
        index = ..., {"all": slice(None), "first": slice(half), "second": slice(half, None)}[part]
    shifts, grid = np.zeros(grid.shape, np.int64), grid.copy()
    shifts[index] = -exact.to_integer(value_of(bijector.mean) / grid[index])
    grid[index] /= np.sqrt(value_of(bijector.variance) + bijector.parameters["epsilon"])
    plan.note(shifts)
    return ScaleAndShift(check_grid(bijector, grid), shifts)


def pixels_of(colour: str, shape: tuple[int, ...]) -> np.ndarray:
    """Which pixels of events `[H, W, C]` have a colour of the checkerboard, bool `[H, W]`."""
    return colour_mask(*shape[:2], colour).numpy()[..., 0]


@integer_map.register(tfb.Scale)
def _scale(bijector: tfb.Scale, grid: np.ndarray, plan: Plan) -> ScaleAndShift:
    scale = value_of(bijector.scale)
    with np.errstate(divide="ignore"):
        grid = check_grid(bijector, grid / np.abs(scale))
    return ScaleAndShift(grid, signs=np.where(scale < 0, -1, 1))


@integer_map.register(tfb.Identity)
def _identity(bijector: tfb.Identity, grid: np.ndarray, plan: Plan) -> ScaleAndShift:
    return ScaleAndShift(grid)


def check_grid(bijector: tfb.Bijector, grid: np.ndarray) -> np.ndarray:
    """The grid, if it is one.

    Raises:
      CannotCodeError: If a size is not positive or not finite.
    """
    if not (np.isfinite(grid).all() and (grid > 0).all()):
        raise CannotCodeError(f"A scale of {bijector.name!r} ({type(bijector).__name__}) is zero or not finite.")
    return grid
