"""The released Adamax against the rule written out in numpy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfflows.devices.strategies import make_strategy
from tfflows.training.optimizers import GlowAdamax
from tfflows.training.schedules import LinearWarmup

START = np.array([1.0, -2.0, 0.5, 0.0])


def gradient(step):
    return np.array([0.3, -1.0, 0.0, 1e-3]) * (step - 1.5) + np.array([0.0, 0.0, 0.0, 2.0 * (step == 2)])


def numpy_rule(num_steps, learning_rate, beta_1=0.9, beta_2=0.9898, epsilon=1e-8):
    theta, m, u = START.copy(), np.zeros(4), np.zeros(4)
    for t in range(1, num_steps + 1):
        g = gradient(t)
        alpha = learning_rate(t - 1) * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
        m = beta_1 * m + (1 - beta_1) * g
        u = np.maximum(beta_2 * u, np.abs(g))
        theta = theta - alpha * m / (u + epsilon)
    return theta


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-6)])
def test_rule(dtype, tolerance, graph):
    variable = tf.Variable(START, dtype=dtype)
    optimizer = GlowAdamax(0.1, beta_2=0.9898)
    apply = (
        tf.function(lambda g: optimizer.apply([g], [variable]))
        if graph
        else (lambda g: optimizer.apply([g], [variable]))
    )
    optimizer.build([variable])
    for step in range(1, 6):
        apply(tf.constant(gradient(step), dtype))
        np.testing.assert_allclose(variable, numpy_rule(step, lambda _: 0.1), rtol=tolerance, atol=tolerance)


def test_follows_a_schedule():
    variable = tf.Variable(START, dtype=tf.float32)
    optimizer = GlowAdamax(LinearWarmup(0.1, 4), beta_2=0.9898)
    for step in range(1, 8):
        optimizer.apply([tf.constant(gradient(step), tf.float32)], [variable])
        if step == 1:
            np.testing.assert_array_equal(variable, START)  # the rate starts at exactly 0
    np.testing.assert_allclose(variable, numpy_rule(7, lambda k: 0.1 * min(1, k / 4)), rtol=1e-4, atol=1e-6)


def test_first_step_is_not_that_of_the_textbook():
    steps = []
    for optimizer in (GlowAdamax(1.0, beta_2=0.9898), keras.optimizers.Adamax(1.0, beta_2=0.9898)):
        variable = tf.Variable([0.0])
        optimizer.apply([tf.constant([2.0])], [variable])
        steps.append(-variable.numpy()[0])
    np.testing.assert_allclose(steps[1], 1.0, rtol=1e-5)
    np.testing.assert_allclose(steps[0], np.sqrt(1 - 0.9898), rtol=1e-4)


def test_replicas_agree_with_one_device():
    strategy = make_strategy("mirrored", 2)
    with strategy.scope():
        variable = tf.Variable(START, dtype=tf.float32)
        optimizer = GlowAdamax(0.1, beta_2=0.9898)
        optimizer.build([variable])

    @tf.function
    def step(gradients):
        strategy.run(lambda g: optimizer.apply([g], [variable]), args=(gradients,))

    for number in range(1, 4):
        # The optimizer sums over the replicas.
        halves = [0.25 * gradient(number), 0.75 * gradient(number)]
        step(
            strategy.experimental_distribute_values_from_function(
                lambda context, halves=halves: tf.constant(halves[context.replica_id_in_sync_group], tf.float32)
            )
        )
    for copy in strategy.experimental_local_results(variable):
        np.testing.assert_allclose(copy, numpy_rule(3, lambda _: 0.1), rtol=1e-5, atol=1e-6)


def test_config_round_trip():
    optimizer = GlowAdamax(0.01, beta_1=0.8, beta_2=0.7, epsilon=1e-3, clipnorm=2.0)
    copy = GlowAdamax.from_config(optimizer.get_config())
    assert (copy.beta_1, copy.beta_2, copy.epsilon, copy.clipnorm) == (0.8, 0.7, 1e-3, 2.0)
    np.testing.assert_allclose(copy.learning_rate, 0.01)


def test_state_continues():
    def run(optimizer, variable, steps):
        for step in steps:
            optimizer.apply([tf.constant(gradient(step), tf.float32)], [variable])

    whole, part, resumed = (tf.Variable(START, dtype=tf.float32) for _ in range(3))
    first, second, third = (GlowAdamax(0.1) for _ in range(3))
    run(first, whole, range(1, 6))
    run(second, part, range(1, 3))
    third.build([resumed])
    resumed.assign(part)
    for target, source in zip(third.variables, second.variables, strict=True):
        target.assign(source)
    run(third, resumed, range(3, 6))
    np.testing.assert_array_equal(resumed, whole)
