"""Training of the study: seeds side by side, cuts, and Adam."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from reproductions.vflow.toy.cells import Cell
from reproductions.vflow.toy.training import (
    State,
    adam,
    build_run,
    draw,
    initial_state,
    learning_rate_at,
    loss_and_gradients,
)
from tests.reproductions.vflow.toy.random_models import random_model

CELL = Cell(2, 4)
SEEDS = (0, 7)


@pytest.fixture(scope="module")
def train():
    """A function that trains in calls of so many iterations each, and gives the state and the mean losses of each call."""
    trained = random_model(CELL, SEEDS, tf.float32)
    run = build_run(CELL, SEEDS, 400, block=100, batch_size=16)

    def train(counts):
        state, start, losses = initial_state(trained), 0, []
        for count in counts:
            state, loss = run(state, tf.constant(start, tf.int64), tf.constant(count, tf.int64))
            start += count
            losses.append(loss.numpy())
        return state, np.array(losses)

    return train


def assert_same(first, second, **tolerance):
    for one, other in zip(tf.nest.flatten(first), tf.nest.flatten(second), strict=True):
        if tolerance:
            np.testing.assert_allclose(one, other, **tolerance)
        else:
            np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_the_same_seeds_give_the_same_figures_wherever_training_is_cut(train):
    state, losses = train([4, 2])
    again, losses_again = train([1, 3, 2])
    assert_same(state, again)
    np.testing.assert_array_equal(losses[1], losses_again[2])


def test_losses_fall(train):
    _, losses = train([20, 100, 100, 100])
    assert np.all(losses[-1] < losses[0] - 0.1)


def test_seeds_side_by_side_are_what_each_is_alone():
    together, losses = iterate(SEEDS, 2)
    alone, alone_losses = iterate(SEEDS[1:], 2)
    second = State(*tf.nest.map_structure(lambda value: value[:, 1:], together._asdict()).values())
    assert_same(second, alone, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(losses[1:], alone_losses, rtol=1e-12)
    assert losses[0] != losses[1]


def iterate(seeds, count):
    """State and last losses after iterations one by one, in float64."""
    trained = random_model(CELL, seeds, tf.float64)
    state = initial_state(trained)
    x, noise = draw(CELL, seeds, "train", 0, count, 8, tf.float64)
    for i in range(count):
        losses, gradients = loss_and_gradients(CELL, state.parameters, x[i], noise[i])
        state = adam(state, gradients, i + 1, 1e-3)
    return state, losses.numpy()


def test_each_parameter_gets_a_gradient():
    trained = random_model(CELL, SEEDS, tf.float64)
    x, noise = draw(CELL, SEEDS, "train", 0, 1, 64, tf.float64)
    _, gradients = loss_and_gradients(CELL, trained, x[0], noise[0])
    for part in gradients.values():
        for name, gradient in part.items():
            assert np.all(np.any(gradient.numpy() != 0, axis=tuple(range(2, gradient.shape.rank)))), name


def test_adam_is_keras_adam():
    values = tf.random.stateless_normal([6, 5], [1, 2], alg="philox")
    variable = keras.Variable(values[0])
    optimizer = keras.optimizers.Adam(1e-3, epsilon=1e-8)
    state = initial_state({"flow": {"weight": values[0]}})
    for iteration in range(1, 6):
        gradient = values[iteration]
        optimizer.apply([gradient], [variable])
        state = adam(state, {"flow": {"weight": gradient}}, tf.constant(iteration, tf.int64), 1e-3)
    np.testing.assert_allclose(state.parameters["flow"]["weight"], variable.numpy(), rtol=2e-6)


def test_learning_rate_is_constant_and_then_falls_to_zero():
    rates = [float(learning_rate_at(tf.constant(iteration, tf.int64), 100, 2.0)) for iteration in (1, 70, 85, 100)]
    np.testing.assert_allclose(rates, [2, 2, 1, 0], atol=1e-6)
