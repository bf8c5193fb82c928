"""Regenerates the Markdown tables and the figures of a results directory from its data.

python -m tfflows.evaluation.tables results/           # write them
python -m tfflows.evaluation.tables results/ --check   # only say which are stale, exit 1 if any
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence

import pandas as pd

from tfflows.evaluation.benchmarks import BEFORE_DIRECTORY, BENCHMARKS_DIRECTORY, load_benchmarks
from tfflows.evaluation.benchmarks_page import benchmarks_page
from tfflows.evaluation.claims import CLAIMS_DIRECTORY, load_claims
from tfflows.evaluation.claims_page import claims_page
from tfflows.evaluation.expected import load_expected
from tfflows.evaluation.figures import FIGURES_DIRECTORY, FigureData, collect_figures
from tfflows.evaluation.log_likelihoods import load_log_likelihoods
from tfflows.evaluation.log_likelihoods_page import OPTIMA, log_likelihoods_page
from tfflows.evaluation.log_likelihoods_plot import plot_log_likelihoods
from tfflows.evaluation.paper_page import paper_page
from tfflows.evaluation.published_pages import parameters_page, unverified_page
from tfflows.evaluation.readme_block import replace_block, results_block
from tfflows.evaluation.records import OBTAINED_DIRECTORY, Record, load_records
from tfflows.evaluation.sweeps import SweepFigure, collect_sweeps
from tfflows.training.workdir import atomic_write

README = "../README.md"
PICTURES_DIRECTORY = "pictures"


def build_tables(results_directory: str | pathlib.Path) -> dict[str, str]:
    """The text of every generated file, by its name in the results directory.

    Raises:
      FileNotFoundError: if a file of expected values is missing.
      ValueError: if a record, a claim, a benchmark or an expected value is not valid.
    """
    directory = pathlib.Path(results_directory)
    expected = load_expected(directory)
    records = load_records(directory / OBTAINED_DIRECTORY)
    figures = _figures(directory, records)
    papers = _read(directory, "papers.csv")
    pages = {
        f"{paper.paper}.md": paper_page(paper, papers, expected, records, figures) for paper in papers.itertuples()
    }
    pages["parameters.md"] = parameters_page(_read(directory, "parameters.csv"), papers)
    pages["unverified.md"] = unverified_page(_read(directory, "unverified.csv"), papers)
    claims = load_claims(directory / CLAIMS_DIRECTORY)
    pages["claims.md"] = claims_page(claims, papers)
    benchmarks = load_benchmarks(directory / BENCHMARKS_DIRECTORY)
    if benchmarks:
        before = load_benchmarks(directory / BENCHMARKS_DIRECTORY / BEFORE_DIRECTORY)
        pages["benchmarks.md"] = benchmarks_page(benchmarks, before)
    titles = dict(zip(papers.paper, papers.title, strict=True))
    for (paper, dataset), studied in load_log_likelihoods(directory / OBTAINED_DIRECTORY).items():
        printed = [row for row in expected if row.paper == paper]
        shown = _study_figures(directory, paper, dataset)
        pages[f"{paper}_{dataset}.md"] = log_likelihoods_page(titles[paper], dataset, studied, printed, shown)
    readme = directory.parent / "README.md"
    if readme.is_file():
        block = results_block(titles, expected, records, claims)
        pages[README] = replace_block(readme.read_text(encoding="utf-8"), block)
    return pages


def stale_files(results_directory: str | pathlib.Path) -> list[str]:
    """Names of generated files that differ from what the data say, and of missing figures."""
    directory = pathlib.Path(results_directory)
    stale = [
        name
        for name, text in build_tables(directory).items()
        if not (directory / name).is_file() or (directory / name).read_text(encoding="utf-8") != text
    ]
    records = load_records(directory / OBTAINED_DIRECTORY)
    figures = [figure.file for figure in _figures(directory, records)]
    figures += [_study_plot(*study) for study in load_log_likelihoods(directory / OBTAINED_DIRECTORY)]
    return stale + [file for file in figures if not (directory / file).is_file()]


def write_tables(results_directory: str | pathlib.Path) -> list[pathlib.Path]:
    """Writes every generated file and figure, and returns their paths."""
    directory = pathlib.Path(results_directory)
    paths = []
    for name, text in build_tables(directory).items():
        atomic_write(directory / name, text)
        paths.append(directory / name)
    records = load_records(directory / OBTAINED_DIRECTORY)
    for study, studied in load_log_likelihoods(directory / OBTAINED_DIRECTORY).items():
        longest = max(record.iterations for record in studied)
        optimum = float(OPTIMA[study[1]][1]) if study[1] in OPTIMA else None
        drawn = [record for record in studied if record.iterations == longest]
        paths.append(plot_log_likelihoods(drawn, directory / _study_plot(*study), optimum))
    return paths + [figure.draw(directory) for figure in _figures(directory, records)]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=pathlib.Path, help="the results directory")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    options = parser.parse_args(arguments)
    if options.check:
        stale = stale_files(options.results)
        if stale:
            print(f"stale, run `make tables`: {', '.join(stale)}", file=sys.stderr)
        return 1 if stale else 0
    for path in write_tables(options.results):
        print(path)
    return 0


def _figures(directory: pathlib.Path, records: Sequence[Record]) -> tuple[FigureData | SweepFigure, ...]:
    return (*collect_figures(directory, records), *collect_sweeps(directory, records, FIGURES_DIRECTORY))


def _study_plot(paper: str, dataset: str) -> str:
    return f"{FIGURES_DIRECTORY}/{paper}_{dataset}_log_likelihoods.png"


def _study_figures(directory: pathlib.Path, paper: str, dataset: str) -> list[str]:
    """The plot that is drawn with the tables, then the pictures that the study left."""
    pictures = sorted((directory / PICTURES_DIRECTORY).glob(f"{paper}_{dataset}_*.png"))
    return [_study_plot(paper, dataset), *(f"{PICTURES_DIRECTORY}/{path.name}" for path in pictures)]


def _read(directory: pathlib.Path, name: str) -> pd.DataFrame:
    return pd.read_csv(directory / name, dtype=str, keep_default_na=False)


if __name__ == "__main__":
    sys.exit(main())
