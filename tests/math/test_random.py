"""Row-keyed random numbers: statistics, and independence of how a batch is split."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tfflows.math.gating import dropout_rows
from tfflows.math.random import derive_seed, fold_in, kept_rows, normal_rows, row_keys, uniform_rows

# Philox gives four float32 (two float64) at a time: sizes that divide, and that do not.
ROW_SHAPES = [(4,), (1,), (3,), (5,), (2, 3, 7), (8, 2)]


@pytest.mark.parametrize("jit", [None, False, True], ids=["eager", "graph", "jit"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("draw", [uniform_rows, normal_rows])
def test_a_slice_is_what_the_whole_batch_holds(draw, dtype, jit):
    def call(start, num_rows, row_shape):
        return draw(fold_in(row_keys(5, 7, start), "noise"), num_rows, row_shape, tf.as_dtype(dtype))

    for row_shape in ROW_SHAPES if jit is None else ROW_SHAPES[-3:-1]:
        run = functools.partial(call, row_shape=row_shape)
        if jit is not None:
            traced = {n: tf.function(functools.partial(run, num_rows=n), jit_compile=jit) for n in (2, 10)}
            run = lambda start, num_rows, traced=traced: traced[num_rows](tf.constant(start, tf.int64))  # noqa: E731
        whole = run(0, num_rows=10).numpy()
        assert whole.shape == (10, *row_shape) and whole.dtype == dtype
        for start in (0, 1, 4, 8):
            np.testing.assert_array_equal(run(start, num_rows=2), whole[start : start + 2])
        assert len(np.unique(whole)) == whole.size
        if draw is uniform_rows or not jit:
            np.testing.assert_array_equal(whole, call(0, 10, row_shape))


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_statistics(dtype):
    shape = (11, 3)
    uniform = uniform_rows(row_keys(1), 3000, shape, dtype).numpy()
    assert uniform.min() >= 0.0 and uniform.max() < 1.0
    np.testing.assert_allclose(uniform.mean(), 0.5, atol=5e-3)
    np.testing.assert_allclose(uniform.var(), 1 / 12, atol=2e-3)
    normal = normal_rows(row_keys(1), 3000, shape, dtype).numpy()
    np.testing.assert_allclose(normal.mean(), 0.0, atol=2e-2)
    np.testing.assert_allclose(normal.std(), 1.0, atol=1e-2)
    np.testing.assert_allclose((normal**4).mean(), 3.0, atol=0.15)
    # Neither rows nor places in a row go together.
    correlation = np.corrcoef(normal.reshape(3000, -1), rowvar=False) - np.eye(33)
    assert np.abs(correlation).max() < 0.09
    np.testing.assert_allclose(np.corrcoef(normal[:-1].ravel(), normal[1:].ravel())[0, 1], 0.0, atol=0.02)


def test_streams_are_apart():
    keys = row_keys(0)
    draws = [
        uniform_rows(k, 4, [5]).numpy()
        for k in (
            keys,
            row_keys(1),
            row_keys(0, step=1),
            row_keys(0, start=4),
            fold_in(keys, 0),
            fold_in(keys, 1),
            fold_in(keys, "dequantization"),
            fold_in(keys, "sample"),
            fold_in(fold_in(keys, "sample"), 1),
        )
    ]
    assert len({draw.tobytes() for draw in draws}) == len(draws)
    assert len(np.unique(np.stack(draws))) == np.stack(draws).size


def test_keys_may_be_tensors():
    whole = uniform_rows(fold_in(row_keys(3, 9), "noise"), 6, [5])

    @tf.function
    def draw(step, start, salt):
        return uniform_rows(fold_in(row_keys(3, step, start), "noise"), 2, [5]), fold_in(row_keys(3), salt).seed

    rows, seed = draw(tf.constant(9), tf.constant(4), tf.constant(6))
    np.testing.assert_array_equal(rows, whole[4:])
    np.testing.assert_array_equal(seed, fold_in(row_keys(3), 6).seed)


def test_far_rows_exist():
    # A data set's position in a long run does not overflow.
    rows = uniform_rows(row_keys(0, 0, 2**40), 2, [3072])
    assert np.isfinite(rows).all() and not np.array_equal(rows[0], rows[1])


def test_derived_seeds():
    seeds = [derive_seed(seed, *path) for seed in range(3) for path in ((), ("a",), ("a", 1), ("a", 2), ("b", 1))]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)
    # Python's own hash would differ from run to run.
    assert derive_seed(0, "level", 1) == 69469363


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5, 0.9])
def test_dropout_drops_with_the_probability_that_it_is_given(rate, jit):
    count, shape = 1000, (5, 7)

    def draw(start, num_rows):
        keys = fold_in(row_keys(3, 2, start), "dropout")
        ones = tf.ones([num_rows, *shape])
        return kept_rows(keys, num_rows, shape, rate), dropout_rows(ones, rate, keys)

    kept, rows = tf.function(lambda: draw(0, count), jit_compile=jit)()
    size = count * np.prod(shape)
    four_errors = 4 * np.sqrt(rate * (1 - rate) / size)
    np.testing.assert_allclose(np.mean(kept), 1 - rate, atol=four_errors)
    # Each place of a row by itself, too.
    np.testing.assert_allclose(np.mean(kept, axis=0), 1 - rate, atol=5 * np.sqrt(rate * (1 - rate) / count))
    np.testing.assert_allclose(rows, np.where(kept, 1 / (1 - rate), 0), rtol=1e-6)
    later, _ = draw(7, 3)
    np.testing.assert_array_equal(later, kept[7:10])


def test_a_dropout_rate_counts_to_32_bits():
    kept = kept_rows(row_keys(1), 1000, [100], 0.0)
    assert np.all(kept)
    few = kept_rows(row_keys(1), 1000, [100], 1 - 2.0**-20)
    assert np.sum(few) < 5
