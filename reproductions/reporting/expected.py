"""The values printed in the papers, read from `reproductions/published`, and the obtained ones compared with them."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence

from reproductions.published import EXPECTED
from reproductions.reporting.records import OBTAINED_DIRECTORY, Record, load_records
from reproductions.reporting.rows import read_rows

BITS_PER_DIM = "bits_per_dim"
WITHIN, BETTER, OUTSIDE = "within", "better", "outside"

_COLUMNS = (
    "paper",
    "source",
    "model",
    "dataset",
    "metric",
    "value",
    "note",
    "experiment",
    "tolerance",
    "importance_samples",
)
# -1 if lower values of the metric are better, 1 if higher ones are; for any other metric only the distance counts.
_SENSE = {"bits_per_dim": -1, "log_likelihood_nats": 1}


@dataclasses.dataclass(frozen=True)
class Expected:
    """One number as printed in a paper.

    Attributes:
      paper: Paper that prints it, such as 'glow'.
      source: Table, section, figure or footnote of that paper.
      model: Name of the model in that paper.
      dataset: Name of the data set.
      metric: Measured quantity; the name includes the unit, if there is one.
      printed: The number as printed, trailing zeros included.
      note: 'own' or 'cited', then anything else that the paper says about it.
      experiment: Experiment of a reproduction that yields the number; empty if there is none.
      tolerance: Largest difference, in the unit of the metric, that counts as reproduced; None if it is not to be compared.
      importance_samples: Number of noise draws per image of the importance-weighted bound that was printed; None if the paper
        names none.
    """

    paper: str
    source: str
    model: str
    dataset: str
    metric: str
    printed: str
    note: str
    experiment: str
    tolerance: float | None
    importance_samples: int | None = None

    @property
    def value(self) -> float:
        """The printed number."""
        return float(self.printed)

    @property
    def own(self) -> bool:
        """Whether the paper measured the number itself instead of citing another paper."""
        return self.note.partition(";")[0].strip() == "own"


def load_expected(path: str | os.PathLike = EXPECTED) -> tuple[Expected, ...]:
    """Reads the values printed in the papers, in the order of the file.

    Args:
      path: A file like `reproductions/published/expected.csv`, the default.

    Raises:
      FileNotFoundError: If there is no such file.
      ValueError: If the file is garbled, the value of a row is not a number, or its note starts with neither 'own' nor 'cited'.
        The message names the line.
    """
    return tuple(_parse(row, where) for where, row in read_rows(path, _COLUMNS))


def find_expected(
    expected: Sequence[Expected], paper: str, experiment: str, metric: str = BITS_PER_DIM
) -> Expected | None:
    """Returns the row to compare an experiment of a paper with, or None if there is none.

    The paper's own number comes first. If there is none, it is the number that another paper cites for its model (Glow's
    bits/dim on CelebA-HQ appear only in table 2 of MaCow).

    Args:
      expected: The rows of expected.csv.
      paper: Short name of the paper.
      experiment: Name of the experiment.
      metric: Name of the metric.

    Raises:
      ValueError: If the paper prints two different values for the experiment.
    """
    if not experiment:
        return None
    rows = [
        row
        for row in expected
        if row.paper == paper and row.own and (row.experiment, row.metric) == (experiment, metric)
    ]
    if len({row.value for row in rows}) > 1:
        raise ValueError(
            f"{paper} has {len(rows)} different values of {metric} for experiment {experiment!r}: "
            + "; ".join(f"{row.printed} ({row.source})" for row in rows)
            + "."
        )
    if not rows:
        cited = cited_elsewhere(expected, paper, metric)
        rows = [row for row in cited if row.experiment == experiment]
    return rows[0] if rows else None


def cited_elsewhere(expected: Sequence[Expected], paper: str, metric: str = BITS_PER_DIM) -> tuple[Expected, ...]:
    """Returns the numbers of a paper's model that only other papers print and that an experiment yields.

    Args:
      expected: The rows of expected.csv.
      paper: Short name of the paper.
      metric: Name of the metric.
    """
    own = [row for row in expected if row.paper == paper and row.own and row.metric == metric]
    models = {row.model for row in own}
    datasets = {row.dataset for row in own}
    return tuple(
        row
        for row in expected
        if row.paper != paper
        and not row.own
        and row.metric == metric
        and row.model in models
        and row.dataset not in datasets
        and row.experiment
    )


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

    The tolerance is inclusive. Only the published experiment, at scale 'paper' and without overrides, is comparable, and only
    with as many importance samples as the printed number has: a bound of single draws lies above it (VFlow's by some hundredths).

    Args:
      record: The obtained record.
      expected: The row of expected.csv, or None.

    Raises:
      ValueError: If the metric or the data set of the row is not that of the record.
    """
    if expected is None:
        reason = f"the paper prints no value of {record.experiment} on {record.dataset}"
        return Comparison(record, None, None, f"not comparable ({reason})")
    for name in ("metric", "dataset"):
        if getattr(record, name) != getattr(expected, name):
            raise ValueError(
                f"{record.name} has {name} {getattr(record, name)!r}, but the expected value "
                f"({expected.paper}, {expected.source}) has {getattr(expected, name)!r}."
            )
    difference = record.value - expected.value
    return Comparison(record, expected, difference, _verdict(record, expected, difference))


def compare_with(record: Record, expected: Sequence[Expected]) -> Comparison:
    """Compares a record with the row among `expected` that belongs to it.

    Args:
      record: The obtained record.
      expected: Rows of expected.csv.
    """
    return compare(record, find_expected_of(record, expected))


def find_expected_of(record: Record, expected: Sequence[Expected]) -> Expected | None:
    """Returns the row of the experiment of a record, or None if there is none on the data set of the record.

    A record on another data set than the paper's, such as own images or the reduced CIFAR-10 of the claims study, has none.

    Args:
      record: The obtained record.
      expected: Rows of expected.csv.
    """
    row = find_expected(expected, record.paper, record.experiment, record.metric)
    return row if row is not None and record.dataset == row.dataset else None


def format_comparison(comparison: Comparison) -> str:
    """Returns a comparison as lines of text: metric, expected and obtained value, difference, verdict, then any extras.

    Expected value and difference are left out where the verdict says why they cannot be compared.
    """
    record, expected = comparison.record, comparison.expected
    lines = [
        f"{record.metric} of {record.experiment} on {record.dataset}, {record.split} split, "
        f"{record.num_images:,} image{'s' if record.num_images > 1 else ''}, scale {record.scale}"
    ]
    comparable = comparison.verdict in (WITHIN, BETTER, OUTSIDE)
    if comparable:
        lines.append(f"  expected    {expected.printed} ({expected.paper}, {expected.source})")
    # A single image has no standard error.
    error = record.standard_error if record.num_images > 1 else None
    lines.append(f"  obtained    {format_value(record.value, error)}")
    if comparable:
        lines.append(f"  difference  {comparison.difference:+.4f} (tolerance {expected.tolerance:g})")
    lines.append(f"  verdict     {comparison.verdict}")
    if record.importance is not None:
        importance = record.importance
        lines.append(
            f"  samples     {importance['samples']:,} per image, {importance['effective_samples']:.1f} effective"
        )
        lines.append(f"  noise       {importance['noise_standard_error']:.4f} (standard error over the noise)")
        error = importance["elbo_standard_error"] if record.num_images > 1 else None
        lines.append(f"  ELBO        {format_value(importance['elbo'], error)}")
    if record.validation is not None:
        validation = record.validation
        value = format_train(validation)
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
    """Formats `Record.train` or `Record.validation`: the bits/dim of these images."""
    return format_value(train["value"], train["standard_error"] if train["num_images"] > 1 else None)


def format_gap(train: Mapping[str, float]) -> str:
    """Formats `Record.train`: the gap between test and training images."""
    error = f" ± {train['gap_standard_error']:.4f}" if train["num_images"] > 1 else ""
    return f"{train['gap']:+.4f}{error}"


def find_regressions(results_directory: str | os.PathLike) -> tuple[Comparison, ...]:
    """Returns the records at scale 'paper' whose value is outside the tolerance of its expected value.

    Values that are better by more than the tolerance count too, see `Comparison.leaves_tolerance`.

    Args:
      results_directory: The results directory.
    """
    expected = load_expected()
    records = load_records(pathlib.Path(results_directory) / OBTAINED_DIRECTORY)
    comparisons = (compare_with(record, expected) for record in records)
    return tuple(item for item in comparisons if item.leaves_tolerance)


def _parse(row: dict[str, str], where: str) -> Expected:
    try:
        tolerance = float(row["tolerance"]) if row["tolerance"] else None
    except ValueError:
        raise ValueError(f"{where}: the tolerance must be a number or empty, not {row['tolerance']!r}.") from None
    samples = row["importance_samples"]
    if samples and not (samples.isascii() and samples.isdigit() and int(samples) > 1):
        raise ValueError(f"{where}: importance_samples must be an integer of at least 2 or empty, not {samples!r}.")
    parsed = Expected(
        paper=row["paper"],
        source=row["source"],
        model=row["model"],
        dataset=row["dataset"],
        metric=row["metric"],
        printed=row["value"],
        note=row["note"],
        experiment=row["experiment"],
        tolerance=tolerance,
        importance_samples=int(samples) if samples else None,
    )
    try:
        parsed.value  # noqa: B018
    except ValueError:
        raise ValueError(f"{where}: the value must be a number, not {row['value']!r}.") from None
    if row["note"].partition(";")[0].strip() not in ("own", "cited"):
        raise ValueError(f"{where}: the note must begin with 'own' or 'cited', not {row['note']!r}.")
    return parsed


def _samples(count):
    return "single draws" if count == 1 else f"{count:,} importance samples"


def _printed_samples(expected):
    if expected.importance_samples is None:
        return "the paper names no importance samples"
    return (
        f"the paper takes {_samples(expected.importance_samples)}: --importance_samples={expected.importance_samples}"
    )


def _verdict(record, expected, difference):
    if record.scale != "paper":
        return f"not comparable (scale {record.scale})"
    if record.overrides:
        return f"not comparable (overrides {', '.join(sorted(record.overrides))})"
    if record.trained_on is not None:
        return f"not comparable (trained on {record.trained_on})"
    if record.evaluation_images is not None:
        return f"not comparable (the first {record.evaluation_images:,} images)"
    if expected.tolerance is None:
        return "not comparable (no tolerance is set)"
    samples = 1 if record.importance is None else record.importance["samples"]
    if samples != (expected.importance_samples or 1):
        return f"not comparable ({_samples(samples)}; {_printed_samples(expected)})"
    # Printed numbers are decimal: 3.37 is 0.02 from 3.35, though not in binary.
    if round(abs(difference), 9) <= expected.tolerance:
        return WITHIN
    return BETTER if difference * _SENSE.get(record.metric, 0) > 0 else OUTSIDE
