"""The gap between test and training images."""

import math

import numpy as np


def train_test_gap(test: np.ndarray, train: np.ndarray) -> tuple[float, float]:
    """How much worse a model is on images that it was not trained on: `mean(test) - mean(train)`, and its standard error.

    The error is that of the choice of images on both sides: with `e` the standard deviation of a side over the square root of
    its number of images (0 for a single one), `sqrt(e_test**2 + e_train**2)`.

    Args:
      test: Bits/dim of each test image, `[N]`.
      train: Bits/dim of each image that was trained on, `[M]`.
    """
    sides = [np.asarray(side, np.float64) for side in (test, train)]
    errors = [float(side.std(ddof=1)) / math.sqrt(side.size) if side.size > 1 else 0.0 for side in sides]
    return float(sides[0].mean() - sides[1].mean()), math.hypot(*errors)
