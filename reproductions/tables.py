"""Regenerates the Markdown tables and the figures of a results directory from its data and what the papers print.

python -m reproductions.tables results/           # write them
python -m reproductions.tables results/ --check   # only list stale files; exit status 1 if there are any
"""

import argparse
import dataclasses
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from reproductions.claims import trends
from reproductions.claims.outcomes import divergence_text
from reproductions.claims.outcomes import records_of as study_records
from reproductions.driver.counts import stored_counts
from reproductions.published import PAPERS, PARAMETERS
from reproductions.reporting.benchmarks import BENCHMARKS_DIRECTORY, load_benchmarks
from reproductions.reporting.benchmarks_page import benchmarks_page
from reproductions.reporting.claims import CLAIMS_DIRECTORY, load_claims
from reproductions.reporting.claims_page import claims_page
from reproductions.reporting.compression_page import (
    COMPRESSION_DIRECTORY,
    FIGURE,
    PAGE,
    compression_page,
    draw_compression,
    load_compression,
)
from reproductions.reporting.expected import load_expected
from reproductions.reporting.figures import FIGURES_DIRECTORY, FigureData, collect_figures
from reproductions.reporting.paper_page import paper_page
from reproductions.reporting.published_pages import parameters_page, unverified_page
from reproductions.reporting.readme_block import replace_block
from reproductions.reporting.records import OBTAINED_DIRECTORY, Record, load_dataclass, load_records
from reproductions.reporting.results_page import readme_lines, results_page
from reproductions.reporting.sweeps import SweepFigure, collect_sweeps
from reproductions.vflow.toy import pages as toy
from tfflows.extras import MissingExtraError, require
from tfflows.files import atomic_write
from tfflows.models.catalog import RECORD_FILE, list_models

if TYPE_CHECKING:
    import pandas as pd

README = "../README.md"
MODELS_DIRECTORY, PICTURES_DIRECTORY = "models", "pictures"


def build_tables(results_directory: str | pathlib.Path) -> dict[str, str]:
    """Returns the text of every generated file, by its name in the results directory.

    Args:
      results_directory: The results directory.

    Raises:
      FileNotFoundError: If a file of the directory is missing.
      ValueError: If a record, a claim, a benchmark or an expected value is not valid.
    """
    directory = pathlib.Path(results_directory)
    expected = load_expected()
    records = load_records(directory / OBTAINED_DIRECTORY)
    figures = _figures(directory, records)
    papers = _read(PAPERS)
    pages = {
        f"{paper.paper}.md": paper_page(paper, papers, expected, records, figures) for paper in papers.itertuples()
    }
    pages["parameters.md"] = parameters_page(_read(PARAMETERS), papers)
    pages["unverified.md"] = unverified_page(_read(directory / "unverified.csv"), papers)
    claims = load_claims(directory / CLAIMS_DIRECTORY)
    pages["claims.md"] = claims_page(
        claims, papers, {"Stability": divergence_text(directory), "Trends": trends.trends_text(directory)}
    )
    order = _read(directory / "benchmarks.csv").topic
    benchmarks = load_benchmarks(directory / BENCHMARKS_DIRECTORY, order)
    if benchmarks:
        pages["benchmarks.md"] = benchmarks_page(benchmarks)
    compressed = load_compression(directory / COMPRESSION_DIRECTORY)
    if compressed:
        pages[PAGE] = compression_page(compressed)
    titles = dict(zip(papers.paper, papers.title, strict=True))
    studies = toy.build_pages(directory, titles, expected)
    pages |= studies
    models = list_models(directory / MODELS_DIRECTORY)
    parameters = {(paper, name): count for (paper, name, scale), count in stored_counts().items() if scale == "paper"}
    trained = [*records, *(load_dataclass(Record, entry.path / RECORD_FILE) for entry in models)]
    obtained = (papers, expected, trained, parameters, claims)
    pictures = sorted(path.name for path in (directory / PICTURES_DIRECTORY).glob("*.png"))
    pages["README.md"] = results_page(*obtained, figures, models, pictures, [*studies, *([PAGE] if compressed else [])])
    readme = directory.parent / "README.md"
    if readme.is_file():
        pages[README] = replace_block(readme.read_text(encoding="utf-8"), readme_lines(*obtained, models))
    return pages


def stale_files(results_directory: str | pathlib.Path) -> list[str]:
    """Returns the names of generated files that do not match the data, and of missing figures."""
    directory = pathlib.Path(results_directory)
    stale = [
        name
        for name, text in build_tables(directory).items()
        if not (directory / name).is_file() or (directory / name).read_text(encoding="utf-8") != text
    ]
    records = load_records(directory / OBTAINED_DIRECTORY)
    figures = [figure.file for figure in _figures(directory, records)]
    figures += toy.figure_files(directory) + trends.figure_files(directory)
    if load_compression(directory / COMPRESSION_DIRECTORY):
        figures.append(FIGURE)
    return stale + [file for file in figures if not (directory / file).is_file()]


def write_tables(results_directory: str | pathlib.Path) -> list[pathlib.Path]:
    """Writes every generated file and figure, and returns their paths."""
    directory = pathlib.Path(results_directory)
    paths = []
    for name, text in build_tables(directory).items():
        atomic_write(directory / name, text)
        paths.append(directory / name)
    records = load_records(directory / OBTAINED_DIRECTORY)
    paths += toy.draw_figures(directory) + trends.draw_figures(directory)
    compressed = load_compression(directory / COMPRESSION_DIRECTORY)
    if compressed:
        paths.append(draw_compression(compressed, directory))
    return paths + [figure.draw(directory) for figure in _figures(directory, records)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command, and returns its exit status.

    Args:
      arguments: Command-line arguments; None takes those of the process.
    """
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=pathlib.Path, help="the results directory")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with status 1 if a file is stale")
    options = parser.parse_args(arguments)
    try:
        if options.check:
            stale = stale_files(options.results)
            if stale:
                print(f"stale, run `make tables`: {', '.join(stale)}", file=sys.stderr)
            return 1 if stale else 0
        for path in write_tables(options.results):
            print(path)
    except MissingExtraError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def _figures(directory: pathlib.Path, records: Sequence[Record]) -> tuple[FigureData | SweepFigure, ...]:
    # In the study the learning rate is chosen, so that it is no override of the arm.
    arms = [dataclasses.replace(record, overrides={}) for record in study_records(directory).values()]
    sweeps = collect_sweeps(directory, [*records, *arms], FIGURES_DIRECTORY)
    return (*collect_figures(directory, records, arms), *sweeps)


def _read(path: pathlib.Path) -> "pd.DataFrame":
    return require("pandas", "reproductions").read_csv(path, dtype=str, keep_default_na=False)


if __name__ == "__main__":
    sys.exit(main())
