"""Figures 2 and 4 of the paper from trained cells: densities on a grid, and what the steps do to samples."""

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
# Half the side of the pictured square, and points along the side.
_HALF_WIDTH, _RESOLUTION = 5.0, 150
_NUM_SAMPLES = 2000


def draw_figures(
    iterations: int, num_seeds: int, workdir: str | os.PathLike, directory: str | os.PathLike
) -> list[pathlib.Path]:
    """Writes the figures of the first seed's models.

    Args:
      iterations, num_seeds, workdir: Of the training that left the cells.
      directory: Where the pictures go.

    Returns:
      Paths of the files.

    Raises:
      FileNotFoundError: If a cell is not trained; says how to train it.
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
    """Parameters of the first seed, by flow and name, `[L, 1, ...]`.

    Raises:
      FileNotFoundError: If the cell is not trained to its end.
    """
    directory = cell_directory(cell, iterations, num_seeds, workdir)
    progress = Progress(cell, range(num_seeds), iterations, directory)
    if progress.iteration < iterations:
        raise FileNotFoundError(f"{directory} holds no finished training: train with --cells={cell.name} first.")
    return tf.nest.map_structure(lambda value: value[:, :1], progress.state.parameters)


def grid_density(cell: Cell | None, parameters: FlowParameters | None, resolution: int = _RESOLUTION) -> np.ndarray:
    """Density on the grid, rows from the largest x2 to the smallest; of the data where `cell` is None.

    Of VFlow's models it is the mean of p(x, z) / q(z|x) over draws of z.

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
    """Densities by title, side by side, darkest where twice the data's."""
    figure = new_figure(3 * len(densities), 3.2)
    axes = figure.subplots(1, len(densities), squeeze=False)[0]
    extent = (-_HALF_WIDTH, _HALF_WIDTH, -_HALF_WIDTH, _HALF_WIDTH)
    for axis, (title, density) in zip(axes, densities.items(), strict=True):
        axis.imshow(density, extent=extent, cmap="Greys", vmin=0, vmax=2 * np.exp(checkerboard.OPTIMUM))
        axis.set(title=title, xticks=[], yticks=[])
    return save_figure(figure, path)


def states_of(cell: Cell, parameters: FlowParameters, x: tf.Tensor, noise: tf.Tensor) -> list[np.ndarray]:
    """What the steps make of samples: the flow's input, then the output of each step; `[D, N]` each, NumPy."""
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
    """Samples in the spaces of each model, a row a model; one colour a square of the checkerboard."""
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
            axis.set_title(f"{cell.model}, D = {cell.dimensions}: {_space(column, len(states))}")
            if projection is None:
                axis.set_aspect("equal")
    return save_figure(figure, path)


def _space(column, count):
    if column == 0:
        return "data"
    return "latent" if column == count - 1 else f"after step {column}"
