"""How the maps of a flow are built one after the other, each on the grid that the one before it leaves."""

import dataclasses
import hashlib
from typing import Any

import numpy as np

from tfflows.compression.maps.base import IntegerMap, Run, integer_map
from tfflows.compression.maps.regrid import Regrid
from tfflows.compression.network import Networks

# Bits by which integers may be shorter, or longer, than they should be.
_MOST_LOST, _MOST_GAINED = 1, 6


@dataclasses.dataclass
class Plan:
    """Builds maps, and moves a sample of images along to choose where the grid has to change.

    Attributes:
      networks: Runs the networks.
      spread: Standard deviation that integers should have.
      regrids: For each map that changes the spread, in their order, the bits to add to each channel, or None; filled if there is
        a sample, used otherwise.
      unit_bits: Bits of the grid of the unit interval that a sigmoid leads to.
      sample: int64 `[B, ...]`, where the next map begins; None: `regrids` is given.
      run: The pass of the sample.
      num_classes: Number of classes of the labels that a map takes; 0 if none does.
    """

    networks: Networks
    spread: float
    regrids: list[list[int] | None]
    unit_bits: int = 8
    sample: np.ndarray | None = None
    run: Run | None = None
    num_classes: int = 0

    def __post_init__(self):
        self._digest = hashlib.sha256()
        self._place = 0

    @property
    def fingerprint(self) -> bytes:
        """A hash of the integer tables of all maps."""
        return self._digest.digest()

    def note(self, *tables: np.ndarray) -> None:
        """Adds tables to the fingerprint."""
        for table in tables:
            table = np.ascontiguousarray(table)
            self._digest.update(repr((table.shape, table.dtype.kind)).encode())
            self._digest.update(table.astype("<f8" if table.dtype.kind == "f" else "<i8").tobytes())

    def build(self, bijector: Any, grid: np.ndarray) -> list[IntegerMap]:
        """The map of a bijector, with a change of the grid behind it if it needs one."""
        made = integer_map(bijector, grid, self)
        return [made] if made.holds_maps else self.place(made)

    def place(self, made: IntegerMap) -> list[IntegerMap]:
        """A map that was made where the sample is, with a change of the grid behind it if it needs one."""
        self.follow(made)
        if not made.changes_spread:
            return [made]
        if self.sample is not None:
            self.regrids.append(self._chosen())
        chosen = self.regrids[self._place] if self._place < len(self.regrids) else None
        self._place += 1
        if chosen is None:
            return [made]
        regrid = Regrid(made.grid, np.asarray(chosen, np.int64))
        self.note(regrid.bits)
        self.follow(regrid)
        return [made, regrid]

    def follow(self, made: IntegerMap) -> None:
        """Moves the sample through a map."""
        if self.sample is not None:
            self.sample = made.encode(self.sample, self.run)
        if self.run is not None:
            self.run.context = made.context_after(self.run.context)

    def _chosen(self):
        channels = self.sample.shape[-1]
        spread = np.std(np.reshape(self.sample, [-1, channels]).astype(np.float64), axis=0)
        bits = np.round(np.log2(self.spread / np.maximum(spread, 1e-3))).astype(np.int64)
        # Each change takes time, so that it waits until it matters.
        if bits.max() <= _MOST_LOST and bits.min() >= -_MOST_GAINED:
            return None
        return np.clip(bits, -30, 20).tolist()
