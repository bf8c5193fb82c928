"""The Fréchet distance against its closed forms, and of a model whose samples are known."""

import re

import numpy as np
import pytest
import tensorflow as tf

from tfflows.evaluation.sample_distance import frechet_distance, sample_distance
from tfflows.math.random import normal_rows


def features(count, size, seed=0):
    """Rows whose mean is exactly 0 and whose covariance is exactly the identity."""
    rows = np.random.default_rng(seed).standard_normal([count, size])
    rows -= rows.mean(0)
    return rows @ np.linalg.inv(np.linalg.cholesky(np.atleast_2d(np.cov(rows, rowvar=False)))).T


def test_of_a_sample_to_itself_it_is_0():
    np.testing.assert_allclose(frechet_distance(features(50, 5), features(70, 5, seed=1)), 0, atol=1e-9)


@pytest.mark.parametrize("shift", [0.0, 0.5])
@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize("size", [1, 5])
def test_moved_and_scaled(size, shift, scale):
    x = features(50, size)
    expected = size * shift**2 + size * (scale - 1) ** 2
    np.testing.assert_allclose(frechet_distance(x, scale * x + shift), expected, atol=1e-9)
    np.testing.assert_allclose(frechet_distance(scale * x + shift, x), expected, atol=1e-9)


def test_covariances_that_do_not_commute():
    generator = np.random.default_rng(3)
    a, b = generator.standard_normal([2, 4, 4])
    x, y = features(60, 4) @ a.T, features(60, 4, seed=1) @ b.T
    product = np.linalg.eigvals(a @ a.T @ b @ b.T)
    expected = np.trace(a @ a.T) + np.trace(b @ b.T) - 2 * np.sum(np.sqrt(product.real))
    np.testing.assert_allclose(frechet_distance(x, y), expected, rtol=1e-8)


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match="5 features need more than 5 rows"):
        frechet_distance(features(20, 5), np.zeros([5, 5]))


@pytest.mark.parametrize("shapes", [((20,), (20,)), ((20, 3), (20, 2)), ((20, 3), (20,)), ((20, 0), (20, 0))])
def test_what_is_no_pair_of_features_is_refused(shapes):
    with pytest.raises(ValueError, match=re.escape(f"got {shapes[0]} and {shapes[1]}.")):
        frechet_distance(*map(np.zeros, shapes))


class Shifted:
    """What it decodes for latents of images is noise around 0, for those of its prior around `shift`."""

    def __init__(self, shift, factor=1):
        self.shift, self.factor = shift, factor

    def enlarged(self, means):
        return tf.repeat(tf.repeat(means, self.factor, axis=1), self.factor, axis=2)

    def posterior(self, images, keys):
        return 0.1 * normal_rows(keys, tf.shape(images)[0], self.shape(images)), []

    def prior_means(self, num_samples, keys):
        return self.shift + 0.1 * normal_rows(keys, num_samples, [8 // self.factor, 8 // self.factor, 1])

    def shape(self, images):
        return [images.shape[1] // self.factor, images.shape[2] // self.factor, 1]


def test_of_a_model():
    images = np.zeros([200, 8, 8, 1], np.uint8)
    distance, error = sample_distance(Shifted(0.0), images, seed=0, batch_size=64)
    np.testing.assert_allclose(distance, 0, atol=1e-6)  # the same noise on both sides
    # Of an auxiliary image of 2x2 pixels the cells are halves of a pixel.
    coarse, _ = sample_distance(Shifted(0.2, factor=4), images, seed=0, batch_size=64)
    np.testing.assert_allclose(coarse, 16 * 0.2**2, rtol=1e-3)
    moved, error = sample_distance(Shifted(0.2), images, seed=0, batch_size=64)
    np.testing.assert_allclose(moved, 16 * 0.2**2, rtol=1e-3)
    assert 0 <= error < 0.1
    assert sample_distance(Shifted(0.2), images, seed=0, batch_size=200)[0] == pytest.approx(moved, rel=1e-5)
