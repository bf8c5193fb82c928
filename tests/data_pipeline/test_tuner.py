"""The tuner of tf.data is off; nothing else changes."""

import tensorflow as tf

from tests.evaluation.tiny_models import random_source
from tfflows import data
from tfflows.data.tuner import without_tuner


def test_the_tuner_alone_is_off():
    options = tf.data.Options()
    options.deterministic = True
    dataset = without_tuner(tf.data.Dataset.range(5).with_options(options))
    assert list(dataset.as_numpy_iterator()) == list(range(5))
    assert dataset.options().autotune.enabled is False and dataset.options().deterministic is True


def test_batches_have_none():
    for batches in (data.training_batches, data.evaluation_batches):
        options = batches(random_source(5), global_batch_size=2, seed=0).options()
        assert options.autotune.enabled is False and options.deterministic is True
