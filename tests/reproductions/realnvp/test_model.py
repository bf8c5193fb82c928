"""RealNVP as built from its experiments: layout, variables and their gradients, pixels there and back, precisions, refusals."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf

from reproductions.realnvp import model as realnvp
from reproductions.realnvp.experiments import EXPERIMENTS, at_size, small
from tests.reproductions.steps import LABELS, assert_inverts, images
from tfflows.bijectors import BatchNorm, Chain
from tfflows.math.random import row_keys
from tfflows.tracing.variables import named_variables, short_variable_names

TINY = dataclasses.replace(EXPERIMENTS["cifar10"], image_size=8, levels=2, width=4, num_blocks=1)


@functools.cache
def built(experiment=TINY):
    with short_variable_names():
        return realnvp.build(experiment, [8, 8, 3], 0, seed=0)


def couplings(level):
    """Class, condition, and part of the batch norm of each step of a scale."""
    steps = [step.bijectors for step in level.flow.bijectors if isinstance(step, Chain)]
    return [
        (getattr(coupling, "_conditioning_colour", coupling._conditioning_half), norm._part) for coupling, norm in steps
    ]


def test_layout():
    first, last = built().flow.bijector.levels
    checkerboard = [("even", "odd"), ("odd", "even"), ("even", "odd")]
    assert couplings(first) == [*checkerboard, ("first", "second"), ("second", "first"), ("first", "second")]
    assert couplings(last) == [*checkerboard, ("odd", "even")]
    names = [type(bijector).__name__ for bijector in first.flow.bijectors]
    assert names == ["Logit", *["Chain"] * 3, "Squeeze", *["Chain"] * 3, "Unsqueeze", "Squeeze"]
    assert [tuple(shape) for shape in built().flow.bijector.part_shapes] == [(4, 4, 6), (4, 4, 6)]
    widths = [step.bijectors[0].network.width for step in first.flow.bijectors if isinstance(step, Chain)]
    assert widths == [4, 4, 4, 8, 8, 8] and last.flow.bijectors[0].bijectors[0].network.width == 8


def test_what_is_factored_out_first():
    """The pixels of odd row + column, so those that go on are of the even colour."""
    flow, v = built().flow.bijector, tf.zeros([1, 8, 8, 3])
    first = flow.levels[0].flow.bijectors[-1].inverse(v)
    row, column = np.indices([8, 8])
    marked = tf.cast(((row + column) % 2)[None, :, :, None] * np.ones([1, 1, 1, 3]), tf.float32)
    kept, out = tf.split(flow.levels[0].flow.bijectors[-1].inverse(marked), 2, axis=-1)
    assert first.shape == [1, 4, 4, 12] and not kept.numpy().any() and out.numpy().all()


def test_pixels_there_and_back():
    model = built()
    assert_inverts(model)
    latents = model.encode(images(), row_keys(0))
    np.testing.assert_array_equal(model.decode(latents), images())


@pytest.mark.slow
def test_every_trained_variable_gets_a_gradient_within_two_steps():
    # Biases before batch norm are dead: it takes out the mean. Those of the last convolutions alone are not.
    model = built()
    variables = {name: v for name, v in named_variables(model).items() if v.trainable}
    optimizer = realnvp.optimizer(TINY, 1e-3)
    optimizer.build(list(variables.values()))
    seen = dict.fromkeys(variables, 0.0)

    @tf.function(autograph=False)
    def step(number):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model.training_loss(images(), LABELS, row_keys(1, number))[0])
        gradients = tape.gradient(loss, list(variables.values()))
        optimizer.apply(gradients, list(variables.values()))
        return loss, gradients

    losses = []
    for number in range(2):
        loss, gradients = step(tf.constant(number, tf.int64))
        losses.append(float(loss))
        for name, gradient in zip(variables, gradients, strict=True):
            seen[name] = max(seen[name], float(tf.reduce_max(tf.abs(gradient))))
    assert np.isfinite(losses).all()
    largest = max(seen.values())
    dead = {name for name, size in seen.items() if size < 1e-6 * largest}
    assert {name.rpartition("/")[2] for name in dead} <= {"bias"}
    assert not any("last/" in name and "last_norm" not in name for name in dead)


def test_small_sizes_and_other_images():
    for experiment in EXPERIMENTS.values():
        sized = small(experiment)
        assert sized.scale == "small" and sized.levels == experiment.levels and sized.width >= 4
    assert at_size(EXPERIMENTS["imagenet64"], 64, 64).levels == 5
    assert at_size(EXPERIMENTS["imagenet64"], 16, 24).levels == 3
    assert at_size(EXPERIMENTS["cifar10"], 64, 64).levels == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 20, "levels": 4}, r"image_size=20 cannot be halved levels - 1 = 3 times"),
        ({"conditional": True}, "no RealNVP here is"),
        ({"scale_penalty": -1.0}, "scale_penalty"),
    ],
)
def test_refused_settings(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(EXPERIMENTS["cifar10"], **changes)


def test_images_that_cannot_be_halved():
    with pytest.raises(ValueError, match="multiple of 2"):
        realnvp.build(TINY, [9, 8, 3], 0, seed=0)


@pytest.mark.slow
def test_bfloat16_changes_the_bits_little():
    mixed = realnvp.build(dataclasses.replace(TINY, precision="mixed_bfloat16"), [8, 8, 3], 0, seed=0)
    plain = realnvp.build(TINY, [8, 8, 3], 0, seed=0)
    bits = [model.training_loss(images(), LABELS, row_keys(0))[1]["bits_per_dim"] for model in (mixed, plain)]
    np.testing.assert_allclose(*bits, atol=0.05)


def test_the_batch_norms_are_frozen_in_evaluation():
    model = built()
    before = [variable.numpy() for variable in model.variables if not variable.trainable]
    alone = model.elbo(images()[:1], row_keys(0))
    together = model.elbo(images(), row_keys(0))[:1]
    np.testing.assert_allclose(alone, together, rtol=1e-5)
    after = [variable.numpy() for variable in model.variables if not variable.trainable]
    for value, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(value, other)
    assert any(
        isinstance(bijector, BatchNorm) for bijector in model.flow.bijector.levels[1].flow.bijectors[0].bijectors
    )
