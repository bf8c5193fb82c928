"""Figures of the parts of a bound over latents against one varied setting (Lucas & Verbeek 2018, figures 4 and 5 b)."""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from reproductions.reporting.plots import new_figure, save_figure
from reproductions.reporting.records import SELECTIONS, Record
from reproductions.reporting.rows import read_rows
from tfflows.evaluation.latent_terms import SAMPLE_DISTANCE

SWEEPS_FILE = "sweeps.csv"
_KEYS = ("paper", "experiment", "dataset", "scale")
_BITS = {
    "pixel_bits_per_dim": "pixels given their latents",
    "other_pixel_bits_per_dim": "pixels given another image's",
    "auxiliary_bits_per_dim": "auxiliary image",
}


@dataclasses.dataclass(frozen=True)
class SweepFigure:
    """One figure.

    Attributes:
      file: Path below the results directory.
      title: Title of the figure.
      paper: Short name of the paper.
      abscissa: Name of the varied setting.
      points: Records of all seeds by value of the setting, in the order of drawing.
    """

    file: str
    title: str
    paper: str
    abscissa: str
    points: dict[str, list[Record]]

    @property
    def has_arms(self) -> bool:
        """True: each point is an arm."""
        return True

    def draw(self, results_directory: pathlib.Path) -> pathlib.Path:
        """Draws bits/dim of the bound and its parts, KL, and distance of samples to reconstructions, as means over seeds.

        Args:
          results_directory: The results directory.

        Returns:
          The path of the PNG file.
        """
        figure = new_figure(14, 4)
        bits, nats, distance = figure.subplots(1, 3)
        places = np.arange(len(self.points))

        def line(axis, label, value_of):
            means = [np.mean([value_of(record) for record in seeds]) for seeds in self.points.values()]
            axis.plot(places, means, marker="o", markersize=4, label=label)

        line(bits, "bound", lambda record: record.value)
        for quantity, label in _BITS.items():
            line(bits, label, lambda record, quantity=quantity: record.terms[quantity]["value"])
        line(nats, "KL", lambda record: record.terms["kl_nats"]["value"])
        if all(SAMPLE_DISTANCE in record.terms for seeds in self.points.values() for record in seeds):
            line(distance, "samples", lambda record: record.terms[SAMPLE_DISTANCE]["value"])
        names = {bits: "bits/dim", nats: "KL in nats per image", distance: "from samples to reconstructions of the VAE"}
        for axis, name in names.items():
            axis.set_xticks(places, list(self.points))
            axis.set(xlabel=self.abscissa, ylabel=name)
            axis.grid(alpha=0.3)
        bits.legend()
        figure.suptitle(self.title)
        return save_figure(figure, results_directory / self.file)


def collect_sweeps(
    results_directory: pathlib.Path, records: Sequence[Record], directory: str
) -> tuple[SweepFigure, ...]:
    """Returns the figures of `sweeps.csv` with at least two points.

    Each row is a point: all seeds of one experiment at one scale on one data set, without overrides, if there are records with
    the terms of their bound.

    Args:
      results_directory: Directory of `sweeps.csv`; without that file there are no figures.
      records: All records.
      directory: Directory of the figures, below the results directory.
    """
    path = results_directory / SWEEPS_FILE
    if not path.is_file():
        return ()
    rows = [row for _, row in read_rows(path, ["figure", "title", "paper", "abscissa", "x"])]
    figures: dict[str, SweepFigure] = {}
    for row in rows:
        figure = figures.setdefault(
            row["figure"],
            SweepFigure(f"{directory}/{row['figure']}.png", row["title"], row["paper"], row["abscissa"], {}),
        )
        seeds = [record for record in records if record.terms and record.is_plain and _is_of(record, row)]
        if seeds:
            figure.points[row["x"]] = seeds
    return tuple(figure for figure in figures.values() if len(figure.points) > 1)


def _is_of(record, row):
    named = all(getattr(record, name) == row[name] for name in _KEYS)
    return named and not record.overrides and record.select == SELECTIONS[0]
