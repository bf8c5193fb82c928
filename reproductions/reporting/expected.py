"""The values printed in the papers, read from the data in `results/`."""

import csv
import dataclasses
import os
import pathlib
from collections.abc import Sequence

EXPECTED_FILE = "expected.csv"
BITS_PER_DIM = "bits_per_dim"


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

    @property
    def value(self) -> float:
        """The printed number."""
        return float(self.printed)

    @property
    def own(self) -> bool:
        """Whether the paper measured the number itself instead of citing another paper."""
        return self.note.partition(";")[0].strip() == "own"


def load_expected(results_directory: str | os.PathLike) -> tuple[Expected, ...]:
    """Reads `expected.csv` of a results directory, with rows in the order of the file.

    Args:
      results_directory: The results directory.

    Raises:
      FileNotFoundError: If the directory has no such file.
      ValueError: If the value of a row is not a number, or its note starts with neither 'own' nor 'cited'.
    """
    path = pathlib.Path(results_directory) / EXPECTED_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no {EXPECTED_FILE} in {path.parent}; give the results directory of the repository."
        )
    with open(path, newline="", encoding="utf-8") as file:
        return tuple(
            _parse(row, f"{path}:{reader_line}") for reader_line, row in enumerate(csv.DictReader(file), start=2)
        )


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


def _parse(row: dict[str, str], where: str) -> Expected:
    tolerance = row["tolerance"]
    parsed = Expected(
        paper=row["paper"],
        source=row["source"],
        model=row["model"],
        dataset=row["dataset"],
        metric=row["metric"],
        printed=row["value"],
        note=row["note"],
        experiment=row["experiment"],
        tolerance=float(tolerance) if tolerance else None,
    )
    try:
        parsed.value  # noqa: B018
    except ValueError:
        raise ValueError(f"{where}: the value must be a number, not {row['value']!r}.") from None
    if row["note"].partition(";")[0].strip() not in ("own", "cited"):
        raise ValueError(f"{where}: the note must begin with 'own' or 'cited', not {row['note']!r}.")
    return parsed
