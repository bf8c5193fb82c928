"""The page and the figure of the study in a results directory, for `reproductions.tables`."""

import pathlib
from collections.abc import Mapping, Sequence

from reproductions.reporting.expected import Expected
from reproductions.reporting.figures import FIGURES_DIRECTORY
from reproductions.reporting.records import OBTAINED_DIRECTORY
from reproductions.vflow.toy.log_likelihoods import load_log_likelihoods
from reproductions.vflow.toy.log_likelihoods_page import OPTIMA, log_likelihoods_page
from reproductions.vflow.toy.log_likelihoods_plot import plot_log_likelihoods

PICTURES_DIRECTORY = "pictures"


def build_pages(directory: pathlib.Path, titles: Mapping[str, str], expected: Sequence[Expected]) -> dict[str, str]:
    """Returns the text of each page, by its name in the results directory.

    Args:
      directory: The results directory.
      titles: Titles by short name of the paper.
      expected: Rows of expected.csv.
    """
    pages = {}
    for (paper, dataset), studied in load_log_likelihoods(directory / OBTAINED_DIRECTORY).items():
        printed = [row for row in expected if row.paper == paper]
        # The plot that is drawn with the tables, then the pictures from the study.
        pictures = sorted((directory / PICTURES_DIRECTORY).glob(f"{paper}_{dataset}_*.png"))
        shown = [_plot_file(paper, dataset), *(f"{PICTURES_DIRECTORY}/{path.name}" for path in pictures)]
        pages[f"{paper}_{dataset}.md"] = log_likelihoods_page(titles[paper], dataset, studied, printed, shown)
    return pages


def figure_files(directory: pathlib.Path) -> list[str]:
    """Returns the paths of the figures, below the results directory."""
    return [_plot_file(*study) for study in load_log_likelihoods(directory / OBTAINED_DIRECTORY)]


def draw_figures(directory: pathlib.Path) -> list[pathlib.Path]:
    """Draws the figures, and returns their paths."""
    paths = []
    for (paper, dataset), studied in load_log_likelihoods(directory / OBTAINED_DIRECTORY).items():
        longest = max(record.iterations for record in studied)
        optimum = float(OPTIMA[dataset][1]) if dataset in OPTIMA else None
        drawn = [record for record in studied if record.iterations == longest]
        paths.append(plot_log_likelihoods(drawn, directory / _plot_file(paper, dataset), optimum))
    return paths


def _plot_file(paper, dataset):
    return f"{FIGURES_DIRECTORY}/{paper}_{dataset}_log_likelihoods.png"
