"""What an integer map is.

An activation is an integer on a grid: its real value is `integer * grid`. The map of a bijector takes integers to integers,
data to latent, and may use the stack; it is undone exactly, and its real values are those of the bijector up to the grid's
fineness.
"""

import abc
import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from tfflows.compression.coder import CHUNK, Stack
from tfflows.compression.protocol import CannotCodeError

if TYPE_CHECKING:
    from tfflows.compression.maps.plan import Plan

# Integers stay below this, so that products with ratios fit into 64 bits.
LIMIT = 1 << 40


class Run:
    """One pass through the maps.

    Attributes:
      stack: The stack.
      context: What conditional networks are given, float64 `[B, H, W, C]`, or None.
      labels: Labels of the images, integers `[B]`, or None.
      bits: What each image has taken so far, about; float64 `[B]`.
    """

    def __init__(
        self, stack: Stack, count: int, context: np.ndarray | None = None, labels: np.ndarray | None = None
    ) -> None:
        """Begins a pass of `count` images."""
        self.stack = stack
        stack.chunk = CHUNK * max(count, 1)
        self.context = context
        self.labels = labels
        self.bits = np.zeros(count)

    def takes(self, bits: np.ndarray) -> None:
        """Adds bits `[B, ...]` to those of each image."""
        self.bits += np.sum(np.reshape(bits, [len(self.bits), -1]), axis=1)


class IntegerMap(abc.ABC):
    """A bijector on integers.

    Attributes:
      grid: float64 of the shape of an event of the output: the size of each of its grids.
      changes_spread: Whether the integers may have become so much larger or smaller that the grid should change.
      holds_maps: Whether it runs other maps, which were built by the plan.
    """

    grid: np.ndarray
    changes_spread = False
    holds_maps = False

    @abc.abstractmethod
    def encode(self, x: np.ndarray, run: Run) -> np.ndarray:
        """Data to latent; int64 `[B, ...]`."""
        ...

    @abc.abstractmethod
    def decode(self, x: np.ndarray, run: Run) -> np.ndarray:
        """Undoes `encode`."""
        ...

    def context_after(self, context: np.ndarray | None) -> np.ndarray | None:
        """The context that the maps behind this one see."""
        return context


@functools.singledispatch
def integer_map(bijector: Any, grid: np.ndarray, plan: "Plan") -> IntegerMap:
    """The integer map of a bijector; the maps register themselves by the bijector's class.

    Args:
      bijector: The bijector.
      grid: float64 of the shape of an event of data.
      plan: The plan, which builds the maps of bijectors within this one.

    Raises:
      CannotCodeError: If the bijector has no integer map.
    """
    raise CannotCodeError(
        f"The bijector {getattr(bijector, 'name', bijector)!r} ({type(bijector).__name__}) has no integer map, so its model "
        "cannot compress. Register one with tfflows.compression.maps.base.integer_map."
    )
