"""The rule by which a claim about a difference between two arms is judged: a t-test over seeds, with the spread of its study.

The arms of a study share their seeds. Let `y_as` be what arm a measures with seed s, A the number of arms and n that of seeds. A
claim compares two arms by the differences `d_s`, positive if they go as claimed. Then

  d = mean_s d_s        t = d / sqrt(s^2 / n + e^2)        df = (A - 1)(n - 1)

where e is the error that the choice of images leaves in d, and `s^2` the larger of the variance of the `d_s` and twice the
residual mean square of the study, `sum_as (y_as - y_a. - y_.s + y_..)^2 / ((A - 1)(n - 1))`. Two or three seeds alone say too
little of their spread, and the spread of the study alone would judge arms that vary more than others too easily. The p-values,
two-sided, of all claims of a paper are adjusted by Holm's method.

In simulations without any difference 3 to 5% of the claims get a verdict, with 2 to 4 seeds, also where deviations of arms
differ 4:1. A limit: if a baseline that all claims share varies four times as much as every other arm, it is 12 to 16%.

References:
  Holm 1979, A simple sequentially rejective multiple test procedure, https://www.jstor.org/stable/4615733.
  Schuirmann 1987, two one-sided tests, https://doi.org/10.1007/BF01068419.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from reproductions.reporting.verdicts import HELD, REVERSED, UNDECIDED
from tfflows.extras import require

LEVEL = 0.05
# A difference in bits/dim below this matters to nobody, however sure it is.
SMALLEST_BITS_PER_DIM = 0.01
# Two arms are equal if they differ by less than this.
EQUALITY_MARGIN = 0.02


@dataclasses.dataclass(frozen=True)
class Difference:
    """A difference between two arms, and how sure it is.

    Attributes:
      value: Mean over seeds, d; positive if it goes as claimed.
      standard_error: `sqrt(s^2 / n + e^2)`.
      degrees_of_freedom: Of the t-distribution of `value / standard_error`.
      seed_differences: The difference of each seed.
    """

    value: float
    standard_error: float
    degrees_of_freedom: int
    seed_differences: Mapping[int, float]

    @property
    def p_value(self) -> float:
        """Two-sided p-value of no difference, not adjusted for other claims."""
        if not self.standard_error:
            return 0.0 if self.value else 1.0
        return float(2 * _special().stdtr(self.degrees_of_freedom, -abs(self.value) / self.standard_error))

    def interval(self, coverage: float = 0.95) -> tuple[float, float]:
        """Confidence interval of the difference, not adjusted for other claims.

        Args:
          coverage: Its coverage, between 0 and 1.
        """
        half = float(_special().stdtrit(self.degrees_of_freedom, (1 + coverage) / 2)) * self.standard_error
        return self.value - half, self.value + half


def residual_mean_square(study: Mapping[str, Mapping[int, float]]) -> tuple[float, int]:
    """The variance of a measurement that neither its arm nor its seed explains, and its degrees of freedom.

    Args:
      study: What each arm measures with each seed, `{arm: {seed: value}}`, with the same seeds in all arms.

    Returns:
      The residual mean square of arm x seed, and `(A - 1)(n - 1)`.

    Raises:
      ValueError: If there are fewer than two arms or seeds, or the arms differ in their seeds.

    Example:
      Two arms whose difference is 1 with one seed and 3 with the other.

      >>> from reproductions.reporting.rule import residual_mean_square
      >>> residual_mean_square({"a": {0: 5.0, 1: 7.0}, "b": {0: 4.0, 1: 4.0}})
      (1.0, 1)
    """
    seeds = [sorted(values) for values in study.values()]
    if len(seeds) < 2 or len(seeds[0]) < 2 or any(own != seeds[0] for own in seeds):
        raise ValueError(f"A study needs at least two arms with the same two or more seeds, got the seeds {seeds}.")
    values = np.array([[own[seed] for seed in seeds[0]] for own in study.values()], np.float64)
    residuals = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
    degrees = (values.shape[0] - 1) * (values.shape[1] - 1)
    return float(np.sum(residuals**2) / degrees), degrees


def paired_difference(
    seed_differences: Mapping[int, float], study: Mapping[str, Mapping[int, float]], image_error: float = 0.0
) -> Difference:
    """A difference between two arms of a study, see this module.

    Args:
      seed_differences: Difference for each seed, at least two.
      study: All arms of the study, see `residual_mean_square`.
      image_error: Standard error of the mean difference over images; 0 where there are no values per image.

    Raises:
      ValueError: If a number is not finite, or there are too few seeds or arms.

    Example:
      >>> from reproductions.reporting.rule import paired_difference
      >>> study = {"a": {0: 4.9, 1: 5.0}, "b": {0: 4.7, 1: 4.8}, "c": {0: 4.6, 1: 4.72}}
      >>> found = paired_difference({0: 0.2, 1: 0.2}, study, image_error=0.001)
      >>> print(f"{found.value:.2f} +- {found.standard_error:.4f}, df {found.degrees_of_freedom}, p {found.p_value:.4f}")
      0.20 +- 0.0082, df 2, p 0.0017
    """
    differences = np.array(list(seed_differences.values()), np.float64)
    if len(differences) < 2 or not np.isfinite([*differences, image_error]).all():
        raise ValueError(f"A difference needs two or more finite values, got {dict(seed_differences)}.")
    residual, degrees = residual_mean_square(study)
    variance = max(float(differences.var(ddof=1)), 2 * residual)
    error = math.sqrt(variance / len(differences) + image_error**2)
    return Difference(float(differences.mean()), error, degrees, dict(seed_differences))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusts p-values so that with probability 1 - `level` none of those below `level` is false.

    Args:
      p_values: p-values of a family of claims.

    Returns:
      Adjusted p-values in the same order.

    Example:
      >>> from reproductions.reporting.rule import holm
      >>> [round(value, 3) for value in holm([0.01, 0.04, 0.02])]
      [0.03, 0.04, 0.04]
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, position in enumerate(np.argsort(p_values)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[position]))
        adjusted[position] = largest
    return adjusted


def verdicts(
    differences: Sequence[Difference], smallest: Sequence[float] | float = SMALLEST_BITS_PER_DIM, level: float = LEVEL
) -> list[str]:
    """Judges all claims of a paper about differences.

    A claim is held or reversed, by the sign of the difference, if its adjusted p-value is below the level and the difference is
    at least the smallest one that matters; otherwise it is undecided.

    Args:
      differences: The difference of each claim.
      smallest: The smallest difference that matters, of each claim or of all.
      level: Probability of any false verdict, if no arm differs from another.

    Example:
      >>> from reproductions.reporting.rule import Difference, verdicts
      >>> sure, small, vague = Difference(-0.1, 0.01, 8, {}), Difference(0.005, 1e-4, 8, {}), Difference(0.1, 0.1, 8, {})
      >>> verdicts([sure, small, vague])
      ['reversed', 'undecided', 'undecided']
    """
    limits = np.broadcast_to(smallest, [len(differences)])
    adjusted = holm([difference.p_value for difference in differences])
    found = []
    for difference, p_value, limit in zip(differences, adjusted, limits, strict=True):
        decided = p_value < level and abs(difference.value) >= limit
        found.append((HELD if difference.value > 0 else REVERSED) if decided else UNDECIDED)
    return found


def equality_verdict(difference: Difference, margin: float = EQUALITY_MARGIN, level: float = LEVEL) -> str:
    """Judges the claim that two arms are equal: two one-sided tests, the claim is held if both are significant.

    That is so if the interval of coverage `1 - 2 level` lies within `-margin` to `margin`; otherwise the claim is undecided.

    Args:
      difference: The difference.
      margin: Difference below which arms count as equal.
      level: Level of each test.

    Example:
      >>> from reproductions.reporting.rule import Difference, equality_verdict
      >>> equality_verdict(Difference(0.002, 0.005, 8, {})), equality_verdict(Difference(0.002, 0.02, 8, {}))
      ('held', 'undecided')
    """
    low, high = difference.interval(1 - 2 * level)
    return HELD if -margin < low and high < margin else UNDECIDED


def _special():
    return require("scipy.special", "reproductions")
