"""The curves of a run, from the lines of its metrics file."""

from collections.abc import Iterable, Mapping, Sequence

Point = tuple[int, float]


def evaluation_curve(lines: Iterable[Mapping], split: str = "test") -> list[Point]:
    """Returns `(step, bits/dim)` of each evaluation of a split during training.

    Args:
      lines: Lines of the metrics file.
      split: Name of the split, `test` or `validation`.
    """
    name = f"{split}_bits_per_dim"
    return [(line["step"], line[name]) for line in lines if name in line]


def training_curve(lines: Iterable[Mapping], steps: Sequence[int]) -> list[Point]:
    """Returns `(step, training bits/dim)`, each value a mean over the training steps since the previous step in `steps`.

    The values are those of the training steps themselves: parameters change meanwhile, and dropout and augmentation are on if
    the experiment has them.

    Args:
      lines: Lines of the metrics file, with increasing steps. A line with `bits_per_dim` holds the mean over the steps since the
        last such line, and is counted at its own step.
      steps: Increasing steps at which points are wanted. There is no point where no line falls after the previous step.

    Example:
      >>> from reproductions.reporting.curves import training_curve
      >>> training_curve([{"step": 10, "bits_per_dim": 6.0}, {"step": 30, "bits_per_dim": 3.0}], steps=[30])
      [(30, 4.0)]
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
