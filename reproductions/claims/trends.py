"""Figures of trends: how the difference between two arms changes with the length of training.

They stand on the long runs of the queue, which have another recipe than its verdicts: a constant rate, so that one run shows
every length, and moving averages that are evaluated in place of the parameters. No verdict is drawn from them.
"""

import dataclasses
import pathlib

import numpy as np

from reproductions.claims.outcomes import records_of
from reproductions.recipe import TREND_SEEDS, trend_name
from reproductions.reporting.figures import FIGURES_DIRECTORY
from reproductions.reporting.plots import mean_and_deviation, new_figure, save_figure
from reproductions.reporting.records import Record


@dataclasses.dataclass(frozen=True)
class Trend:
    """Two arms with a long run each.

    Attributes:
      paper: Paper whose claim it is about.
      title: Title of the figure.
      lower: Arm that is claimed to be lower.
      higher: The other arm.
    """

    paper: str
    title: str
    lower: str
    higher: str

    @property
    def file(self) -> str:
        """Path of the figure, below the results directory."""
        return f"{FIGURES_DIRECTORY}/trend_{self.paper}_{self.lower}.png"


TRENDS = (
    Trend("macow", "MaCow: fine-grained below original", "fine_grained", "org"),
    Trend("flowpp", "Flow++: variational below uniform dequantization", "full", "uniform_dequantization"),
    Trend("vflow", "VFlow: 6 channels below 3", "6_channels", "3_channels"),
)


def difference_curves(trend: Trend, records: dict[tuple[str, str, int], Record]) -> list[list[tuple[int, float]]]:
    """Returns for each seed the differences of bits/dim, `higher - lower`, by step; empty while a run is missing.

    Args:
      trend: The trend.
      records: Records of the study, see `outcomes.records_of`.

    Raises:
      ValueError: If both arms of a seed were not evaluated at the same steps.
    """
    curves = []
    for seed in TREND_SEEDS:
        keys = [(trend.paper, trend_name(arm), seed) for arm in (trend.lower, trend.higher)]
        if not all(key in records for key in keys):
            return []
        lower, higher = (records[key].curve for key in keys)
        if [step for step, _ in lower] != [step for step, _ in higher]:
            raise ValueError(f"{trend.title}, seed {seed}: the arms were evaluated at different steps.")
        curves.append([(step, b - a) for (step, a), (_, b) in zip(lower, higher, strict=True)])
    return curves


def studied(directory: pathlib.Path) -> dict[Trend, list[list[tuple[int, float]]]]:
    """Returns the curves of the trends whose runs are all there.

    Args:
      directory: The results directory.
    """
    records = records_of(directory)
    curves = {trend: difference_curves(trend, records) for trend in TRENDS}
    return {trend: own for trend, own in curves.items() if own}


def figure_files(directory: pathlib.Path) -> list[str]:
    """Returns the paths of the figures, below the results directory."""
    return [trend.file for trend in studied(directory)]


def draw_figures(directory: pathlib.Path) -> list[pathlib.Path]:
    """Draws the figures, and returns their paths."""
    return [_draw(trend, curves, directory / trend.file) for trend, curves in studied(directory).items()]


def trends_text(directory: pathlib.Path) -> str:
    """Returns the section of the page of claims: the figures, or which are not run."""
    drawn = figure_files(directory)
    missing = [trend.title for trend in TRENDS if trend.file not in drawn]
    parts = [
        "Another recipe than that of the verdicts: 20,000 steps at a constant rate, averages evaluated in place of the "
        f"parameters, {len(TREND_SEEDS)} seeds. A curve is the difference in test bits/dim, positive if it goes as claimed."
    ]
    parts += [f"![{trend.title}]({trend.file})" for trend in TRENDS if trend.file in drawn]
    return "\n\n".join(parts + ([f"Not run: {'; '.join(missing)}."] if missing else []))


def _draw(trend, curves, path):
    steps, mean, deviation = mean_and_deviation(curves)
    figure = new_figure(7, 4)
    axes = figure.subplots()
    axes.axhline(0.0, color="grey", linewidth=0.8)
    for curve in curves:
        axes.plot(steps, np.array(curve)[:, 1], color="C0", alpha=0.4, linewidth=0.8)
    axes.plot(steps, mean, color="C0", label="mean over seeds")
    axes.fill_between(steps, mean - deviation, mean + deviation, color="C0", alpha=0.2)
    axes.set(xlabel="training steps", ylabel="difference in bits/dim", title=f"{trend.title} (another recipe)")
    axes.legend()
    return save_figure(figure, path)
