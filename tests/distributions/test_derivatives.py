"""Derivatives of log-probabilities, bounds and reparameterized samples are those of finite differences."""

import functools
import importlib
import inspect
import pathlib

import numpy as np
import pytest
import tensorflow as tf

import tfflows.distributions
from tests.derivatives import assert_derivatives
from tests.distributions import small_models
from tests.distributions.small_models import (
    MODELS,
    NOISES,
    agave,
    augmented_flow,
    conditional_noise,
    dequantized_flow,
    flow_augmenter,
    iaf_vae,
    images,
    labels,
    logit_augmented_flow,
    normal_augmenter,
    pixelcnn,
    scattered,
    values,
)
from tests.slow import slow_but
from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.distributions.discretized_logistic import DiscretizedLogistic
from tfflows.distributions.discretized_logistic_mixture import DiscretizedLogisticMixture
from tfflows.math.random import row_keys
from tfflows.tracing.memory import memory_scope

DOUBLE = "float64"
KEYS = row_keys(1)
METHODS = ("elbo", "log_prob", "sample_and_log_prob")


def elbo_of(model):
    return model.elbo(images(), KEYS, model.condition_of(labels()))


BOUNDS = {
    **MODELS,
    "conditional_dequantizer": lambda dtype: dequantized_flow(dtype, conditional_noise(dtype)),
    "iaf_vae_deep": functools.partial(iaf_vae, num_blocks=2, scale=1, scale_per_colour=True, open_edges=True),
    "pixelcnn_mixture": functools.partial(pixelcnn, num_blocks=1, num_components=2),
    "agave_mixture": functools.partial(agave, num_blocks=1, num_components=2),
}


@pytest.mark.parametrize("name", slow_but([name for name in MODELS if name != "agave"], BOUNDS))
def test_bounds_by_the_parameters(name):
    model = scattered(BOUNDS[name](DOUBLE))
    bound = elbo_of(model)
    assert bound.dtype == DOUBLE and bound.shape == [2]
    # The second derivatives of the largest are among the slow cases.
    assert_derivatives(lambda: [elbo_of(model)], [], model.trainable_variables, ["elbo"], second=name != "agave")


LOSSES = {
    "classifying_flow": MODELS["classifying_flow"],
    "iaf_vae_free_bits": functools.partial(iaf_vae, free_bits=0.3),
    "dequantized_flow": MODELS["dequantized_flow"],
    "agave": functools.partial(agave, weight=1.5),
    "agave_without_auxiliary_term": functools.partial(agave, auxiliary=False, free_bits=0.1),
}


@pytest.mark.parametrize("name", slow_but(["classifying_flow", "iaf_vae_free_bits"], LOSSES))
def test_losses_by_the_parameters(name):
    model = scattered(LOSSES[name](DOUBLE))
    assert_derivatives(
        lambda: [model.training_loss(images(), labels(), KEYS)[0]], [], model.trainable_variables, ["loss"]
    )


def second_derivatives(model, mode):
    """Gradients of a sum of the gradients of the loss, each number with a weight of its own."""
    variables = model.trainable_variables
    with tf.GradientTape() as outer:
        with tf.GradientTape() as tape, memory_scope(mode):
            loss = tf.reduce_sum(model.training_loss(images(), labels(), KEYS)[0])
        first = tape.gradient(loss, variables, unconnected_gradients="zero")
        flat = tf.concat([tf.reshape(gradient, [-1]) for gradient in first], axis=0)
        total = tf.reduce_sum(flat * tf.cos(tf.range(flat.shape[0], dtype=flat.dtype)))
    return [loss, total, *outer.gradient(total, variables, unconnected_gradients="zero")]


@pytest.mark.parametrize("name", slow_but(["dequantized_augmented_flow"], MODELS))
def test_every_memory_mode_gives_the_plain_second_derivatives(name):
    model = scattered(MODELS[name](DOUBLE))
    expected = second_derivatives(model, "plain")
    for mode in ("recompute", "reversible"):
        if mode == "reversible" and not isinstance(model, DequantizedFlow):
            with pytest.raises(ValueError, match="Only flows can be rebuilt from their latents"):
                second_derivatives(model, mode)
            continue
        for found, wanted in zip(second_derivatives(model, mode), expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9 * (1 + np.abs(wanted).max()))


AUGMENTED = {
    "gaussian": augmented_flow,
    "normal": functools.partial(augmented_flow, augmenter=normal_augmenter),
    "flow": functools.partial(augmented_flow, augmenter=flow_augmenter),
    "logit": logit_augmented_flow,
}


@pytest.mark.parametrize("name", slow_but(["logit"], AUGMENTED))
def test_bounds_on_densities_by_the_data(name):
    model = scattered(AUGMENTED[name](DOUBLE))

    def bounds(x):
        return [model.elbo(x, KEYS), model.importance_weighted_log_prob(x, KEYS, 2)]

    assert_derivatives(bounds, [values(dtype=DOUBLE)], model.trainable_variables, ["elbo", "importance_weighted"])


def test_the_bound_of_dequantized_images_by_the_images():
    model = scattered(small_models.dequantized_augmented_flow(DOUBLE))
    assert_derivatives(
        lambda v: [model.elbo_of_dequantized(v, keys=KEYS)], [values(dtype=DOUBLE)], model.trainable_variables
    )


@pytest.mark.parametrize("name", NOISES)
def test_samples_of_noise_and_their_log_prob_by_the_image(name):
    """They are functions of noise without parameters, so their gradients are those of the expectations that they estimate."""
    noise = scattered(NOISES[name](DOUBLE))
    x = values(dtype=DOUBLE)
    assert_derivatives(
        lambda x: noise.sample_and_log_prob(x, KEYS), [x], noise.trainable_variables, ["sample", "log_prob"]
    )
    if not hasattr(noise, "log_prob"):
        return
    w = tf.sigmoid(noise.sample_and_log_prob(x, KEYS)[0])
    assert_derivatives(lambda w, x: [noise.log_prob(w, x)], [w, x], noise.trainable_variables, ["log_prob"])


def test_what_images_are_decoded_from():
    """Means of a VAE, drawn from posterior and prior, and continuous images of latents."""
    vae, flow = scattered(iaf_vae(DOUBLE)), scattered(dequantized_flow(DOUBLE))
    assert_derivatives(
        lambda: [vae.posterior(images(), KEYS)[0], vae.prior_means(2, KEYS)],
        [],
        vae.trainable_variables,
        ["posterior", "prior"],
    )
    assert_derivatives(
        lambda v: [vae.log_prob_given(images(), v)], [0.9 * values(dtype=DOUBLE)], [vae.log_scale], ["log_prob"]
    )
    assert_derivatives(lambda z: [flow.decode_values(z)], [values(dtype=DOUBLE)], flow.trainable_variables)


def test_pixels_by_the_features():
    model = scattered(pixelcnn(DOUBLE, feature_channels=2))
    stream = small_models.FeatureStream(2, num_blocks=0, dtype=DOUBLE)
    features = stream(values(dtype=DOUBLE))
    assert_derivatives(lambda *features: [model.log_prob(images(), list(features))], features, [])


@pytest.mark.parametrize("open_edges", [False, True])
@pytest.mark.parametrize("num_levels", slow_but([256], [256, 16]))
def test_discretized_logistic(num_levels, open_edges):
    levels = tf.constant([0.0, 0.0, 17.0, 101.0, 101.0, 255.0, 255.0], tf.float64)
    loc = tf.constant([3.0, 80.0, 16.2, 90.0, 101.4, 250.0, 30.0], tf.float64)
    log_scale = tf.constant([0.3, 1.0, -3.0, 4.0, -1.0, 2.0, 3.0], tf.float64)

    def log_prob(loc, log_scale):
        return [DiscretizedLogistic(loc, log_scale, num_levels, open_edges).log_prob(levels)]

    assert_derivatives(log_prob, [loc, log_scale], [])


@pytest.mark.parametrize("official", [False, True])
def test_discretized_logistic_mixture(official):
    """Levels at both ends and in the middle; near and far from the means."""
    levels = tf.constant([[0, 255, 17], [128, 0, 255], [255, 255, 255], [0, 0, 0], [7, 90, 200]])
    parameters = tf.constant(np.random.default_rng(3).normal(0.0, 0.7, [5, 20]))

    def log_prob(parameters):
        return [DiscretizedLogisticMixture(parameters, 2, official).log_prob(levels)]

    assert_derivatives(log_prob, [parameters], [], tolerance=1e-5)


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        (DiscretizedLogistic, lambda x: (100 + x, 0.5 * x)),
        (lambda parameters: DiscretizedLogisticMixture(parameters, 2), lambda x: (tf.repeat(x, 20)[tf.newaxis],)),
    ],
    ids=["logistic", "mixture"],
)
def test_samples_of_levels_have_no_gradient(kind, parameters):
    x = tf.constant([0.3])
    with tf.GradientTape() as tape:
        tape.watch(x)
        distribution = kind(*parameters(x))
        sample = distribution.sample(3, seed=1)
    assert "NOT_REPARAMETERIZED" in str(distribution.reparameterization_type)
    assert tape.gradient(sample, x) is None


def test_every_distribution_is_checked():
    """A new class belongs into the tables, and here."""
    folder = pathlib.Path(tfflows.distributions.__file__).parent
    modules = [importlib.import_module(f"tfflows.distributions.{path.stem}") for path in folder.glob("[!_]*.py")]
    names = {
        name
        for module in modules
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if kind.__module__ == module.__name__ and any(hasattr(kind, method) for method in METHODS)
    }
    checked = "DequantizedFlow ClassifyingFlow PenalizedFlow AugmentedFlow IAFVAE PixelCNNImages AGAVE ConditionalNoise"
    noises = "VariationalDequantizer UniformDequantizer NormalAugmenter GaussianAugmenter FlowAugmenter"
    assert names == {
        *checked.split(),
        *noises.split(),
        "DiscretizedLogistic",
        "DiscretizedLogisticMixture",
        "ImageModel",
    }
