"""The rule by which a claim about a difference between two arms is judged: a t-test over seeds, with the spread of its study.

The arms of a study share their seeds. Let `y_as` be what arm a measures with seed s, A the number of arms and n that of seeds. A
claim compares two arms by the differences `d_s`, positive if they go as claimed. Then

  d = mean_s d_s        t = d / sqrt(s^2 / n + e^2)        df = (A - 1)(n - 1)

where e is the error that the choice of images leaves in d, and `s^2` the larger of the variance of the `d_s` and twice the
residual mean square of the study, `sum_as (y_as - y_a. - y_.s + y_..)^2 / ((A - 1)(n - 1))`. Two or three seeds alone say too
little of their spread, and the spread of the study alone would judge arms that vary more than others too easily. The p-values,
two-sided, of all claims of a paper are adjusted by Holm's method. A claim on all stages of training is the intersection of one
claim for each stage: it has the largest of their p-values, and their mean difference.

In simulations without any difference 3 to 5% of the claims get a verdict, with 2 to 4 seeds, also where deviations of arms
differ 4:1. A limit: if a baseline that all claims share varies four times as much as every other arm, it is 12 to 16%.

References:
  Holm 1979, A simple sequentially rejective multiple test procedure, https://www.jstor.org/stable/4615733.
  Schuirmann 1987, two one-sided tests, https://doi.org/10.1007/BF01068419.
  Berger 1982, intersection-union tests, https://doi.org/10.1080/00401706.1982.10487790.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from tfflows.extras import require

HELD, REVERSED, UNDECIDED = "held", "reversed", "undecided"
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
      standard_error: `sqrt(s^2 / n + e^2)`; of the mean over the stages if there are any.
      degrees_of_freedom: Of the t-distribution of `value / standard_error`.
      seed_differences: The difference of each seed.
      stages: If the claim is on all stages of training, the difference at each.
    """

    value: float
    standard_error: float
    degrees_of_freedom: int
    seed_differences: Mapping[int, float]
    stages: Sequence["Difference"] = ()

    @property
    def p_value(self) -> float:
        """Two-sided p-value of no difference, not adjusted for other claims.

        With `stages`, it is the largest of theirs, and 1 if they differ in sign.
        """
        if self.stages:
            same_sign = len({np.sign(stage.value) for stage in self.stages}) == 1
            return max(stage.p_value for stage in self.stages) if same_sign else 1.0
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


def joint_difference(
    seed_differences: Mapping[int, Sequence[float]], study: Mapping[str, Mapping[int, Sequence[float]]]
) -> Difference:
    """A difference at all stages of training, see this module: the mean over the stages, with the difference at each.

    Args:
      seed_differences: For each seed, the difference at each of K stages.
      study: All arms of the study, `{arm: {seed: K values}}`.

    Raises:
      ValueError: If the number of stages differs, or as `paired_difference`.

    Example:
      The last stage goes against the claim, so that the claim on all stages has nothing for it.

      >>> from reproductions.reporting.rule import joint_difference
      >>> study = {"a": {0: [5.0, 4.0], 1: [5.01, 4.0]}, "b": {0: [4.0, 4.1], 1: [4.0, 4.1]}}
      >>> found = joint_difference({0: [1.0, -0.1], 1: [1.01, -0.1]}, study)
      >>> round(found.value, 2), found.p_value
      (0.45, 1.0)
    """
    numbers = {len(values) for own in (seed_differences, *study.values()) for values in own.values()}
    if len(numbers) != 1 or 0 in numbers:
        raise ValueError(f"All runs need the same stages of training, got {sorted(numbers)} of them.")

    def reduced(reduce):
        means = {arm: {seed: reduce(values) for seed, values in own.items()} for arm, own in study.items()}
        return paired_difference({seed: reduce(values) for seed, values in seed_differences.items()}, means)

    stages = [reduced(lambda values, number=number: float(values[number])) for number in range(numbers.pop())]
    return dataclasses.replace(reduced(lambda values: float(np.mean(values))), stages=tuple(stages))


def image_error(lower: Mapping[int, Sequence[np.ndarray]], higher: Mapping[int, Sequence[np.ndarray]]) -> float:
    """The error that the choice of images leaves in the mean over seeds of a paired difference.

    All runs see the same images, so their errors do not average out over seeds. For each set of images, with `d_i` the mean over
    seeds of the difference of image i, the error is `std(d_i) / sqrt(N)`; those of several sets add in squares.

    Args:
      lower: For each seed, the values of the images of each set, arrays `[N]`, in the arm that is claimed to be lower.
      higher: The same for the other arm, with the same seeds, sets and images in the same order.

    Raises:
      ValueError: If seeds, sets or shapes differ, if a set has fewer than two images, or if a value is not finite.

    Example:
      >>> import numpy as np
      >>> from reproductions.reporting.rule import image_error
      >>> lower, higher = np.array([4.0, 5.0, 6.0]), np.array([4.0, 5.1, 6.2])
      >>> print(f"{image_error({0: [lower]}, {0: [higher]}):.4f}")
      0.0577
    """
    if not lower or lower.keys() != higher.keys():
        raise ValueError(f"Both arms need the same seeds, at least one: got {sorted(lower)} and {sorted(higher)}.")
    pairs = {seed: list(zip(lower[seed], higher[seed], strict=True)) for seed in lower}
    squares = []
    for number in range(len(next(iter(pairs.values())))):
        differences = [_paired_images(seed, *own[number]) for seed, own in pairs.items()]
        if len({len(values) for values in differences}) > 1:
            raise ValueError("All seeds need the same images.")
        means = np.mean(differences, axis=0)
        squares.append(means.var(ddof=1) / means.size)
    return math.sqrt(sum(squares))


def _paired_images(seed, lower, higher):
    lower, higher = (np.asarray(arm, np.float64) for arm in (lower, higher))
    if lower.ndim != 1 or lower.shape != higher.shape or lower.size < 2:
        raise ValueError(
            f"Seed {seed}: both arms need one value per image, for the same two or more images; "
            f"got shapes {lower.shape} and {higher.shape}."
        )
    if not np.isfinite([lower, higher]).all():
        raise ValueError(f"Seed {seed}: a value is not finite.")
    return higher - lower


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


def verdict_of(difference: Difference, adjusted_p_value: float, smallest: float, level: float = LEVEL) -> str:
    """Judges a claim about a difference.

    It is held or reversed, by the sign of the difference, if its adjusted p-value is below the level and the difference is at
    least the smallest one that matters; otherwise it is undecided.

    Args:
      difference: The difference.
      adjusted_p_value: Its p-value, adjusted for the other claims.
      smallest: The smallest difference that matters.
      level: Probability of any false verdict among the claims of the family, if no arm differs from another.

    Example:
      >>> from reproductions.reporting.rule import Difference, verdict_of
      >>> verdict_of(Difference(0.1, 0.01, 8, {}), adjusted_p_value=0.03, smallest=0.01)
      'held'
    """
    if adjusted_p_value >= level or abs(difference.value) < smallest:
        return UNDECIDED
    return HELD if difference.value > 0 else REVERSED


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
