"""Plots of training curves, as PNG files."""

import io
import os
import pathlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from tfflows.extras import require
from tfflows.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Curve = Sequence[tuple[int, float]]
Panels = Mapping[str, Mapping[str, Sequence[Curve]]]


def mean_and_deviation(curves: Sequence[Curve]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the steps, and the mean and standard deviation over seeds, of curves on the same steps.

    Args:
      curves: One curve per seed.

    Returns:
      Three arrays of shape `[num_points]`. The standard deviation divides by seeds - 1, and is 0 for one seed.

    Raises:
      ValueError: If there is no curve, if a curve is empty, or if the curves are not on the same steps.
    """
    steps = [tuple(step for step, _ in curve) for curve in curves]
    if not steps or not steps[0]:
        raise ValueError(f"There is no curve or an empty one among {len(steps)} curves; give at least one point.")
    if len(set(steps)) > 1:
        raise ValueError(
            f"Curves of several seeds must be on the same steps: got {sorted(map(len, steps))} "
            f"points up to steps {sorted(last[-1] for last in steps if last)}."
        )
    values = np.array([[value for _, value in curve] for curve in curves], np.float64)
    deviation = values.std(0, ddof=1) if len(curves) > 1 else np.zeros(values.shape[1])
    return np.array(steps[0]), values.mean(0), deviation


def plot_arms(
    panels: Panels, path: str | os.PathLike, title: str = "", train_panels: Panels = MappingProxyType({})
) -> pathlib.Path:
    """Plots bits/dim against steps of several arms, with mean and standard deviation over seeds.

    Args:
      panels: Curves of all seeds, by title of the panel and label of the arm.
      path: Path of the PNG file.
      title: Title of the whole figure.
      train_panels: Training curves for some of the same panels and arms, drawn dashed in the colors of the arms.

    Returns:
      The path of the file.
    """
    figure = new_figure(5 * len(panels), 4)
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    highest, lowest = [], []
    for axis, (panel, arms) in zip(axes, panels.items(), strict=True):
        for label, curves in arms.items():
            steps, mean, deviation = mean_and_deviation(curves)
            seeds = f"{label} ({len(curves)} seed{'s' if len(curves) > 1 else ''})"
            (line,) = axis.plot(steps, mean, label=seeds)
            axis.fill_between(steps, mean - deviation, mean + deviation, alpha=0.25, color=line.get_color())
            highest.append(_settled(mean).max())
            lowest.append((mean - deviation).min())
            train_curves = train_panels.get(panel, {}).get(label)
            if train_curves:
                steps, mean, _ = mean_and_deviation(train_curves)
                axis.plot(steps, mean, label=f"{label}, training", linestyle="--", color=line.get_color())
                highest.append(_settled(mean).max())
                lowest.append(mean.min())
        axis.set(title=panel, xlabel="step")
        axis.grid(alpha=0.3)
        axis.legend()
    axes[0].set_ylabel("bits/dim")
    # The first tenth of a run falls so steeply that it would flatten the rest.
    margin = 0.05 * (max(highest) - min(lowest)) or 0.1
    axes[0].set_ylim(min(lowest) - margin, max(highest) + margin)
    figure.suptitle(title)
    return save_figure(figure, path)


def _settled(mean):
    """The curve without its first tenth."""
    return mean[min(len(mean) // 10, len(mean) - 2) if len(mean) > 2 else 0 :]


def plot_curve(curve: Curve, path: str | os.PathLike, title: str = "") -> pathlib.Path:
    """Plots bits/dim against steps of one run as a PNG file, and returns its path."""
    return plot_arms({title: {"bits/dim": [curve]}}, path)


def new_figure(width: float, height: float) -> "Figure":
    """Returns an empty figure whose parts are laid out without overlap.

    Args:
      width: Width in inches.
      height: Height in inches.

    Raises:
      MissingExtraError: If matplotlib is not installed.
    """
    figure = require("matplotlib.figure", "reproductions").Figure(figsize=(width, height), layout="constrained")
    require("matplotlib.backends.backend_agg", "reproductions").FigureCanvasAgg(figure)
    return figure


def save_figure(figure: "Figure", path: str | os.PathLike) -> pathlib.Path:
    """Saves a figure without date and software version, so that equal data give equal files, and returns the path."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    figure.canvas.print_png(content, metadata={"Software": None})
    if not path.exists() or path.read_bytes() != content.getvalue():
        atomic_write(path, content.getvalue())
    return path
