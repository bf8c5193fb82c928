"""Discretized logistics and their mixtures: the arrays of tests/data/agave, total mass, extremes, shapes, graphs, samples."""

import functools
import math
import pathlib

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.distributions.discretized_logistic import DiscretizedLogistic
from tfflows.distributions.discretized_logistic_mixture import DiscretizedLogisticMixture
from tfflows.math import discretized_logistic, discretized_logistic_mixture

tfd = tfp.distributions
DATA = pathlib.Path(__file__).parents[1] / "data" / "agave"
SWEEPS = ["m20", "m7", "m6", "m4", "m1", "p0", "p3", "p7", "p20"]
SETS = {"gen10": 10, "gen5": 5, "gen1": 1, "ext": 3, **{f"sweep_{sweep}": 1 for sweep in SWEEPS}}


@functools.cache
def arrays(name):
    with np.load(DATA / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


# ------------------------------------------------------------------------------------------------------------ mixtures


def mixture(name, dtype=np.float64, **options):
    data = arrays("dmol_loglik")
    return DiscretizedLogisticMixture(tf.constant(data[f"{name}_l"].astype(dtype)), SETS[name], **options)


@pytest.mark.parametrize("name", SETS)
def test_mixture_log_prob(name):
    data = arrays("dmol_loglik")
    pixels, exact = data[f"{name}_pix"], data[f"{name}_logp_f64_exact"]
    np.testing.assert_allclose(mixture(name).log_prob(pixels), exact, rtol=1e-9)
    np.testing.assert_allclose(mixture(name, np.float32).log_prob(pixels), exact, rtol=1e-5)
    official = mixture(name, official_approximation=True).log_prob(pixels)
    np.testing.assert_allclose(official, data[f"{name}_logp_f64_official_formula"], rtol=1e-9)


@pytest.mark.parametrize("name", ["gen10", "gen5", "sweep_m1"])
def test_mixture_gradients(name):
    """Of the released code, where no bin is so narrow that it approximates."""
    data = arrays("dmol_loglik")
    parameters = tf.constant(data[f"{name}_l"].astype(np.float64))
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        total = tf.reduce_sum(DiscretizedLogisticMixture(parameters, SETS[name], True).log_prob(data[f"{name}_pix"]))
    expected = data[f"{name}_grad"]
    np.testing.assert_allclose(tape.gradient(total, parameters), expected, atol=2e-3 * np.abs(expected).max())


def test_mixture_of_whole_images():
    data = arrays("dmol_loglik")
    images = tfd.Independent(DiscretizedLogisticMixture(tf.constant(data["img_l"]), 10, official_approximation=True), 2)
    assert images.event_shape == [6, 5, 3] and images.batch_shape == [3]
    np.testing.assert_allclose(-images.log_prob(data["img_pix"]), data["img_loss_per_image"], rtol=1e-5)


def test_mass_of_a_mixture_is_one():
    """Over the 256 levels of red, where green and blue have all their mass at the lowest level."""
    parameters = arrays("dmol_loglik")["gen5_l"][100].astype(np.float64)
    means, log_scales, coefficients = parameters[5:].reshape(3, 3, 5).transpose(1, 0, 2)
    means[1:], log_scales[1:], coefficients[:] = -1e3, -7.0, 0.0
    levels = np.arange(256)
    red = np.stack([levels, 0 * levels, 0 * levels], axis=-1)
    total = np.exp(DiscretizedLogisticMixture(tf.constant(parameters), 5).log_prob(red)).sum()
    np.testing.assert_allclose(total, 1.0, rtol=1e-12)


def test_a_grey_pixel_is_a_mixture_without_coefficients():
    """As a pixel of three colours of which two are certain, and as components one by one."""
    logits, means, log_scales = tf.unstack(tf.random.stateless_normal([3, 6, 2], [1, 2], dtype=tf.float64))
    grey = DiscretizedLogisticMixture(tf.concat([logits, means, log_scales], axis=-1), 2)
    levels = np.array([0, 1, 100, 128, 254, 255])[:, None]
    assert grey.event_shape == [1] and grey.batch_shape == [6]
    certain = [tf.fill([6, 2], np.float64(-1e3)), tf.zeros([6, 2], tf.float64), tf.zeros([6, 2], tf.float64)]
    free = tf.zeros([6, 2], tf.float64)
    colours = DiscretizedLogisticMixture(tf.concat([logits, means, log_scales, free, *certain, *certain], axis=-1), 2)
    coloured = np.concatenate([levels, 0 * levels, 0 * levels], axis=-1)
    np.testing.assert_allclose(grey.log_prob(levels), colours.log_prob(coloured), rtol=1e-12)
    every = np.arange(256).reshape([256, 1, 1]) * np.ones([1, 6, 1])
    np.testing.assert_allclose(np.exp(grey.log_prob(every)).sum(axis=0), 1.0, rtol=1e-12)
    draws = grey.sample(20_000, seed=1)
    expected = np.sum(np.exp(grey.log_prob(every)) * every[..., 0], axis=0)
    np.testing.assert_allclose(np.mean(draws, axis=0)[:, 0], expected, atol=3.0)


@pytest.mark.parametrize("components", [10, 5, 1])
def test_mixture_sample_of_given_uniforms(components):
    data = {
        key.removeprefix(f"K{components}_"): value
        for key, value in arrays("dmol_sample").items()
        if key.startswith(f"K{components}_")
    }
    found = discretized_logistic_mixture.sample(data["l"], components, data["u_gumbel"], data["u_logistic"])
    np.testing.assert_allclose(found, data["sample"], atol=1e-5)


def test_mixture_samples_have_its_probabilities():
    """Of a pixel whose levels are few: the most frequent ones occur as often as they should."""
    parameters = np.array(
        [0.3, -0.2, *(0.1, 0.12, -5.5, -6, 0.4, 0), *(0.0, 0.1, -5, -6, 1, -1), *(0.2, 0, -6, -5, 0, 1)]
    )
    pixel = DiscretizedLogisticMixture(tf.constant(parameters), 2)
    draws = pixel.sample(40_000, seed=1).numpy()
    values, counts = np.unique(draws, axis=0, return_counts=True)
    top = np.argsort(counts)[-30:]
    expected = 40_000 * np.exp(pixel.log_prob(values[top]))
    np.testing.assert_allclose(counts[top], expected, atol=5 * np.sqrt(expected).max())


def test_temperature_zero_takes_the_means():
    parameters = tf.constant(arrays("dmol_sample")["K1_l"])
    half = tf.fill([2, 4, 3, 1], 0.9)
    still = discretized_logistic_mixture.sample(parameters, 1, half, tf.fill([2, 4, 3, 3], 0.9), temperature=0.0)
    middle = discretized_logistic_mixture.sample(parameters, 1, half, tf.fill([2, 4, 3, 3], 0.5))
    np.testing.assert_allclose(still, middle, atol=1e-6)


def test_parameters_of_another_number_are_refused():
    with pytest.raises(ValueError, match="3 components need 30 parameters per pixel, or 9 if it is grey"):
        DiscretizedLogisticMixture(tf.zeros([2, 20]), 3)


# ------------------------------------------------------------------------------------------------------------ logistics


@pytest.mark.parametrize("num_levels", [256, 128, 64, 32, 16, 8])
def test_logistic_log_prob(num_levels):
    data = {
        key.removeprefix(f"b{num_levels}_"): value
        for key, value in arrays("eq8_quantised_logistic").items()
        if key.startswith(f"b{num_levels}_")
    }
    for open_edges, expected in ((False, data["logp_literal"]), (True, data["logp_open_edges"])):
        distribution = DiscretizedLogistic(data["mu"], np.log(data["s"]), num_levels, open_edges)
        np.testing.assert_allclose(distribution.log_prob(data["y"]), expected, rtol=1e-9, atol=1e-12)


def test_logistic_is_that_of_the_released_iaf():
    """Which has no edges and adds 1e-7 to the probability; its means lie in [-1/2, 1/2]."""
    data = arrays("iaf_layers")
    levels = data["fn/dlogistic/pix"].astype(np.float64)
    mean = 256 * (data["fn/dlogistic/mean"].astype(np.float64) + 0.5)
    for log_scale in ("-5.0", "-3.0", "-1.0", "0.0"):
        own = discretized_logistic.log_prob(levels, mean, tf.constant(float(log_scale) + math.log(256), tf.float64))
        total = np.log(np.exp(own) + 1e-7).sum(axis=(1, 2, 3))
        # In float32 the difference of sigmoids cancels there.
        np.testing.assert_allclose(total, data[f"fn/dlogistic/logscale_{log_scale}"], rtol=2e-3)


@pytest.mark.parametrize("num_levels", [2, 16, 256])
@pytest.mark.parametrize("open_edges", [False, True])
def test_mass_of_the_bins(num_levels, open_edges):
    mean, log_scale = np.array([[-20.0], [3.0], [130.0], [255.5]]), np.array([[2.0], [0.0], [4.0], [-3.0]])
    levels = np.arange(0.0, 256.0, 256 // num_levels)
    total = np.exp(DiscretizedLogistic(mean, log_scale, num_levels, open_edges).log_prob(levels)).sum(axis=1)
    edges = tf.sigmoid((np.array([0.0, 256.0]) - mean) / np.exp(log_scale)).numpy()
    np.testing.assert_allclose(total, 1.0 if open_edges else edges[:, 1] - edges[:, 0], rtol=1e-9)


def test_logistic_samples_have_its_probabilities():
    distribution = DiscretizedLogistic(100.0, 1.5, 64)
    draws = distribution.sample(20_000, seed=2).numpy()
    values, counts = np.unique(draws, return_counts=True)
    assert set(values % 4) == {0}
    expected = 20_000 * np.exp(distribution.log_prob(values))
    np.testing.assert_allclose(counts, expected, atol=5 * np.sqrt(expected.max()))


@pytest.mark.parametrize("num_levels", [0, 1, 3, 512])
def test_uneven_bins_are_refused(num_levels):
    with pytest.raises(ValueError, match="num_levels must be a power of 2 from 2 to 256"):
        DiscretizedLogistic(0.0, 0.0, num_levels)


# ------------------------------------------------------------------------------------------------------------ both


@pytest.mark.parametrize("log_scale", [-70.0, -20.0, 0.0, 20.0, 70.0])
@pytest.mark.parametrize("open_edges", [False, True])
def test_finite_at_extreme_scales(log_scale, open_edges):
    levels = tf.constant([0.0, 1.0, 127.0, 255.0])
    mean, scale = tf.constant([0.0, 1.5, 300.0, -1e4]), tf.fill([4], log_scale)
    parameters = tf.fill([4, 30], tf.constant(log_scale))
    with tf.GradientTape() as tape:
        tape.watch([mean, scale, parameters])
        one = DiscretizedLogistic(mean, scale, 256, open_edges).log_prob(levels)
        mix = DiscretizedLogisticMixture(parameters, 3).log_prob(tf.stack([levels] * 3, axis=-1))
        total = tf.reduce_sum(tf.stack([one, mix]))
    for value in (one, mix, *tape.gradient(total, [mean, scale, parameters])):
        assert np.isfinite(value).all()


@pytest.mark.parametrize("batch", [[], [2, 3]])
@pytest.mark.parametrize("kind", ["logistic", "mixture"])
def test_batch_shapes_and_graphs(kind, batch):
    def make(first, second):
        if kind == "logistic":
            return DiscretizedLogistic(first[..., 0] * 50 + 128, second[..., 0], 64)
        return DiscretizedLogisticMixture(tf.concat([first, second], axis=-1), 2)

    def log_prob(first, second, value):
        return make(first, second).log_prob(value)

    first, second = (tf.random.stateless_normal([*batch, 10], [0, seed]) for seed in (1, 2))
    distribution = make(first, second)
    event = [] if kind == "logistic" else [3]
    assert distribution.batch_shape == batch and distribution.event_shape == event
    assert distribution.batch_shape_tensor().numpy().tolist() == batch
    value = distribution.sample([4], seed=[0, 3])
    assert value.shape == [4, *batch, *event] and value.dtype == tf.float32
    np.testing.assert_array_equal(value, np.clip(np.round(value), 0, 255))
    np.testing.assert_array_equal(value, distribution.sample([4], seed=[0, 3]))
    expected = log_prob(first, second, value)
    assert expected.shape == [4, *batch]
    for function in (tf.function(log_prob), tf.function(log_prob, jit_compile=True)):
        np.testing.assert_allclose(function(first, second, value), expected, rtol=1e-4)


def test_bins_are_exact_unless_the_released_approximation_is_asked_for():
    """Far from a narrow component a bin has less mass than the released code takes a difference of."""
    levels = tf.constant([[90, 128, 128], [128, 128, 128]])
    pixels = discretized_logistic_mixture.to_pixels(levels)
    parameters = tf.constant([[0.0] + 3 * [0.0, -4.0, 0.0]] * 2)
    log_prob = functools.partial(discretized_logistic_mixture.log_prob, pixels, parameters, 1)
    exact, released = log_prob(official_approximation=False), log_prob(official_approximation=True)
    np.testing.assert_array_equal(log_prob(), exact)
    assert abs(float(exact[0] - released[0])) > 1e-3 > abs(float(exact[1] - released[1]))
    np.testing.assert_array_equal(
        DiscretizedLogisticMixture(parameters, 1).log_prob(tf.cast(levels, tf.float32)), exact
    )
