"""The released update rules of IAF and PixelCNN++ against the rules written out in numpy."""

import numpy as np
import pytest
import tensorflow as tf

from tfflows.devices.strategies import make_strategy
from tfflows.training.optimizers import IAFAdamax, PixelCNNAdam

START = np.array([1.0, -2.0, 0.5, 0.0])
RATE = 0.01


def gradient(step):
    return np.array([0.3, -1.0, 0.0, 1e-3]) * (step - 1.5) + np.array([0.0, 0.0, 0.0, 2.0 * (step == 2)])


def iaf_rule(num_steps):
    theta, m, u = START.copy(), np.zeros(4), np.zeros(4)
    for t in range(1, num_steps + 1):
        g = gradient(t)
        m = 0.9 * m + 0.1 * g
        u = np.maximum(0.999 * u + 1e-8, np.abs(g))
        theta = theta - RATE * m / u
    return theta


def pixelcnn_rule(num_steps):
    theta, m, v = START.copy(), np.zeros(4), np.zeros(4)
    for t in range(1, num_steps + 1):
        g = gradient(t)
        m, v = 0.95 * m + 0.05 * g, 0.9995 * v + 0.0005 * g**2
        theta = theta - RATE * (m / (1 - 0.95**t)) / np.sqrt(v / (1 - 0.9995**t) + 1e-8)
    return theta


RULES = {"iaf": (IAFAdamax, iaf_rule), "pixelcnn": (PixelCNNAdam, pixelcnn_rule)}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-5), ("float64", 1e-7)])
def test_rule(rule, dtype, tolerance):
    kind, expected = RULES[rule]
    variable, optimizer = tf.Variable(START, dtype=dtype), kind(RATE)
    optimizer.build([variable])
    apply = tf.function(lambda g: optimizer.apply([g], [variable]))
    for step in range(1, 6):
        apply(tf.constant(gradient(step), dtype))
        np.testing.assert_allclose(variable, expected(step), rtol=tolerance, atol=tolerance)
    assert optimizer.iterations == 5


@pytest.mark.parametrize("rule", RULES)
def test_replicas_agree_with_one_device(rule):
    kind, expected = RULES[rule]
    strategy = make_strategy("mirrored", 2)
    with strategy.scope():
        variable, optimizer = tf.Variable(START, dtype=tf.float32), kind(RATE)
        optimizer.build([variable])

    @tf.function
    def step(gradients):
        strategy.run(lambda g: optimizer.apply([g], [variable]), args=(gradients,))

    for number in range(1, 4):
        # The optimizer sums over the replicas.
        parts = [share * gradient(number).astype(np.float32) for share in (0.25, 0.75)]
        step(
            strategy.experimental_distribute_values_from_function(
                lambda context, parts=parts: tf.constant(parts[context.replica_id_in_sync_group])
            )
        )
    for value in strategy.experimental_local_results(variable):
        np.testing.assert_allclose(value, expected(3), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_config_round_trip(rule):
    optimizer = RULES[rule][0](0.5, beta_1=0.8, beta_2=0.7, epsilon=1e-3)
    again = type(optimizer).from_config(optimizer.get_config())
    assert (again.beta_1, again.beta_2, again.epsilon) == (0.8, 0.7, 1e-3)
