"""Figures of the study from small random models."""

import numpy as np
import pytest
import tensorflow as tf

from reproductions.vflow.toy import checkerboard, figures
from reproductions.vflow.toy.cells import Cell
from reproductions.vflow.toy.training import draw
from tests.reproductions.vflow.toy.random_models import random_model


def test_density_of_the_data_is_the_checkerboard_upright():
    density = figures.grid_density(None, None, resolution=50)
    assert density.sum() * (10 / 50) ** 2 == pytest.approx(1, abs=0.02)
    # Squares of the data: (0 ... 2, 0 ... 2) and not (0 ... 2, 2 ... 4).
    row, column = 24 - 5, 25 + 5  # x2 = 1.1, x1 = 1.1
    assert density[row, column] == pytest.approx(np.exp(checkerboard.OPTIMUM))
    assert density[row - 10, column] == 0


def test_states_begin_with_the_data_and_end_in_the_latent():
    cell = Cell(2, 3)
    parameters = random_model(cell, [0], tf.float32)
    x, noise = draw(cell, [0], "test", 0, 1, 20)
    states = figures.states_of(cell, parameters, x[0], noise[0])
    assert [state.shape for state in states] == [(3, 20)] * 3
    np.testing.assert_array_equal(states[0][:2], x[0, 0])
    assert np.abs(states[2] - states[1]).max() > 0.1
    one_step = Cell(2, 3, counts_gaussian=True)  # figure 4: the only step of p leads from the data to the latent
    states = figures.states_of(one_step, random_model(one_step, [0], tf.float32), x[0], noise[0])
    assert [state.shape for state in states] == [(3, 20)] * 2


@pytest.mark.slow
def test_pictures_are_written(tmp_path):
    cells = (Cell(2, 2), Cell(2, 3, counts_gaussian=True), Cell(2, 3))
    models = {cell: random_model(cell, [0], tf.float32) for cell in cells}
    path = figures.plot_transformations(models, tmp_path / "a.png")
    again = figures.plot_transformations(models, tmp_path / "b.png")
    assert path.read_bytes() == again.read_bytes()
    density = np.full([5, 5], 0.03)
    path = figures.plot_densities({"data": density, "model": density / 2}, tmp_path / "c.png")
    assert tf.io.decode_png(path.read_bytes()).shape[1] > 100


def test_a_cell_that_is_not_trained_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="--cells=3x2"):
        figures.draw_figures(10, 2, tmp_path, tmp_path)
