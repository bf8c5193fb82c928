"""The logistic mixture's logit: against 60-digit values, at the extremes, and back."""

import functools
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tests.slow import slow_but
from tfflows.math.logistic_mixture import (
    MIN_LOG_SCALE,
    decode,
    encode,
    mixture_logit,
    mixture_logit_inverse,
    solve,
)

FILE = pathlib.Path(__file__).parents[1] / "data" / "flowpp" / "elementwise.npz"
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
NAMES = ("x", "s_raw", "t", "logits", "means", "logscales")


@functools.cache
def arrays():
    with np.load(FILE) as file:
        return {key: file[key] for key in file.files}


def reference(name):
    return arrays()[f"mp/flowpp_{name}"]


def inputs(dtype):
    """The 171 cases, components first."""
    return [tf.constant(np.asarray(arrays()[f"in/{name}"], np.float64).T, dtype) for name in NAMES]


def coupling(x, raw_scale, shift, logits, means, log_scales):
    """The whole elementwise map of the coupling, on parameters apart."""
    scale = tf.tanh(raw_scale)
    log_scales = tf.maximum(log_scales, tf.cast(MIN_LOG_SCALE, x.dtype))
    y, log_derivative = mixture_logit(x, logits, means, log_scales)
    return y * tf.exp(scale) + shift, log_derivative + scale


def assert_near(actual, expected, tolerance):
    """Absolute below 1, relative above."""
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-6), ("float64", 1e-13)])
def test_values(dtype, tolerance):
    y, log_det = coupling(*inputs(dtype))
    assert_near(y, reference("y"), tolerance)
    assert_near(log_det, reference("logdet"), tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-5), ("float64", 1e-9)])
def test_gradients(dtype, tolerance):
    """Against automatic differentiation of the released formula in float64, where that is accurate itself."""
    values = inputs(dtype)
    with tf.GradientTape() as tape:
        tape.watch(values)
        y, log_det = coupling(*values)
        total = tf.reduce_sum(y) + 0.5 * tf.reduce_sum(log_det)
    # There 1 - F is formed from F, which leaves nothing of it in the upper tail.
    released = arrays()["f64/flowpp_cifar/grad_s_raw"]
    accurate = (arrays()["mp/logsf"] > np.log(1e-6)) & np.isfinite(released)
    assert accurate.sum() > 120
    for name, gradient in zip(NAMES, tape.gradient(total, values), strict=True):
        assert np.isfinite(gradient).all()
        expected = arrays()[f"f64/flowpp_cifar/grad_{name}"].T
        scale = 1 + np.abs(expected[..., accurate])
        np.testing.assert_array_less(np.abs(gradient.numpy() - expected)[..., accurate] / scale, tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 4e-5), ("float64", 1e-12)])
@pytest.mark.parametrize("compiled", [False, True])
def test_inverse(dtype, tolerance, compiled):
    _, raw_scale, shift, logits, means, log_scales = inputs(dtype)
    scale = tf.tanh(raw_scale)
    query = (tf.constant(np.asarray(arrays()["in/y_query"], np.float64), dtype) - shift) * tf.exp(-scale)
    run = tf.function(mixture_logit_inverse, jit_compile=compiled, autograph=False)
    least = tf.cast(MIN_LOG_SCALE, log_scales.dtype)
    x, log_det = run(query, logits, means, tf.maximum(log_scales, least))
    assert_near(x, reference("x_of_yq"), tolerance)
    assert_near(log_det - scale, reference("invlogdet"), 3 * tolerance)


def random_mixture(spread, dtype, size=4096, components=32):
    def normal(seed):
        return spread * tf.random.stateless_normal([components, size], [seed, 0], dtype=tf.float64)

    log_scales = tf.maximum(normal(3) - 1, MIN_LOG_SCALE)
    return [tf.cast(value, dtype) for value in (normal(1), normal(2), log_scales)]


@pytest.mark.parametrize(
    ("spread", "compiled"),
    slow_but([(1.0, False), (0.5, True)], [(0.5, False), (0.5, True), (1.0, False), (1.0, True)], rows=True),
)
def test_evaluations_and_error_of_the_inverse(spread, compiled):
    mixture = random_mixture(spread, tf.float32)
    y = 3 * tf.random.stateless_normal([4096], [4, 0])
    x, count = tf.function(solve, jit_compile=compiled, autograph=False)(y, *mixture)
    exact, _ = solve(tf.cast(y, tf.float64), *(tf.cast(value, tf.float64) for value in mixture))
    residual, _ = mixture_logit(exact, *(tf.cast(value, tf.float64) for value in mixture))
    assert_near(residual, y, 1e-12)
    assert int(count) <= 13
    np.testing.assert_array_less(np.abs(x.numpy() - exact), 4e-6 if spread < 1 else 4e-5)


@pytest.mark.parametrize("target", [-1e4, -30.0, 30.0, 1e4])
@DTYPES
def test_inverse_of_far_targets(target, dtype):
    mixture = random_mixture(1.0, dtype, size=64)
    y = tf.fill([64], tf.constant(target, dtype))
    x, log_det = mixture_logit_inverse(y, *mixture)
    back, log_derivative = mixture_logit(x, *mixture)
    assert_near(back, y, 2e-5 if dtype == "float32" else 1e-12)
    assert_near(log_det, -log_derivative, 1e-6)


@pytest.mark.parametrize("x", slow_but([-1e4, 0.0, 50.0], [-1e4, -50.0, 0.0, 50.0, 1e4]))
@pytest.mark.parametrize("log_scale", [-7.0, 0.0, 7.0, 20.0])
@pytest.mark.parametrize("min_weight", [1.0, 1e-30])
@DTYPES
def test_extremes_are_finite(x, log_scale, min_weight, dtype):
    logits = tf.constant([[0.0], [np.log(min_weight)], [0.3]], dtype)
    means = tf.constant([[0.0], [3.0], [-2.0]], dtype)
    log_scales = tf.constant([[log_scale], [log_scale], [log_scale / 2]], dtype)
    values = [tf.constant([x], dtype), logits, means, log_scales]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(values)
        y, log_det = mixture_logit(*values)
        # A target of the size of y itself, apart from it.
        back, inverse_log_det = mixture_logit_inverse(values[0] / 100, *values[1:])
    results = [y, log_det, back, inverse_log_det]
    for sources in (y, log_det, back, inverse_log_det):
        results += tape.gradient(sources, values)
    for result in results:
        assert np.isfinite(result).all()


def test_far_tails_are_exact():
    """One component: y is z itself and the derivative the inverse scale, however far."""
    x = tf.constant([-1e4, -17.0, 8.0, 17.0, 1e4])
    zeros = tf.zeros([1, 5])
    y, log_det = mixture_logit(x, zeros, zeros + 1.0, zeros - 2.0)
    assert_near(y, (x - 1.0) * np.exp(2.0), 1e-6)
    assert_near(log_det, np.full([5], 2.0), 1e-6)


def test_gradient_of_the_inverse_is_that_of_the_implicit_function():
    mixture = random_mixture(1.0, tf.float64, size=6, components=3)
    y = tf.constant([-5.0, -1.0, 0.0, 0.5, 3.0, 9.0], tf.float64)
    values = [y, *mixture]

    def loss(*values):
        x, log_det = mixture_logit_inverse(*values)
        return tf.reduce_sum(tf.sin(x) + log_det**2)

    with tf.GradientTape() as tape:
        tape.watch(values)
        total = loss(*values)
    step, generator = 1e-6, np.random.default_rng(0)
    for number, gradient in enumerate(tape.gradient(total, values)):
        for _ in range(3):
            along = generator.standard_normal(gradient.shape)
            above, below = (
                loss(*values[:number], values[number] + sign * step * along, *values[number + 1 :]) for sign in (1, -1)
            )
            slope = np.sum(gradient * along)
            np.testing.assert_allclose(slope, (above - below) / (2 * step), rtol=1e-5, atol=1e-6)


def derivatives(run, x, *mixture):
    """Value and log-derivative, each with its first and second derivative by x."""
    with tf.GradientTape(persistent=True) as outer:
        outer.watch(x)
        with tf.GradientTape(persistent=True) as inner:
            inner.watch(x)
            results = run(x, *mixture)
        slopes = [inner.gradient(result, x) for result in results]
    return [(result, slope, outer.gradient(slope, x)) for result, slope in zip(results, slopes, strict=True)]


@pytest.mark.parametrize("mode", ["eager", "graph", pytest.param("jit", marks=pytest.mark.slow)])
def test_second_derivatives_of_the_inverse(mode):
    """At 0.3, against differences of 60-digit values."""
    mixture = [tf.constant(values, tf.float64)[:, tf.newaxis] for values in ([0.0, 1.0], [-1.0, 2.0], [0.0, -1.0])]
    run = functools.partial(derivatives, mixture_logit_inverse)
    if mode != "eager":
        run = tf.function(run, jit_compile=mode == "jit", autograph=False)
    value, log_derivative = run(tf.constant([0.3], tf.float64), *mixture)
    np.testing.assert_allclose(value[2], [-0.14600], atol=1e-5)
    np.testing.assert_allclose(log_derivative[2], [0.38674], atol=1e-5)
    # The first derivative is the exponential of what is called its logarithm.
    np.testing.assert_allclose(value[1], np.exp(log_derivative[0]), rtol=1e-12)
    np.testing.assert_allclose(value[2], log_derivative[1] * value[1], rtol=1e-12)


@pytest.mark.parametrize("run", [mixture_logit, mixture_logit_inverse])
def test_derivatives_at_a_mean_are_those_beside_it(run):
    """There `|x - mu|` has a kink, but the mixture has none."""
    mixture = [tf.constant(values, tf.float64)[:, tf.newaxis] for values in ([0.2, -0.3], [0.0, 0.0], [0.5, -1.0])]
    at, beside = (derivatives(run, tf.constant([x], tf.float64), *mixture) for x in (0.0, 1e-7))
    for results, others in zip(at, beside, strict=True):
        for result, other in zip(results, others, strict=True):
            np.testing.assert_allclose(result, other, rtol=1e-5, atol=2e-6)
    assert np.abs(at[1][2]).max() > 0.1


@pytest.mark.parametrize("run", [mixture_logit, mixture_logit_inverse])
@DTYPES
def test_second_derivatives_of_far_values_are_finite(run, dtype):
    mixture = random_mixture(0.5, dtype, size=9, components=3)
    x = tf.constant([-1e4, -300.0, -50.0, -5.0, 0.0, 5.0, 50.0, 300.0, 1e4], dtype)
    for results in derivatives(run, x, *mixture):
        for result in results:
            assert np.isfinite(result).all()


@pytest.mark.parametrize("batch", [[], [2, 3]])
def test_coupling_form_inverts(batch):
    x = 2 * tf.random.stateless_normal([*batch, 4, 6], [1, 2])
    parameters = tf.random.stateless_normal([*batch, 4, 6 * (2 + 3 * 5)], [1, 3])
    y, log_det = encode(x, parameters, 5)
    back, inverse_log_det = decode(y, parameters, 5)
    assert y.shape == log_det.shape == x.shape
    assert_near(back, x, 2e-5)
    assert_near(inverse_log_det, -log_det, 5e-5)


def test_coupling_form_holds_its_parameters_in_the_order_it_says():
    channels, components = 2, 3
    x = tf.random.stateless_normal([5, channels], [1, 2])
    parts = [tf.random.stateless_normal([5, number, channels], [2, number]) for number in (1, 1, 3, 3, 3)]
    y, log_det = encode(x, tf.reshape(tf.concat(parts, axis=1), [5, -1]), components)
    raw_scale, shift, *mixture = parts
    mixture = [tf.transpose(value, [1, 0, 2]) for value in mixture]
    expected, expected_log_det = coupling(x, raw_scale[:, 0], shift[:, 0], *mixture)
    assert_near(y, expected, 1e-6)
    assert_near(log_det, expected_log_det, 1e-6)


def test_the_paper_bounds_neither_scale_nor_log_scales():
    x = tf.constant([[0.5]], tf.float64)
    raw_scale, shift, mean, log_scale = 2.0, 0.25, 0.1, -9.0
    parameters = tf.constant([[raw_scale, shift, 0.0, mean, log_scale]], tf.float64)
    y, log_det = encode(x, parameters, 1, tf.identity, None)
    np.testing.assert_allclose(y, [[(0.5 - mean) * np.exp(-log_scale + raw_scale) + shift]], rtol=1e-12)
    np.testing.assert_allclose(log_det, [[-log_scale + raw_scale]], rtol=1e-12)
    back, _ = decode(y, parameters, 1, tf.identity, None)
    np.testing.assert_allclose(back, x, rtol=1e-12)
    _, released = encode(x, parameters, 1)
    np.testing.assert_allclose(released, [[7.0 + np.tanh(raw_scale)]], rtol=1e-12)


def test_a_wrong_number_of_parameters_is_refused():
    with pytest.raises(ValueError, match="multiple of 11"):
        encode(tf.zeros([2, 3]), tf.zeros([2, 32]), 3)
