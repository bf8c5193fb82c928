"""In what order the pixels of a masked convolution can be found, several at a time, and what each needs of those before.

Pixels are found tick by tick. A tick has `num_slots` places, each with at most one pixel; what a place needs is at most
`lag` ticks old and lies `offset` places away, the same for every tick and place. So a sequential inverse is one loop over
ticks that carries the last few of them, whatever the size of the image.
"""

import dataclasses

import numpy as np

from tfflows.math.masked_convolution import MASKED


@dataclasses.dataclass(frozen=True)
class Tap:
    """What a pixel sees: `lag` ticks ago, `offset` places on; the tap `(row, column)` of a kernel of order A."""

    lag: int
    offset: int
    row: int
    column: int


@dataclasses.dataclass(frozen=True)
class Phase:
    """Ticks `start ... stop - 1`, in which pixels stand in the places `first ... last - 1` alone."""

    start: int
    stop: int
    first: int
    last: int


@dataclasses.dataclass(frozen=True)
class Wavefront:
    """The order in which pixels are found.

    Attributes:
      num_ticks: Python `int`.
      num_slots: Python `int`, places a tick.
      pixels: int array `[num_ticks, num_slots]`: number of the pixel, row-major, that stands there; H * W where none does.
      places: int array `[H * W]`: where each pixel stands among all `num_ticks * num_slots` places.
      taps: List of `Tap`.
      cyclic: Whether places are neighbours around the end; else nothing lies beyond the ends.
      phases: All ticks in consecutive `Phase`s, each of which may be computed by itself: nothing lies beyond the ends of one that
        has not all places, and what a later one sees of an earlier one lies in places that both have.
    """

    num_ticks: int
    num_slots: int
    pixels: np.ndarray
    places: np.ndarray
    taps: tuple[Tap, ...]
    cyclic: bool
    phases: tuple[Phase, ...]

    @property
    def is_dense(self):
        """Whether every place holds a pixel, in their own order."""
        return self.pixels.size == self.places.size

    @property
    def longest_lag(self):
        """`{offset: lag}`, of each offset the oldest tick that a tap needs."""
        lags = {}
        for tap in self.taps:
            lags[tap.offset] = max(lags.get(tap.offset, 0), tap.lag)
        return lags


def wavefront(kind, kernel_size, height, width):
    """The `Wavefront` of order A of an image of `height` x `width`; `kernel_size` as of order A."""
    if kind == MASKED:
        return diagonals(kernel_size, height, width)
    return lines(kernel_size, height, width)


def lines(kernel_size, height, width):
    """Of a shifted convolution: a row a tick, H ticks."""
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


def diagonals(kernel_size, height, width):
    """Of a masked convolution: a diagonal a tick, `d (H - 1) + W` ticks with `d = k // 2 + 1`; 2 (H - 1) + W for 3x3.

    Tick t finds pixel (i, t - d i) of each row i that has one. Row i stands in place i modulo `num_slots`: there are as many as
    rows under way at a time, and so many more that a place rests for k // 2 ticks between two rows. What is seen beyond the left
    and the right border is then what rested, zeros.
    """
    kernel_height, kernel_width = kernel_size
    above, side = kernel_height // 2, kernel_width // 2
    delay = side + 1
    num_ticks = delay * (height - 1) + width
    num_slots = -(-(width + side) // delay)
    # A row above the first one is the place of a row that has not begun.
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


# With fewer places a tick costs more by itself than what fewer of them save.
_MIN_SLOTS = 32


def _phases(num_ticks, num_slots, height, width, above, delay):
    """At first and at last, when a quarter or half of the places hold pixels, these alone; a fifth of all places less."""
    whole = (Phase(0, num_ticks, 0, num_slots),)
    parts = [rows for rows in (num_slots // 4, num_slots // 2) if rows]
    if num_slots < _MIN_SLOTS or height < num_slots or not parts:
        return whole
    phases, start = [], 0
    for rows in parts:
        # The first row that has not begun will see so many rows above it.
        phases.append(Phase(start, delay * rows, 0, min(rows + above, num_slots)))
        start = delay * rows
    last = (height - 1) % num_slots + 1
    if last < parts[-1]:
        return whole  # the last rows stand around the end
    ends = []
    for rows in parts:
        # From the tick on in which only the last so many rows are under way.
        ends.append((delay * (height - rows - 1) + width, rows))
    ends = [(tick, rows) for tick, rows in reversed(ends) if start < tick < num_ticks]
    starts = [start, *(tick for tick, _ in ends)]
    stops = [*starts[1:], num_ticks]
    firsts = [0, *(last - rows for _, rows in ends)]
    lasts = [num_slots, *(last for _ in ends)]
    return (*phases, *map(Phase, starts, stops, firsts, lasts))
