"""The checkerboard's samples and density."""

import math

import numpy as np
import pytest
import tensorflow as tf

from reproductions.vflow.toy import checkerboard
from reproductions.vflow.toy.cells import Cell
from reproductions.vflow.toy.training import draw


@pytest.fixture(scope="module")
def samples():
    x, _ = draw(Cell(2, 2), [0], "test", 0, 1, 100_000, tf.float64)
    return x[0, 0]


def test_density_integrates_to_one():
    # Midpoints of cells that no edge of a square cuts.
    middles = np.arange(-6, 6, 0.25) + 0.125
    x = np.stack([axis.ravel() for axis in np.meshgrid(middles, middles)])
    assert np.exp(checkerboard.log_prob(x)).sum() * 0.25**2 == pytest.approx(1, rel=1e-6)


def test_density_is_that_of_32_unit_squares_or_none(samples):
    np.testing.assert_allclose(checkerboard.log_prob(samples), -math.log(32))
    outside = tf.constant([[1.0, -1.0, 5.0, 1.0, -4.5], [3.0, 1.0, 1.0, -9.0, 1.0]])
    assert np.all(np.isneginf(checkerboard.log_prob(outside)[1:]))
    assert float(checkerboard.log_prob(outside)[0]) == -math.inf


def test_samples_are_uniform_on_eight_squares(samples):
    squares, counts = np.unique(np.floor(samples.numpy() / 2), axis=1, return_counts=True)
    assert squares.shape == (2, 8) and np.all((squares.sum(axis=0) % 2) == 0)
    expected = samples.shape[-1] / 8
    assert np.sum((counts - expected) ** 2 / expected) < 24.3  # chi-squared, 7 degrees, 1 in 1,000
    within = samples.numpy() / 2 % 1
    np.testing.assert_allclose(within.mean(axis=1), 0.5, atol=5 / math.sqrt(12 * samples.shape[-1]))
    np.testing.assert_allclose(within.var(axis=1), 1 / 12, atol=0.002)


def test_batches_are_fresh_and_a_seed_draws_the_same_ones_alone():
    cell = Cell(2, 4)
    x, noise = draw(cell, [3, 5], "train", 0, 4, 8)
    later_x, later_noise = draw(cell, [5], "train", 2, 2, 8)
    np.testing.assert_array_equal(x[2:, 1:], later_x)
    np.testing.assert_array_equal(noise[2:, 1:], later_noise)
    assert len(np.unique(x.numpy()[..., 0, :])) == 4 * 2 * 8
    other, _ = draw(cell, [3], "test", 0, 4, 8)
    assert not np.any(other[:, 0].numpy() == x[:, 0].numpy())
