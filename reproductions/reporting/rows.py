"""Rows of the CSV files in `results/` and `reproductions/published`."""

import csv
import os
import pathlib
from collections.abc import Sequence


def read_rows(path: str | os.PathLike, columns: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    """Reads a CSV file whose first line names its columns.

    Args:
      path: Path of the file.
      columns: The columns that it must have.

    Returns:
      For each row `PATH:LINE` and its cells by column.

    Raises:
      FileNotFoundError: If there is no file.
      ValueError: If it is not UTF-8, a column is missing, or a row has more or fewer cells; the message names file and line.
    """
    content = pathlib.Path(path).read_bytes()
    try:
        lines = content.decode().splitlines(keepends=True)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"{path}:{line}: this line is not UTF-8.") from error
    reader = csv.reader(lines, strict=True)
    rows, header = [], None
    try:
        for cells in reader:
            where = f"{path}:{reader.line_num}"
            if header is None:
                header = cells
                missing = [name for name in columns if name not in header]
                if missing:
                    raise ValueError(f"{where}: the columns {', '.join(missing)} are missing.")
            elif cells and len(cells) != len(header):
                raise ValueError(f"{where}: {len(cells)} cells in place of {len(header)}.")
            elif cells:
                rows.append((where, dict(zip(header, cells, strict=True))))
    except csv.Error as error:
        raise ValueError(f"{path}:{reader.line_num}: {error}.") from error
    if header is None:
        raise ValueError(f"{path}:1: the columns {', '.join(columns)} are missing.")
    return rows
