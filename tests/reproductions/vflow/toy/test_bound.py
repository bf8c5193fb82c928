"""Densities and bounds of the study's models."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from reproductions.vflow.toy import flow
from reproductions.vflow.toy.bound import PRIOR, importance_weighted, log_weight, sample_posterior
from reproductions.vflow.toy.cells import Cell
from reproductions.vflow.toy.evaluation import evaluate, log_weights, points_to_test
from tests.reproductions.vflow.toy.random_models import random_model

SEEDS = (0, 7)


def grid(half_width, spacing):
    middles = np.arange(-half_width, half_width, spacing) + spacing / 2
    x = np.stack([axis.ravel() for axis in np.meshgrid(middles, middles)])
    return tf.constant(np.broadcast_to(x, [len(SEEDS), *x.shape]))


def test_glows_density_integrates_to_one():
    cell = Cell(2, 2)
    density = tf.exp(log_weight(cell, random_model(cell, SEEDS), grid(30, 0.1)))
    np.testing.assert_allclose(tf.reduce_sum(density, -1) * 0.1**2, 1, atol=2e-3)


def test_mean_weight_of_vflow_is_the_marginal_density():
    # The integral of N(noise) p(x, z) / q(z|x) over the noise is that of p(x, z) over z.
    cell = Cell(2, 3)
    parameters = random_model(cell, SEEDS)
    spacing = 0.002
    line = tf.broadcast_to(tf.range(-60, 60, spacing, tf.float64), [len(SEEDS), 1, 60_000])
    for point in ([0.5, 0.5], [-3.0, 2.0]):
        x = tf.broadcast_to(tf.constant(point, tf.float64)[:, tf.newaxis], [len(SEEDS), 2, 60_000])
        weights = log_weight(cell, parameters, x, line) + flow.normal_log_prob(line)
        latent, log_det = flow.glow(parameters[PRIOR], tf.concat([x, line], axis=-2))
        marginal = tf.reduce_sum(tf.exp(flow.normal_log_prob(latent) + log_det), -1) * spacing
        assert np.all(marginal > 1e-6)
        np.testing.assert_allclose(tf.reduce_sum(tf.exp(weights), -1) * spacing, marginal, rtol=1e-3)


@pytest.mark.parametrize("cell", [Cell(2, 3), Cell(3, 6)], ids=lambda cell: cell.name)
def test_posterior_is_a_density_of_what_it_samples(cell):
    parameters = random_model(cell, SEEDS)
    x = tf.random.stateless_normal([len(SEEDS), 2, 1], [1, 2], dtype=tf.float64, alg="philox")
    noise = tf.random.stateless_normal([len(SEEDS), cell.latent_dimensions, 1], [3, 4], dtype=tf.float64, alg="philox")
    with tf.GradientTape() as tape:
        tape.watch(noise)
        z, log_prob = sample_posterior(cell, parameters, x, noise)
    jacobian = tape.jacobian(z, noise)[:, :, 0, :, :, 0]
    for index in range(len(SEEDS)):
        _, log_det = np.linalg.slogdet(jacobian[index, :, index])
        expected = flow.normal_log_prob(noise)[index, 0] - log_det
        assert float(log_prob[index, 0]) == pytest.approx(float(expected), rel=1e-9)
    other, _ = sample_posterior(cell, parameters, x + 1, noise)
    assert np.any(other != z)


def test_with_a_normal_posterior_the_noise_is_z_and_weights_are_divided_by_its_density():
    cell = Cell(2, 5, normal_posterior=True)
    parameters = random_model(cell, SEEDS)
    assert list(parameters) == [PRIOR]
    x = tf.random.stateless_normal([len(SEEDS), 2, 3], [1, 2], dtype=tf.float64, alg="philox")
    noise = tf.random.stateless_normal([len(SEEDS), 3, 3], [3, 4], dtype=tf.float64, alg="philox")
    latent, log_det = flow.glow(parameters[PRIOR], tf.concat([x, noise], axis=-2))
    joint = flow.normal_log_prob(latent) + log_det
    expected = joint - tf.reduce_sum(tfp.distributions.Normal(tf.zeros([], x.dtype), 1.0).log_prob(noise), axis=-2)
    np.testing.assert_allclose(log_weight(cell, parameters, x, noise), expected, rtol=1e-12)


@pytest.mark.slow
def test_importance_weighted_bound_lies_above_the_elbo_beyond_its_error():
    cell = Cell(2, 4)
    parameters = random_model(cell, SEEDS, tf.float32)
    weights = log_weights(cell, parameters, SEEDS, points_to_test(cell, SEEDS, 50), 12)
    assert weights.shape == (12, 2, 50) and len(np.unique(weights)) == weights.size
    gain = importance_weighted(weights).numpy() - weights.mean(axis=0)
    errors = gain.std(axis=1, ddof=1) / np.sqrt(50)
    assert np.all(gain > 0) and np.all(gain.mean(axis=1) > 3 * errors)
    found = evaluate(cell, parameters, SEEDS, num_points=50, num_samples=12)
    np.testing.assert_array_equal(found.importance_weighted, importance_weighted(weights))
    np.testing.assert_array_equal(found.elbo, weights.mean(axis=0))


def test_importance_weights_are_averaged():
    weights = tf.math.log(tf.constant([[1.0, 8.0], [3.0, 2.0]]))
    np.testing.assert_allclose(importance_weighted(weights), np.log([2.0, 5.0]), rtol=1e-6)
