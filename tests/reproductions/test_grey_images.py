"""Every paper on images of one channel: a bound that trains, samples, and for flows latents that come back."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf

from tests.reproductions.killed_runs import PAPERS
from tfflows.math.random import row_keys
from tfflows.tracing.variables import named_variables

pytestmark = pytest.mark.slow

IMAGES = tf.constant(np.linspace(20, 230, 4 * 64).reshape([4, 8, 8, 1]), tf.uint8)


@functools.cache
def built(paper):
    reproduction, name, fields = PAPERS[paper]
    fields = {**fields, **({"auxiliary_size": 8} if paper == "agave" else {})}
    experiment = dataclasses.replace(reproduction.experiments[name], image_size=8, **fields)
    return reproduction.build_model(experiment, [8, 8, 1], 0, 0)


@pytest.mark.parametrize("paper", PAPERS)
def test_the_bound_trains(paper):
    model = built(paper)
    labels = tf.zeros([4], tf.int32)
    variables = [variable for variable in named_variables(model).values() if variable.trainable]

    @functools.partial(tf.function, autograph=False)
    def step():
        model.initialize(IMAGES, labels, row_keys(0))
        with tf.GradientTape() as tape:
            loss, _ = model.training_loss(IMAGES, labels, row_keys(1))
        return loss, [tf.reduce_all(tf.math.is_finite(gradient)) for gradient in tape.gradient(loss, variables)]

    loss, finite = step()
    assert loss.shape == [4] and np.isfinite(loss).all() and all(finite)


@pytest.mark.parametrize("paper", PAPERS)
def test_samples_and_latents(paper):
    model = built(paper)
    sample = tf.function(lambda: model.sample(2, row_keys(0)), autograph=False)
    assert sample().shape == [2, 8, 8, 1]
    if model.has_latent and not model.has_encoder:
        there_and_back = tf.function(
            lambda: model.decode(model.encode(IMAGES, row_keys(2)), keys=None), autograph=False
        )
        np.testing.assert_array_equal(there_and_back(), IMAGES)
