"""The curves of a run, from the lines of its metrics file."""

from collections.abc import Iterable, Mapping, Sequence

Point = tuple[int, float]


def evaluation_curve(lines: Iterable[Mapping], split: str = "test") -> list[Point]:
    """`(step, bits/dim)` of each evaluation of a split, `test` or `validation`, on the way."""
    name = f"{split}_bits_per_dim"
    return [(line["step"], line[name]) for line in lines if name in line]


def training_curve(lines: Iterable[Mapping], steps: Sequence[int]) -> list[Point]:
    """`(step, training bits/dim)`: the mean over the training steps since the step before in `steps`.

    It is what the training steps themselves gave: of changing parameters, with dropout and augmentation where there are any.

    Args:
      lines: The lines of the metrics file, steps increasing. One with `bits_per_dim` holds the mean over the steps since the
        last such line, and is counted where it ends.
      steps: Where points are wanted, increasing; one without a line since the step before has no point.
    """
    logged = [(line["step"], line["bits_per_dim"]) for line in lines if "bits_per_dim" in line]
    points, begin, last = [], 0, 0
    for end in steps:
        total, count = 0.0, 0
        for step, mean in logged:
            if begin < step <= end:
                total, count, last = total + (step - last) * mean, count + step - last, step
        if count:
            points.append((end, total / count))
        begin = end
    return points
