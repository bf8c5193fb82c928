"""Levels under mixtures of logistics: what they take, and that they come back."""

import numpy as np
import pytest
import tensorflow as tf

from tfflows.compression.coder import Stack
from tfflows.compression.levels import PRECISION, LevelMixture, logistic_table, unit_weights, weights_of
from tfflows.math import discretized_logistic


def mixture(count, components, num_levels, seed=0):
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0, 1, [count, components])
    means = num_levels * rng.uniform(-0.2, 1.2, [count, components])
    scales = num_levels * np.exp(rng.uniform(-6, 0, [count, components]))
    return weights / weights.max(axis=1, keepdims=True), means, scales


@pytest.mark.parametrize("num_levels", [2, 8, 256])
def test_all_levels_of_a_mixture_add_up_and_come_back(num_levels):
    weights, means, scales = mixture(num_levels, 3, num_levels)
    rows = [np.repeat(each[:1], num_levels, axis=0) for each in (weights_of(weights), means, 1 / scales)]
    made, levels = LevelMixture(*rows, num_levels), np.arange(num_levels)
    starts, widths = made.intervals(levels)
    np.testing.assert_array_equal(np.cumsum(widths), [*starts[1:], 1 << PRECISION])
    assert widths.min() >= 1 and starts[0] == 0
    stack = Stack()
    made.push(stack, levels)
    np.testing.assert_array_equal(made.pop(stack), levels)
    assert stack.holds_noise_alone()


def test_probabilities_are_those_of_discretized_logistics():
    _, means, scales = mixture(2000, 1, 256)
    levels = np.clip(np.round(means[:, 0] + 2 * scales[:, 0] * np.sin(np.arange(2000))), 0, 255).astype(np.int64)
    _, widths = LevelMixture(unit_weights(2000, 1), means, 1 / scales, 256).intervals(levels)
    log_probs = discretized_logistic.log_prob(
        tf.constant(levels, tf.float64), means[:, 0], np.log(scales[:, 0]), open_edges=True
    )
    np.testing.assert_allclose(widths / 2**PRECISION, np.exp(log_probs), rtol=0.02, atol=3e-5)


def test_weights_follow_from_the_level():
    weights = weights_of(np.array([[1.0, 1.0, 0.5]]))
    made = LevelMixture(weights, np.array([[10.5, 200.5, 10.5]]), np.array([[0.5, 0.5, 0.5]]), 256)
    for after in (lambda: made.intervals(np.array([10])), lambda: made.pop(pushed(made, 10))):
        after()
        got = made.weights_after()
        assert 2**19 <= got[0, 0] <= 2**20 and got[0, 1] == 0 and got[0, 2] == pytest.approx(got[0, 0] / 2, abs=1)


def pushed(made, level):
    stack = Stack()
    made.push(stack, np.array([level]))
    return stack


def test_the_table_never_falls():
    table = logistic_table()
    assert table[0] == 0 and table[-1] == 1 << 30 and np.diff(table).min() >= 0
