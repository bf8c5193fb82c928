"""The page and the figure of the study in a results directory, for `reproductions.tables`.

The page has a grid of steps and dimensions, and each model beside the printed value.
"""

import os
import pathlib
from collections.abc import Mapping, Sequence

from reproductions.reporting.expected import Expected
from reproductions.reporting.figures import FIGURES_DIRECTORY
from reproductions.reporting.markdown import lines_table, page
from reproductions.reporting.plots import new_figure, save_figure
from reproductions.reporting.provenance import short_commit
from reproductions.reporting.records import OBTAINED_DIRECTORY
from reproductions.vflow.toy.cells import GAUSSIAN_STEP, NORMAL
from reproductions.vflow.toy.log_likelihoods import LogLikelihoodRecord, load_log_likelihoods

PICTURES_DIRECTORY = "pictures"
LOG_LIKELIHOOD = "log_likelihood_nats"
STANDARD_DEVIATION = "log_likelihood_nats_std"
# What a variant is, where it has a name.
_VARIANTS = {
    NORMAL: "q(z|x) is N(0, I), and only p(x, z) is trained (remark 2).",
    GAUSSIAN_STEP: "The VFlow of figure 4 as its text has it: the Gaussian q(z|x) is one of the steps. In the table above, the "
    "q(z|x) of 3 dimensions is a Gaussian in addition to the steps, which are all in p(x, z) (ours).",
}
# The highest possible mean log-likelihood of a model, in nats: minus the entropy of the data.
OPTIMA = {"checkerboard": ("-ln 32", "-3.4657")}


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


def log_likelihoods_page(
    title: str,
    dataset: str,
    records: Sequence[LogLikelihoodRecord],
    expected: Sequence[Expected],
    figures: Sequence[str],
) -> str:
    """Returns the page of a study.

    Args:
      title: Title of the paper.
      dataset: Name of the data set.
      records: Records of the study.
      expected: Rows of expected.csv of this paper.
      figures: Picture files to show, below the results directory.
    """
    sections = [("", _introduction(dataset, records))]
    for iterations, seeds in dict.fromkeys((record.iterations, len(record.seeds)) for record in records):
        same = [record for record in records if (record.iterations, len(record.seeds)) == (iterations, seeds)]
        sections.append((f"{iterations:,} iterations, {seeds} seed{'s' if seeds > 1 else ''}", _grid(same)))
        for variant in sorted({record.variant for record in same} - {""}):
            about = f"{_VARIANTS[variant]}\n\n" if variant in _VARIANTS else ""
            sections.append((f"Variant: {variant}", about + _grid(same, variant)))
        sections.append(("Each model", _models(same, expected, dataset)))
    if figures:
        sections.append(("Figures", "\n\n".join(f"![{name}]({name})" for name in figures)))
    return page(f"{title}: {dataset}", sections)


def label(record: LogLikelihoodRecord) -> str:
    """Returns the name of the model in expected.csv."""
    return f"{model_name(record)} {record.steps} steps, {record.dimensions} dimensions"


def model_name(record: LogLikelihoodRecord) -> str:
    """Returns the name of the model, with its variant."""
    return f"{record.model} ({record.variant})" if record.variant else record.model


def _introduction(dataset, records):
    points = ", ".join(f"{count:,}" for count in sorted({record.test_points for record in records}))
    lines = [
        f"Mean test log-likelihood in nats, ± standard deviation over seeds; {points} test points per seed. For models with "
        "augmentation it is the importance-weighted bound; for the others it is exact.",
    ]
    if dataset in OPTIMA:
        lines.append("The highest possible value is {} = {}.".format(*OPTIMA[dataset]))
    return " ".join(lines)


def _grid(records, variant=""):
    """Steps against dimensions, of one variant."""
    records = [record for record in records if record.variant == variant]
    dimensions = sorted({record.dimensions for record in records})
    cells = {(record.steps, record.dimensions): record for record in records}
    lines = []
    for steps in sorted({record.steps for record in records}):
        found = {size: cells.get((steps, size)) for size in dimensions}
        lines.append(
            {"Steps": steps}
            | {f"D = {size}": "" if record is None else _value(record) for size, record in found.items()}
        )
    return lines_table(lines)


def _models(records, expected, dataset):
    printed = {(row.model, row.metric): row.printed for row in expected if row.dataset == dataset and row.own}
    lines = []
    for record in records:
        mean = printed.get((label(record), LOG_LIKELIHOOD))
        deviation = printed.get((label(record), STANDARD_DEVIATION))
        lines.append(
            {
                "Model": model_name(record),
                "Steps": record.steps,
                "Dimensions": record.dimensions,
                "Parameters": record.parameters,
                "Log-likelihood": _value(record),
                "Paper": "" if mean is None else f"{mean} ± {deviation}",
                "Difference": "" if mean is None else f"{record.mean - float(mean):+.3f}",
                "Evidence lower bound": f"{sum(record.elbos) / len(record.elbos):.3f}",
                "Importance samples": record.importance_samples,
                "Commit": short_commit(record.commit),
            }
        )
    return lines_table(lines)


def _value(record):
    if len(record.seeds) == 1:
        return f"{record.mean:.3f}"  # one seed has no deviation
    return f"{record.mean:.3f} ± {record.standard_deviation:.3f}"


def plot_log_likelihoods(
    records: Sequence[LogLikelihoodRecord], path: str | os.PathLike, optimum: float | None = None
) -> pathlib.Path:
    """Plots the mean test log-likelihood with its standard deviation over seeds, against steps and against parameters.

    Args:
      records: Records of one study, all with the same number of iterations.
      path: Path of the PNG file.
      optimum: Highest possible mean log-likelihood in nats, drawn as a dotted line; None for no line.

    Returns:
      The path of the file.
    """
    figure = new_figure(10, 4)
    axes = figure.subplots(1, 2, sharey=True)
    for variant, size in sorted({(record.variant, record.dimensions) for record in records}):
        line = [record for record in records if (record.variant, record.dimensions) == (variant, size)]
        for axis, abscissa in zip(axes, ("steps", "parameters"), strict=True):
            points = sorted(line, key=lambda record, abscissa=abscissa: getattr(record, abscissa))
            axis.errorbar(
                [getattr(record, abscissa) for record in points],
                [record.mean for record in points],
                yerr=[record.standard_deviation for record in points],
                marker="x" if variant else "o",
                markersize=3,
                capsize=2,
                label=f"{model_name(line[0])}, D = {size}",
            )
    for axis, name in zip(axes, ("steps", "parameters"), strict=True):
        if optimum is not None:
            axis.axhline(optimum, color="black", linestyle=":", linewidth=1)
        axis.set(xlabel=name)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("test log-likelihood in nats")
    axes[1].legend()
    return save_figure(figure, path)
