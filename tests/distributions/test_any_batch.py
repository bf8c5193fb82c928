"""Sampling, reconstruction and bounds without a graph, and in graphs that do not know the size of the batch."""

import numpy as np
import pytest
import tensorflow as tf

from tests.distributions.small_models import MODELS, SHAPE, images, labels, scattered
from tests.slow import slow_but
from tfflows.math.random import row_keys

KEYS = row_keys(1)
IMAGES, LABELS = tf.TensorSpec([None, *SHAPE], tf.uint8), tf.TensorSpec([None], tf.int32)
# Loops over pixels take long to trace.
QUICK = ("dequantized_augmented_flow", "classifying_flow", "iaf_vae")


def assert_same_images(found, expected):
    """Up to a level, on which rounding may decide."""
    assert len(found) == len(expected)
    for own, other in zip(found, expected, strict=True):
        assert own.dtype == other.dtype == tf.uint8 and own.shape == other.shape == [2, *SHAPE]
        assert np.abs(own.numpy().astype(int) - other.numpy().astype(int)).max() <= 1


@pytest.mark.parametrize("dtype", slow_but(["float32"], ["float32", "float64"]))
@pytest.mark.parametrize("name", slow_but(QUICK, MODELS))
def test_samples(name, dtype):
    model = scattered(MODELS[name](dtype))
    eager = model.sample(2, KEYS, tf.constant(0.9), model.condition_of(labels()))
    assert np.std(eager) > 0

    def sample(labels):
        return model.sample(tf.shape(labels)[0], KEYS, tf.constant(0.9), model.condition_of(labels))

    traced = tf.function(sample, input_signature=[LABELS], autograph=False)
    assert_same_images([traced(labels())], [eager])


@pytest.mark.parametrize("name", slow_but(["iaf_vae"], ["iaf_vae", "agave"]))
def test_reconstructions(name):
    model = scattered(MODELS[name]())
    traced = tf.function(lambda images: model.reconstruct(images, KEYS), input_signature=[IMAGES], autograph=False)
    assert_same_images(traced(images()), model.reconstruct(images(), KEYS))


@pytest.mark.parametrize("name", slow_but(["iaf_vae"], MODELS))
def test_bounds(name):
    model = scattered(MODELS[name]())

    def bounds(images, labels):
        condition = model.condition_of(labels)
        loss, metrics = model.training_loss(images, labels, KEYS)
        return model.elbo(images, KEYS, condition), loss, metrics["bits_per_dim"]

    traced = tf.function(bounds, input_signature=[IMAGES, LABELS], autograph=False)(images(), labels())
    for found, expected in zip(traced, bounds(images(), labels()), strict=True):
        assert found.shape == expected.shape == [2]
        np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("name", slow_but(["classifying_flow"], [name for name in MODELS if "flow" in name]))
def test_encoding_and_decoding(name):
    model = scattered(MODELS[name]())

    def there_and_back(images, labels):
        condition = model.condition_of(labels)
        return [model.decode(model.encode(images, KEYS, condition), condition)]

    traced = tf.function(there_and_back, input_signature=[IMAGES, LABELS], autograph=False)(images(), labels())
    num_levels = 2**model.num_bits
    assert_same_images(
        traced, [images() // (256 // num_levels) * (256 // num_levels)] if num_levels < 256 else [images()]
    )
