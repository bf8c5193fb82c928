"""Fixed points of triangular maps."""

import numpy as np
import pytest
import tensorflow as tf

from tfflows.math.fixed_point import fixed_point


def solve(matrix, tolerance=0.0, max_rounds=100):
    """Solves `y = 1 + matrix y`; what is kept is the y before the last round."""
    size = len(matrix)
    ones, zeros = tf.ones([size]), tf.zeros([size])
    return fixed_point(lambda y: (ones + tf.linalg.matvec(matrix, y), y), zeros, zeros, max_rounds, tolerance)


def test_a_chain_takes_a_round_each_and_one_that_changes_nothing():
    y, kept, num_rounds = solve(tf.constant(np.eye(6, k=-1), tf.float32))
    np.testing.assert_array_equal(y, [1, 2, 3, 4, 5, 6])
    np.testing.assert_array_equal(kept, y)
    assert num_rounds == 7


@pytest.mark.parametrize(("tolerance", "rounds"), [(1e-3, 5), (1e-6, 8)])
def test_the_tolerance_ends_it(tolerance, rounds):
    """A tenth of each number goes into the next one, so a round changes the last one by a tenth of the round before."""
    y, _, num_rounds = solve(tf.constant(0.1 * np.eye(50, k=-1), tf.float32), tolerance)
    np.testing.assert_allclose(y[-1], 10 / 9, rtol=10 * tolerance)
    assert abs(int(num_rounds) - rounds) <= 1


def test_the_number_of_rounds_ends_it():
    y, _, num_rounds = solve(tf.constant(np.eye(6, k=-1), tf.float32), max_rounds=3)
    np.testing.assert_array_equal(y, [1, 2, 3, 3, 3, 3])
    assert num_rounds == 3


def test_numbers_that_overflow_do_not_reach_others():
    """Times a weight of zero they would be NaN everywhere."""
    y, _, num_rounds = solve(tf.constant([[0.0, 0, 0, 0], [1e30, 0, 0, 0], [0, 1e30, 0, 0], [2, 0, 0, 0]]))
    np.testing.assert_array_equal(np.isfinite(y), [True, False, True, True])
    np.testing.assert_array_equal(y.numpy()[[0, 3]], [1, 3])
    assert num_rounds <= 5
