"""Recorded results that do not agree with the papers."""

import os
import pathlib

from reproductions.reporting.expected import load_expected
from reproductions.reporting.records import OBTAINED_DIRECTORY, load_records
from reproductions.reporting.verdicts import Comparison, compare_with


def find_regressions(results_directory: str | os.PathLike) -> tuple[Comparison, ...]:
    """Returns the records at scale 'paper' whose value is outside the tolerance of its expected value.

    Values that are better by more than the tolerance count too, see `Comparison.leaves_tolerance`.

    Args:
      results_directory: The results directory.
    """
    expected = load_expected(results_directory)
    records = load_records(pathlib.Path(results_directory) / OBTAINED_DIRECTORY)
    comparisons = (compare_with(record, expected) for record in records)
    return tuple(item for item in comparisons if item.leaves_tolerance)
