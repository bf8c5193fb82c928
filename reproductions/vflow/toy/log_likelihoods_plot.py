"""Plot of log-likelihoods against depth and size, with one line per number of dimensions (Chen et al. 2020, figure 3)."""

import os
import pathlib
from collections.abc import Sequence

from reproductions.reporting.plots import new_figure, save_figure
from reproductions.vflow.toy.log_likelihoods import LogLikelihoodRecord
from reproductions.vflow.toy.log_likelihoods_page import model_name


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
