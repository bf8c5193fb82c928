"""Verdicts: whether a number was reproduced, and whether a claim holds."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from reproductions.reporting.expected import Expected, find_expected
from reproductions.reporting.records import Record

WITHIN, BETTER, OUTSIDE = "within", "better", "outside"
HELD, REVERSED, UNDECIDED = "held", "reversed", "undecided"

# -1 if lower values of the metric are better, 1 if higher ones are; for any other metric only the distance counts.
_SENSE = {"bits_per_dim": -1, "log_likelihood_nats": 1}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Comparison of an obtained number with the printed one.

    Attributes:
      record: The obtained record.
      expected: The row of expected.csv; None if there is none.
      difference: Obtained minus expected value; None without an expected value.
      verdict: 'within' the tolerance, 'better' or 'outside' by more than the tolerance, or 'not comparable (...)' with the
        reason.
    """

    record: Record
    expected: Expected | None
    difference: float | None
    verdict: str

    @property
    def leaves_tolerance(self) -> bool:
        """Whether the number differs from the paper's by more than the tolerance, in either direction.

        Better values count too. A number far below the paper's more often comes from a different data set, a different unit or
        a test image in the training set than from a better model.
        """
        return self.verdict in (BETTER, OUTSIDE)


def compare(record: Record, expected: Expected | None) -> Comparison:
    """Compares a record with the row that `find_expected` returns for its experiment.

    The tolerance is inclusive. Only the published experiment, at scale 'paper' and without overrides, is comparable.

    Args:
      record: The obtained record.
      expected: The row of expected.csv, or None.

    Raises:
      ValueError: If the metric or the data set of the row is not that of the record.
    """
    if expected is None:
        return Comparison(record, None, None, "not comparable (the paper prints no value)")
    for name in ("metric", "dataset"):
        if getattr(record, name) != getattr(expected, name):
            raise ValueError(
                f"{record.name} has {name} {getattr(record, name)!r}, but the expected value "
                f"({expected.paper}, {expected.source}) has {getattr(expected, name)!r}."
            )
    difference = record.value - expected.value
    return Comparison(record, expected, difference, _verdict(record, expected, difference))


def compare_with(record: Record, expected: Sequence[Expected]) -> Comparison:
    """Compares a record with the row among `expected` that belongs to its experiment.

    A record on a data set other than the paper's, such as the reduced CIFAR-10 of the claims study, has no such row.

    Args:
      record: The obtained record.
      expected: Rows of expected.csv.
    """
    row = find_expected(expected, record.paper, record.experiment, record.metric)
    if row is not None and record.dataset != row.dataset:
        row = None
    return compare(record, row)


def format_comparison(comparison: Comparison) -> str:
    """Returns a comparison as lines of text: metric, expected and obtained value, difference, verdict, then any extras."""
    record, expected = comparison.record, comparison.expected
    lines = [
        f"{record.metric} of {record.experiment} on {record.dataset}, {record.split} split, "
        f"{record.num_images:,} images, scale {record.scale}"
    ]
    if expected is None:
        lines.append("  expected    -")
    else:
        lines.append(f"  expected    {expected.printed} ({expected.paper}, {expected.source})")
    lines.append(f"  obtained    {format_value(record.value, record.standard_error)}")
    if comparison.difference is None:
        lines.append("  difference  -")
    else:
        tolerance = "none" if expected.tolerance is None else f"{expected.tolerance:g}"
        lines.append(f"  difference  {comparison.difference:+.4f} (tolerance {tolerance})")
    lines.append(f"  verdict     {comparison.verdict}")
    if record.importance is not None:
        importance = record.importance
        lines.append(
            f"  samples     {importance['samples']:,} per image, {importance['effective_samples']:.1f} effective"
        )
        lines.append(f"  noise       {importance['noise_standard_error']:.4f} (standard error over the noise)")
        lines.append(f"  ELBO        {format_value(importance['elbo'], importance['elbo_standard_error'])}")
    if record.validation is not None:
        validation = record.validation
        value = format_value(validation["value"], validation["standard_error"])
        lines.append(f"  validation  {value} ({validation['num_images']:,} held-out training images)")
    if record.train is not None:
        train = record.train
        lines.append(f"  train       {format_train(train)} ({train['num_images']:,} training images)")
        lines.append(f"  gap         {format_gap(train)}")
    return "\n".join(lines)


def format_value(value: float, error: float | None = None) -> str:
    """Formats a number with four decimals, and its standard error if there is one."""
    return f"{value:.4f}" if error is None else f"{value:.4f} ± {error:.4f}"


def format_train(train: Mapping[str, float]) -> str:
    """Formats `Record.train`: the bits/dim of the training images."""
    return format_value(train["value"], train["standard_error"])


def format_gap(train: Mapping[str, float]) -> str:
    """Formats `Record.train`: the gap between test and training images."""
    return f"{train['gap']:+.4f} ± {train['gap_standard_error']:.4f}"


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


def _verdict(record, expected, difference):
    if record.scale != "paper":
        return f"not comparable (scale {record.scale})"
    if record.overrides:
        return f"not comparable (overrides {', '.join(sorted(record.overrides))})"
    if record.evaluation_images is not None:
        return f"not comparable (the first {record.evaluation_images:,} images)"
    if expected.tolerance is None:
        return "not comparable (no tolerance is set)"
    # Printed numbers are decimal: 3.37 is 0.02 from 3.35, though not in binary.
    if round(abs(difference), 9) <= expected.tolerance:
        return WITHIN
    return BETTER if difference * _SENSE.get(record.metric, 0) > 0 else OUTSIDE


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
