"""The terms of a bound over latents, image by image."""

import types

import numpy as np
import tensorflow as tf

from tfflows.data.sources import ArraySource
from tfflows.distributions.agave import Terms
from tfflows.evaluation.bits_per_dim import Evaluator
from tfflows.evaluation.latent_terms import QUANTITIES
from tfflows.evaluation.latent_use import describe_terms, measure_terms
from tfflows.math.random import row_keys

IMAGES = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones([1, 2, 2, 3], np.uint8)


class Known:
    """An image of value v has a KL of v nats; its pixels cost 12 ln 2 times the distance to the image of the latents."""

    num_dimensions = 12
    vae = types.SimpleNamespace(num_dimensions=3)

    def condition_of(self, labels):
        del labels

    def terms(self, images, keys, latents_of=None):
        value = tf.cast(images[:, 0, 0, 0], tf.float32)
        other = value if latents_of is None else tf.cast(latents_of[:, 0, 0, 0], tf.float32)
        nats = -12 * np.log(2) * tf.abs(value - other)
        return Terms(pixels=nats, auxiliary=-3 * np.log(2) * tf.ones_like(value), kl=value)


def test_each_image_has_its_terms():
    values = measure_terms(Known())(tf.constant(IMAGES[:4]), None, row_keys(0))
    assert values.shape == [4, len(QUANTITIES)]
    # The image before the first one is the last one of the batch.
    np.testing.assert_allclose(values, [[0, 0, 3, 1], [1, 0, 1, 1], [2, 0, 1, 1], [3, 0, 1, 1]], rtol=1e-6)


def test_an_evaluator_measures_every_image_once():
    source = ArraySource(
        name="known", split="test", num_images=5, image_shape=(2, 2, 3), images=IMAGES, labels=np.zeros(5, np.int32)
    )
    model = Known()
    evaluator = Evaluator(tf.distribute.get_strategy(), model, source, batch_size=2, measure=measure_terms(model))
    values = evaluator.values()
    assert values.shape == (5, len(QUANTITIES))
    np.testing.assert_allclose(values[:, 0], range(5))
    terms = describe_terms(values)
    assert all(term["standard_error"] == 0 for term in describe_terms(values[:1]).values())
    assert tuple(terms) == QUANTITIES
    np.testing.assert_allclose(terms["kl_nats"]["value"], 2)
    np.testing.assert_allclose(terms["kl_nats"]["standard_error"], np.std(range(5), ddof=1) / np.sqrt(5))
