"""The order in which a network goes down through its resolutions and up again, with skip connections between."""

from typing import NamedTuple

POSITION, HALVE, DOUBLE = ("position", "halve", "double")


class Step(NamedTuple):
    """One step of a U-shaped network.

    Attributes:
      kind: `position` (a block, or one in each stream), `halve` or `double` (the resolution).
      number: Among the steps of its kind.
      level: 0 for the full resolution; of `halve` and `double` the one that they lead to.
      is_second: Whether it belongs to the second half, whose positions take what the first half kept, last first.
    """

    kind: str
    number: int
    level: int
    is_second: bool


def u_shape(num_levels, num_blocks):
    """The `Step`s of PixelCNN++: R blocks a level on the way down; on the way up R at the top, then R + 1 a level.

    What each step of the first half gives, and what comes before it, is taken by one position of the second half; only the
    last is what that half starts from.

    Args:
      num_levels: Python `int`, resolutions.
      num_blocks: Python `int` R.
    """
    steps, position = [], 0

    def add_positions(count, level, is_second):
        nonlocal position
        for _ in range(count):
            steps.append(Step(POSITION, position, level, is_second))
            position += 1

    for level in range(num_levels):
        if level:
            steps.append(Step(HALVE, level - 1, level, False))
        add_positions(num_blocks, level, False)
    for level in reversed(range(num_levels)):
        top = level == num_levels - 1
        if not top:
            steps.append(Step(DOUBLE, num_levels - 2 - level, level, True))
        add_positions(num_blocks + (not top), level, True)
    return steps
