"""The class loss of Glow's conditional models: bits/dim plus a weighted cross-entropy in bits."""

import numpy as np
import pytest
import tensorflow as tf

from tests.evaluation.tiny_models import random_images, tiny_model
from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.math.random import row_keys

NUM_CLASSES, WEIGHT = 5, 0.25


@pytest.fixture(scope="module")
def model():
    return tiny_model(num_classes=NUM_CLASSES, class_weight=WEIGHT)


@pytest.fixture(scope="module")
def result(model):
    images, labels, keys = tf.constant(random_images(6)), tf.range(6) % NUM_CLASSES, row_keys(3)
    return images, labels, keys, *model.training_loss(images, labels, keys)


def test_bits_are_those_of_the_flow(model, result):
    images, labels, keys, _, metrics = result
    _, expected = DequantizedFlow.training_loss(model, images, labels, keys)
    np.testing.assert_allclose(metrics["bits_per_dim"], expected["bits_per_dim"], rtol=1e-6)


def test_the_loss_adds_the_cross_entropy_in_bits(model, result):
    images, labels, keys, loss, metrics = result
    assert set(metrics) == set(model.metric_names)
    logits = model.class_logits(model.dequantize(images, keys), labels).numpy()
    assert np.ptp(logits) > 1e-3
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    class_bits = -np.log2(probabilities[np.arange(6), labels])
    np.testing.assert_allclose(metrics["class_bits"], class_bits, rtol=1e-5)
    np.testing.assert_allclose(loss, metrics["bits_per_dim"] + WEIGHT * class_bits, rtol=1e-6)
    np.testing.assert_array_equal(metrics["classification_error"], logits.argmax(axis=1) != labels)


def test_logits_are_of_the_mean_top_activations(model, result):
    """Of what the last prior gets, before it is whitened."""
    images, labels, keys, *_ = result
    v = model.dequantize(images, keys)
    bijector = model.flow.bijector
    whitened = bijector.split_latent(bijector.inverse(v, condition=labels))[-1]
    top = bijector.levels[-1].prior.forward(whitened, condition=labels).numpy().mean(axis=(1, 2))
    kernel, bias = (variable.numpy() for variable in model.classifier.weights[:2])
    expected = model.classifier(tf.constant(top))
    np.testing.assert_allclose(model.class_logits(v, labels), expected, rtol=1e-5, atol=1e-6)
    assert kernel.size and bias.size
