"""The order in which the pixels of a masked convolution can be found, several at once, and what each needs of earlier ones.

Pixels are found tick by tick. A tick has `num_slots` slots, each with at most one pixel. What a slot needs is at most `lag` ticks
old and lies `offset` slots away, the same for every tick and slot. So a sequential inverse is one loop over ticks that carries
the last few of them, whatever the size of the image.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tfflows.math.masked_convolution import MASKED


@dataclasses.dataclass(frozen=True)
class Tap:
    """What a pixel sees: `lag` ticks ago, `offset` slots away; the tap `(row, column)` of a kernel of order A."""

    lag: int
    offset: int
    row: int
    column: int


@dataclasses.dataclass(frozen=True)
class Phase:
    """Ticks `start ... stop - 1`, in which only the slots `first ... last - 1` hold pixels."""

    start: int
    stop: int
    first: int
    last: int


@dataclasses.dataclass(frozen=True)
class Wavefront:
    """The order in which pixels are found.

    Attributes:
      num_ticks: Number of ticks.
      num_slots: Number of slots per tick.
      pixels: int array `[num_ticks, num_slots]`: the number of the pixel there, row-major; H * W where there is none.
      places: int array `[H * W]`: where each pixel stands among all `num_ticks * num_slots` slots.
      taps: All `Tap`s.
      cyclic: Whether the first and the last slot are neighbours; otherwise nothing lies beyond the ends.
      phases: All ticks, in consecutive `Phase`s, each of which may be computed by itself: nothing lies beyond the ends of a phase
        that lacks some slots, and what a later phase sees of an earlier one lies in slots that both have.
    """

    num_ticks: int
    num_slots: int
    pixels: np.ndarray
    places: np.ndarray
    taps: tuple[Tap, ...]
    cyclic: bool
    phases: tuple[Phase, ...]

    @property
    def is_dense(self) -> bool:
        """Whether every slot holds a pixel, in row-major order."""
        return self.pixels.size == self.places.size

    @property
    def longest_lag(self) -> dict[int, int]:
        """`{offset: lag}`: for each offset, the oldest tick that a tap needs."""
        lags = {}
        for tap in self.taps:
            lags[tap.offset] = max(lags.get(tap.offset, 0), tap.lag)
        return lags


def wavefront(kind: str, kernel_size: Sequence[int], height: int, width: int) -> Wavefront:
    """The `Wavefront` of order A for an image of `height` x `width`; `kernel_size` is that of order A.

    Example:
      >>> from tfflows.math.wavefront import wavefront
      >>> for kind, kernel_size in (("masked", (3, 3)), ("shifted", (2, 3))):
      ...     front = wavefront(kind, kernel_size, height=8, width=8)
      ...     print(kind, front.num_ticks, front.num_slots)  # 2 (H - 1) + W, or H
      masked 22 5
      shifted 8 8
    """
    if kind == MASKED:
        return diagonals(kernel_size, height, width)
    return lines(kernel_size, height, width)


def lines(kernel_size: Sequence[int], height: int, width: int) -> Wavefront:
    """The wavefront of a shifted convolution: one row per tick, H ticks."""
    kernel_height, kernel_width = kernel_size
    side = kernel_width // 2
    taps = [
        Tap(kernel_height - row, column - side, row, column)
        for row in range(kernel_height)
        for column in range(kernel_width)
    ]
    pixels = np.arange(height * width).reshape([height, width])
    phases = (Phase(0, height, 0, width),)
    return Wavefront(height, width, pixels, pixels.reshape([-1]), tuple(taps), cyclic=False, phases=phases)


def diagonals(kernel_size: Sequence[int], height: int, width: int) -> Wavefront:
    """The wavefront of a masked convolution: one diagonal per tick.

    There are `d (H - 1) + W` ticks with `d = k // 2 + 1`; for 3x3, `2 (H - 1) + W`. Tick t finds pixel (i, t - d i) of each row
    i that has one. Row i stands in slot i modulo `num_slots`. There are enough slots for all rows under way at once, and for a
    slot to rest for k // 2 ticks between two rows. What is seen beyond the left and the right border is then a slot that rests:
    zeros.
    """
    kernel_height, kernel_width = kernel_size
    above, side = kernel_height // 2, kernel_width // 2
    delay = side + 1
    num_ticks = delay * (height - 1) + width
    num_slots = -(-(width + side) // delay)
    # A row above the first one is the slot of a row that has not begun.
    num_slots = max(num_slots, above + 1)
    pixels = np.full([num_ticks, num_slots], height * width)
    for row in range(height):
        pixels[delay * row + np.arange(width), row % num_slots] = row * width + np.arange(width)
    rows, columns = np.divmod(np.arange(height * width), width)
    places = (delay * rows + columns) * num_slots + rows % num_slots
    taps = [
        Tap(delay * up - right, -up, above - up, side + right)
        for up in range(above + 1)
        for right in range(-side, side + 1)
        if up > 0 or right < 0
    ]
    phases = _phases(num_ticks, num_slots, height, width, above, delay)
    return Wavefront(num_ticks, num_slots, pixels, places, tuple(taps), cyclic=True, phases=phases)


# With fewer slots, the fixed cost of a tick outweighs what narrower ticks save.
_MIN_SLOTS = 32


def _phases(num_ticks, num_slots, height, width, above, delay):
    """Splits off the first and last ticks, when a quarter or half of the slots hold pixels, which saves a fifth of all slots."""
    whole = (Phase(0, num_ticks, 0, num_slots),)
    parts = [rows for rows in (num_slots // 4, num_slots // 2) if rows]
    if num_slots < _MIN_SLOTS or height < num_slots or not parts:
        return whole
    phases, start = [], 0
    for rows in parts:
        # The first row that has not begun will see `above` rows.
        phases.append(Phase(start, delay * rows, 0, min(rows + above, num_slots)))
        start = delay * rows
    last = (height - 1) % num_slots + 1
    if last < parts[-1]:
        return whole  # the last rows wrap around the end
    ends = []
    for rows in parts:
        # From this tick on, only the last `rows` rows are under way.
        ends.append((delay * (height - rows - 1) + width, rows))
    ends = [(tick, rows) for tick, rows in reversed(ends) if start < tick < num_ticks]
    starts = [start, *(tick for tick, _ in ends)]
    stops = [*starts[1:], num_ticks]
    firsts = [0, *(last - rows for _, rows in ends)]
    lasts = [num_slots, *(last for _ in ends)]
    return (*phases, *map(Phase, starts, stops, firsts, lasts))
