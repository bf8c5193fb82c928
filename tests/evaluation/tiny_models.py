"""Flows small enough to be traced in a second, and images for them."""

import functools

import numpy as np
import tensorflow as tf

from reproductions.glow.experiments import GlowExperiment
from reproductions.glow.model import build
from tfflows.data import ArraySource
from tfflows.math.random import row_keys
from tfflows.tracing.variables import named_variables

SIZE = 8


@functools.cache
def tiny_model(channels=1, num_classes=0, levels=1, **fields):
    """A Glow of 8x8 images, initialized on random images, with every trained variable moved off its initial value.

    Shared by the tests that ask for the same; those that change it take `fresh_tiny_model`.
    """
    settings = {"image_size": SIZE, "num_bits": 8, "depth": 1, "width": 4, **fields}
    experiment = GlowExperiment("tiny", "digits", levels=levels, conditional=num_classes > 0, **settings)
    model = build(experiment, [SIZE, SIZE, channels], num_classes, seed=0)
    model.initialize(random_images(32, channels), tf.zeros([32], tf.int32), row_keys(0))
    generator = np.random.default_rng(1)
    for variable in named_variables(model).values():
        if variable.dtype.is_floating:
            variable.assign_add(0.05 * generator.standard_normal(variable.shape).astype(np.float32))
    return model


fresh_tiny_model = tiny_model.__wrapped__


def random_images(count, channels=1, seed=0):
    """uint8 `[count, 8, 8, channels]`."""
    return np.random.default_rng(seed).integers(0, 256, [count, SIZE, SIZE, channels], dtype=np.uint8)


def random_source(count, channels=1, num_classes=0, attribute_names=(), attributes=None):
    """A split of random images, class i % num_classes."""
    return ArraySource(
        name="random",
        split="train",
        num_images=count,
        image_shape=(SIZE, SIZE, channels),
        num_classes=num_classes,
        images=random_images(count, channels),
        labels=np.arange(count, dtype=np.int32) % max(num_classes, 1),
        attribute_names=attribute_names,
        attributes=attributes,
    )


def count_calls(model, method):
    """Counts how often Python runs a method of the model (traces it, inside tf.function); returns the growing list."""
    calls, original = [], getattr(model, method)

    def counted(*args, **kwargs):
        calls.append(method)
        return original(*args, **kwargs)

    setattr(model, method, counted)
    return calls


def assert_same_up_to_rounding(images, expected, level=1, fraction=0.01):
    """At most `fraction` of the pixels differ, and none by more than `level`."""
    difference = np.abs(images.astype(int) - expected.astype(int))
    assert images.shape == expected.shape
    assert difference.max() <= level
    assert np.mean(difference > 0) <= fraction
