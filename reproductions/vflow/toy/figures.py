"""Figures 2 and 4 of the paper from trained cells: densities on a grid, and samples after each step."""

import os
import pathlib
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from reproductions.reporting.plots import new_figure, save_figure
from reproductions.vflow.toy import checkerboard, flow
from reproductions.vflow.toy.bound import PRIOR, FlowParameters, importance_weighted, sample_posterior
from reproductions.vflow.toy.cells import IMPORTANCE_SAMPLES, VISUALIZED_CELLS, Cell
from reproductions.vflow.toy.evaluation import log_weights
from reproductions.vflow.toy.progress import Progress
from reproductions.vflow.toy.study import DATASET, PAPER, cell_directory
from reproductions.vflow.toy.training import draw

DENSITY_CELLS = (Cell(3, 2), Cell(20, 2), Cell(3, 10))
# Half the side of the drawn square, and the number of points along the side.
_HALF_WIDTH, _RESOLUTION = 5.0, 150
_NUM_SAMPLES = 2000


def draw_figures(
    iterations: int, num_seeds: int, workdir: str | os.PathLike, directory: str | os.PathLike
) -> list[pathlib.Path]:
    """Draws the figures from the models of the first seed.

    Args:
      iterations: Number of training iterations of the cells.
      num_seeds: Number of seeds of the cells.
      workdir: Workdir of the training.
      directory: Directory for the pictures.

    Returns:
      Paths of the files.

    Raises:
      FileNotFoundError: If a cell is not trained. The message says how to train it.
    """
    models = {
        cell: load_model(cell, iterations, num_seeds, workdir)
        for cell in dict.fromkeys((*DENSITY_CELLS, *VISUALIZED_CELLS))
    }
    directory = pathlib.Path(directory)
    densities = {"data": grid_density(None, None)} | {
        f"{cell.model}, {cell.steps} steps, D = {cell.dimensions}": grid_density(cell, models[cell])
        for cell in DENSITY_CELLS
    }
    return [
        plot_densities(densities, directory / f"{PAPER}_{DATASET}_densities.png"),
        plot_transformations(
            {cell: models[cell] for cell in VISUALIZED_CELLS}, directory / f"{PAPER}_{DATASET}_transformations.png"
        ),
    ]


def load_model(cell: Cell, iterations: int, num_seeds: int, workdir: str | os.PathLike) -> FlowParameters:
    """Loads the parameters of the first seed, by flow and name, `[L, 1, ...]`.

    Raises:
      FileNotFoundError: If the training of the cell is not finished.
    """
    directory = cell_directory(cell, iterations, num_seeds, workdir)
    progress = Progress(cell, range(num_seeds), iterations, directory)
    if progress.iteration < iterations:
        raise FileNotFoundError(f"{directory} holds no finished training; train with --cells={cell.name} first.")
    return tf.nest.map_structure(lambda value: value[:, :1], progress.state.parameters)


def grid_density(cell: Cell | None, parameters: FlowParameters | None, resolution: int = _RESOLUTION) -> np.ndarray:
    """Computes the density on a grid, with rows from the largest x2 to the smallest.

    For VFlow it is the mean of p(x, z) / q(z|x) over draws of z.

    Args:
      cell: The cell; None for the density of the data.
      parameters: By flow and name, `[L, 1, ...]`; None for the density of the data.
      resolution: Number of points along each side.

    Returns:
      NumPy `[resolution, resolution]`.
    """
    middles = (np.arange(resolution) + 0.5) * 2 * _HALF_WIDTH / resolution - _HALF_WIDTH
    columns, rows = np.meshgrid(middles, middles[::-1])
    x = tf.constant(np.stack([columns.ravel(), rows.ravel()])[np.newaxis], tf.float32)
    if cell is None:
        log_density = checkerboard.log_prob(x)
    else:
        log_density = importance_weighted(log_weights(cell, parameters, [0], x, IMPORTANCE_SAMPLES))
    return np.exp(np.asarray(log_density)[0]).reshape(resolution, resolution)


def plot_densities(densities: Mapping[str, np.ndarray], path: str | os.PathLike) -> pathlib.Path:
    """Plots densities, given by title, side by side; the darkest shade is twice the density of the data."""
    figure = new_figure(3 * len(densities), 3.2)
    axes = figure.subplots(1, len(densities), squeeze=False)[0]
    extent = (-_HALF_WIDTH, _HALF_WIDTH, -_HALF_WIDTH, _HALF_WIDTH)
    for axis, (title, density) in zip(axes, densities.items(), strict=True):
        axis.imshow(density, extent=extent, cmap="Greys", vmin=0, vmax=2 * np.exp(checkerboard.OPTIMUM))
        axis.set(title=title, xticks=[], yticks=[])
    return save_figure(figure, path)


def states_of(cell: Cell, parameters: FlowParameters, x: tf.Tensor, noise: tf.Tensor) -> list[np.ndarray]:
    """Computes the states of samples: the flow's input, then the output of each step; NumPy `[D, N]` each."""
    state = x
    if cell.latent_dimensions:
        z, _ = sample_posterior(cell, parameters, x, noise)
        state = tf.concat([x, z], axis=-2)
    states = [state]
    for step in flow.step_parameters(parameters[PRIOR]):
        state, _ = flow.glow_step(step, state)
        states.append(state)
    return [state[0].numpy() for state in states]


def plot_transformations(models: Mapping[Cell, FlowParameters], path: str | os.PathLike) -> pathlib.Path:
    """Plots samples in the spaces of each model, with one row per model and one color per square of the checkerboard."""
    rows = []
    for cell, parameters in models.items():
        x, noise = draw(cell, [0], "figure", 0, 1, _NUM_SAMPLES)
        square = np.floor(x[0, 0].numpy() / 2)
        rows.append((cell, states_of(cell, parameters, x[0], noise[0]), square[0] * 4 + square[1]))
    columns = max(len(states) for _, states, _ in rows)
    figure = new_figure(3.2 * columns, 3.2 * len(rows))
    for row, (cell, states, colours) in enumerate(rows):
        for column, state in enumerate(states):
            projection = "3d" if len(state) == 3 else None
            axis = figure.add_subplot(len(rows), columns, row * columns + column + 1, projection=projection)
            axis.scatter(*state, c=colours, cmap="tab20", s=2)
            steps = f"{cell.prior_steps} step{'s' if cell.prior_steps > 1 else ''} in p"
            axis.set_title(f"{cell.model}, D = {cell.dimensions}, {steps}: {_space(column, len(states))}", fontsize=9)
            if projection is None:
                axis.set_aspect("equal")
    return save_figure(figure, path)


def _space(column, count):
    if column == 0:
        return "data"
    return "latent" if column == count - 1 else f"after step {column}"
