"""The values that the papers print, read from the data in `results/`."""

import csv
import dataclasses
import os
import pathlib
from collections.abc import Sequence

EXPECTED_FILE = "expected.csv"
BITS_PER_DIM = "bits_per_dim"


@dataclasses.dataclass(frozen=True)
class Expected:
    """One number as a paper prints it.

    Attributes:
      paper: The paper that prints it, such as 'glow'.
      source: Where in that paper: table, section, figure or footnote.
      model: The model it belongs to, as that paper calls it.
      dataset: The data set.
      metric: What was measured, with its unit in the name where there is one.
      printed: The number as printed, trailing zeros included.
      note: 'own' or 'cited', then what else the paper says about it.
      experiment: The experiment of a reproduction that yields the number; empty if none does.
      tolerance: The largest difference, in the metric's unit, that counts as reproduced; None where
        no comparison is meant.
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
        return float(self.printed)

    @property
    def own(self) -> bool:
        """Whether the paper measured it itself, as opposed to citing another paper."""
        return self.note.partition(";")[0].strip() == "own"


def load_expected(results_directory: str | os.PathLike) -> tuple[Expected, ...]:
    """Reads `expected.csv` of a results directory, rows in the order of the file.

    Raises:
      FileNotFoundError: If the directory has no such file.
      ValueError: If a row has a number that is none, or is neither 'own' nor 'cited'.
    """
    path = pathlib.Path(results_directory) / EXPECTED_FILE
    if not path.is_file():
        raise FileNotFoundError(f"no {EXPECTED_FILE} in {path.parent}: give the results directory of the repository")
    with open(path, newline="", encoding="utf-8") as file:
        return tuple(
            _parse(row, f"{path}:{reader_line}") for reader_line, row in enumerate(csv.DictReader(file), start=2)
        )


def find_expected(
    expected: Sequence[Expected], paper: str, experiment: str, metric: str = BITS_PER_DIM
) -> Expected | None:
    """The row that an experiment of a paper is to be compared with, or None if there is none.

    A paper's own number comes first. Failing that, it is the number of that paper's model which
    another paper cites (Glow's bits/dim on CelebA-HQ stands in MaCow's table 2 alone).

    Raises:
      ValueError: If the paper prints two different values for it.
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
        )
    if not rows:
        cited = cited_elsewhere(expected, paper, metric)
        rows = [row for row in cited if row.experiment == experiment]
    return rows[0] if rows else None


def cited_elsewhere(expected: Sequence[Expected], paper: str, metric: str = BITS_PER_DIM) -> tuple[Expected, ...]:
    """Numbers of a paper's model that only other papers print, where an experiment yields them."""
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
        raise ValueError(f"{where}: the value must be a number, not {row['value']!r}") from None
    if row["note"].partition(";")[0].strip() not in ("own", "cited"):
        raise ValueError(f"{where}: the note must begin with 'own' or 'cited', not {row['note']!r}")
    return parsed
