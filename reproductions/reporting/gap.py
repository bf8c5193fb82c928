"""The gap between test and training images."""

import math

import numpy as np


def train_test_gap(test: np.ndarray, train: np.ndarray) -> tuple[float, float]:
    """Returns the gap `mean(test) - mean(train)` between test and training images, and its standard error.

    The standard error is that of the choice of images on both sides, `sqrt(e_test**2 + e_train**2)`, with `e` the standard
    deviation of a side divided by the square root of its number of images (0 for a single image).

    Args:
      test: Bits/dim of each test image, shape `[N]`.
      train: Bits/dim of each training image, shape `[M]`.

    Example:
      >>> import numpy as np
      >>> from reproductions.reporting.gap import train_test_gap
      >>> train_test_gap(np.array([4.0, 6.0]), np.array([3.0]))  # 5 - 3, and sqrt(2) / sqrt(2)
      (2.0, 1.0)
    """
    sides = [np.asarray(side, np.float64) for side in (test, train)]
    errors = [float(side.std(ddof=1)) / math.sqrt(side.size) if side.size > 1 else 0.0 for side in sides]
    return float(sides[0].mean() - sides[1].mean()), math.hypot(*errors)
