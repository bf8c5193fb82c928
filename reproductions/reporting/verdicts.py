"""Verdicts on claims: whether one arm has fewer bits/dim than another, or a smaller gap."""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

HELD, REVERSED, UNDECIDED = "held", "reversed", "undecided"


@dataclasses.dataclass(frozen=True)
class PairedVerdict:
    """Verdict on the claim that one arm has fewer bits/dim than another.

    Attributes:
      verdict: 'held', 'reversed' or 'undecided'.
      difference: Mean over seeds of how many bits/dim lower the arm is; positive if it goes as claimed.
      standard_error: Standard error of `difference` over the images.
      seed_differences: Difference for each seed.
    """

    verdict: str
    difference: float
    standard_error: float
    seed_differences: Mapping[int, float]


def paired_verdict(lower: Mapping[int, np.ndarray], higher: Mapping[int, np.ndarray]) -> PairedVerdict:
    """Judges the claim that `lower` has fewer bits/dim than `higher`, on the same test images.

    With a_si and b_si the bits/dim of image i in seed s of the two arms, N images and S seeds:

      d_s = mean_i (b_si - a_si)                    e_s = std_i (b_si - a_si) / sqrt(N)
      d = mean_s d_s                                e = sqrt(sum_s e_s^2) / S

    The claim is held if d > 2 e and every d_s > 0, reversed if d < -2 e and every d_s < 0, and otherwise undecided. `std`
    divides by N - 1. The error is that of the choice of images. The influence of the seed shows in the spread of the d_s, which
    must all agree in sign.

    Args:
      lower: For each seed, the bits/dim of each image in the arm that is claimed to have fewer: float arrays of shape `[N]`.
      higher: The same for the other arm, with the same seeds and the same images in the same order.

    Raises:
      ValueError: If seeds or shapes differ, if there are fewer than two images, or if a value is not finite.

    Example:
      >>> import numpy as np
      >>> from reproductions.reporting.verdicts import paired_verdict
      >>> lower, higher = np.array([4.0, 5.0, 6.0]), np.array([4.1, 5.1, 6.1])
      >>> judged = paired_verdict({0: lower}, {0: higher})
      >>> judged.verdict, round(judged.difference, 3)
      ('held', 0.1)
    """
    if not lower or lower.keys() != higher.keys():
        raise ValueError(f"Both arms need the same seeds, at least one: got {sorted(lower)} and {sorted(higher)}.")
    pairs = {seed: _paired_difference(seed, lower[seed], higher[seed]) for seed in sorted(lower)}
    return _verdict_over_seeds(pairs)


def gap_verdict(
    smaller: Mapping[int, tuple[np.ndarray, np.ndarray]], larger: Mapping[int, tuple[np.ndarray, np.ndarray]]
) -> PairedVerdict:
    """Judges the claim that the gap between test and training images is smaller for `smaller` than for `larger`.

    The gap of a run is mean(test) - mean(train). Both arms are evaluated on the same images, so each split is paired by itself.
    For seed s, let t_s and e_s be the mean and standard error of `test_larger - test_smaller` over images, and r_s and f_s those
    of `train_larger - train_smaller`. Then

      d_s = t_s - r_s, the difference of the gaps       its error: sqrt(e_s^2 + f_s^2)

    and the verdict follows from these over the seeds as in `paired_verdict`.

    Args:
      smaller: For each seed, the bits/dim of each test image and of each training image of the arm that is claimed to have the
        smaller gap: float arrays of shapes `[N]` and `[M]`.
      larger: The same for the other arm, with the same seeds and the same images in the same order.

    Raises:
      ValueError: As in `paired_verdict`, for either split.
    """
    if not smaller or smaller.keys() != larger.keys():
        raise ValueError(f"Both arms need the same seeds, at least one: got {sorted(smaller)} and {sorted(larger)}.")
    pairs = {}
    for seed in sorted(smaller):
        test, test_error = _paired_difference(seed, smaller[seed][0], larger[seed][0])
        train, train_error = _paired_difference(seed, smaller[seed][1], larger[seed][1])
        pairs[seed] = test - train, math.hypot(test_error, train_error)
    return _verdict_over_seeds(pairs)


def _verdict_over_seeds(pairs):
    """Verdict from `{seed: (difference, its standard error)}`."""
    differences = {seed: difference for seed, (difference, _) in pairs.items()}
    errors = [error for _, error in pairs.values()]
    difference = float(np.mean(list(differences.values())))
    error = math.sqrt(sum(value**2 for value in errors)) / len(errors)
    signs = {int(np.sign(value)) for value in differences.values()}
    verdict = UNDECIDED
    if abs(difference) > 2 * error and len(signs) == 1:
        verdict = HELD if difference > 0 else REVERSED
    return PairedVerdict(verdict, difference, error, differences)


def _paired_difference(seed, lower, higher):
    lower, higher = (np.asarray(arm, np.float64) for arm in (lower, higher))
    if lower.ndim != 1 or lower.shape != higher.shape or lower.size < 2:
        raise ValueError(
            f"Seed {seed}: both arms need one value per image, for the same two or more images; "
            f"got shapes {lower.shape} and {higher.shape}."
        )
    difference = higher - lower
    if not np.isfinite(difference).all():
        raise ValueError(f"Seed {seed}: a value is not finite.")
    error = difference.std(ddof=1) / math.sqrt(difference.size)
    return float(difference.mean()), float(error)
