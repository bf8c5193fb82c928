"""The figures of training curves: which curves belong to which figure, and drawing them."""

import dataclasses
import pathlib
from collections.abc import Sequence

from reproductions.reporting.expected import BITS_PER_DIM
from reproductions.reporting.plots import Curve, plot_arms, plot_curve
from reproductions.reporting.records import SELECTIONS, Record
from reproductions.reporting.rows import read_rows

FIGURES_FILE = "figures.csv"
FIGURES_DIRECTORY = "figures"
_KEYS = ("paper", "experiment", "dataset", "scale")
# What a row of figures.csv draws of its arm.
TEST, TRAIN_AND_TEST = "test", "train_and_test"


@dataclasses.dataclass(frozen=True)
class FigureData:
    """One figure.

    Attributes:
      file: Path below the results directory.
      title: Title of the figure.
      paper: Short name of the paper.
      panels: Test curves, by panel and arm.
      train_panels: Training curves, by panel and arm.
    """

    file: str
    title: str
    paper: str
    panels: dict[str, dict[str, list[Curve]]]
    train_panels: dict[str, dict[str, list[Curve]]] = dataclasses.field(default_factory=dict)

    @property
    def has_arms(self) -> bool:
        """Whether it has several arms, and is not the curve of one run."""
        return len(self.panels) > 1 or list(next(iter(self.panels.values()))) != [""]

    def draw(self, results_directory: pathlib.Path) -> pathlib.Path:
        """Draws the figure as a PNG file, and returns its path."""
        path = results_directory / self.file
        if not self.has_arms:
            return plot_curve(self.panels[""][""][0], path, self.title)
        return plot_arms(self.panels, path, self.title, self.train_panels)


def collect_figures(
    results_directory: pathlib.Path, records: Sequence[Record], arms: Sequence[Record] = ()
) -> tuple[FigureData, ...]:
    """Returns the figures for which there are curves.

    Each row of `figures.csv` adds the curves of one experiment at one scale on one data set (all seeds, no overrides) to a panel
    of a figure. The column `curves` is `test` for the curves of the test images, or `train_and_test` to add the training curves
    if every record has one. A curve of `records` that no row asks for gets a figure of its own.

    Args:
      results_directory: Directory of `figures.csv`.
      records: All records.
      arms: Records of a study, which are drawn where a row asks for them alone.

    Raises:
      ValueError: If the column `curves` holds anything else.
    """
    rows = [row for _, row in read_rows(results_directory / FIGURES_FILE, ["curves"])]
    curves = [item for item in (*records, *arms) if item.curve and item.metric == BITS_PER_DIM]
    used = {id(record) for record in arms}
    figures: dict[str, FigureData] = {}
    for row in rows:
        if row["curves"] not in (TEST, TRAIN_AND_TEST):
            raise ValueError(f"{FIGURES_FILE}: curves must be {TEST} or {TRAIN_AND_TEST}, not {row['curves']!r}.")
        arm = [
            record
            for record in curves
            if all(getattr(record, name) == row[name] for name in _KEYS)
            and not record.overrides
            and record.select == SELECTIONS[0]
        ]
        if not arm:
            continue
        figure = figures.setdefault(
            row["figure"],
            FigureData(f"{FIGURES_DIRECTORY}/{row['figure']}.png", row["title"], row["paper"], {}),
        )
        figure.panels.setdefault(row["panel"], {})[row["label"]] = [item.curve for item in arm]
        if row["curves"] == TRAIN_AND_TEST and all(item.train_curve for item in arm):
            figure.train_panels.setdefault(row["panel"], {})[row["label"]] = [item.train_curve for item in arm]
        used.update(id(record) for record in arm)
    single = [
        FigureData(
            f"{FIGURES_DIRECTORY}/{record.paper}-{record.name}.png",
            f"{record.experiment}, scale {record.scale}, seed {record.seed}"
            + (", images held out of training" if record.validation else ""),
            record.paper,
            {"": {"": [record.curve]}},
        )
        for record in curves
        if id(record) not in used
    ]
    return (*figures.values(), *single)
