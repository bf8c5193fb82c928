"""The coupling's map with a margin: against 60-digit values, at the extremes, and back."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tfflows.math.bounded_logit import bounded_logit, bounded_logit_inverse, greatest_value
from tfflows.math.logistic_mixture import decode, encode, mixture_logit

DATA = pathlib.Path(__file__).parents[1] / "data"
NAMES = ("x", "s_raw", "t", "logits", "means", "logscales")
with np.load(DATA / "flowpp" / "elementwise.npz") as file:
    INPUTS = {name: file[f"in/{name}"].astype(np.float64) for name in (*NAMES, "y_query")}
with np.load(DATA / "vflow" / "elementwise.npz") as file:
    ARRAYS = {key: file[key] for key in file.files}
MARGIN = 0.05


def parameters_of(values):
    """`[171, 14]`, as a network gives them for one channel."""
    s_raw, shift, logits, means, log_scales = values
    return tf.concat([s_raw[:, tf.newaxis], shift[:, tf.newaxis], logits, means, log_scales], axis=-1)


def inputs(dtype):
    return [tf.constant(INPUTS[name], dtype) for name in NAMES]


def assert_near(actual, expected, tolerance):
    """Absolute below 1, relative above."""
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("dtype", "tolerance", "gradient_tolerance"), [("float32", 3e-6, 2e-5), ("float64", 1e-12, 1e-9)]
)
def test_values_and_gradients(dtype, tolerance, gradient_tolerance):
    values = inputs(dtype)
    with tf.GradientTape() as tape:
        tape.watch(values)
        y, log_det = encode(values[0][:, tf.newaxis], parameters_of(values[1:]), 4, margin=MARGIN)
        total = tf.reduce_sum(y) + 0.5 * tf.reduce_sum(log_det)
    assert_near(y[:, 0], ARRAYS["mp/vflow_y"], tolerance)
    assert_near(log_det[:, 0], ARRAYS["mp/vflow_logdet"], tolerance)
    for name, gradient in zip(NAMES, tape.gradient(total, values), strict=True):
        expected = ARRAYS[f"f64/vflow_cifar/grad_{name}"]
        np.testing.assert_array_less(np.abs(gradient - expected) / (1 + np.abs(expected)), gradient_tolerance, name)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-3), ("float64", 1e-9)])
def test_inverse(dtype, tolerance):
    """Where there is one, up to the quantiles that stand for the rest; float32 has few digits near the bounds."""
    _, *values = inputs(dtype)
    query = tf.constant(INPUTS["y_query"], dtype)
    x, log_det = decode(query[:, tf.newaxis], parameters_of(values), 4, margin=MARGIN)
    s_raw, shift = INPUTS["s_raw"], INPUTS["t"]
    within = np.abs((INPUTS["y_query"] - shift) * np.exp(-np.tanh(s_raw))) < greatest_value(MARGIN)
    assert 80 < within.sum() < 171
    assert_near(x.numpy()[within, 0], ARRAYS["mp/vflow_x_of_yq"][within], tolerance)
    assert_near(log_det.numpy()[within, 0], ARRAYS["mp/vflow_invlogdet"][within], tolerance)
    # What has no inverse lies where the mixture has 1e-5 left.
    mixture = [tf.constant(INPUTS[name].T) for name in ("logits", "means")]
    log_scales = np.maximum(INPUTS["logscales"].T, -7.0)
    u, _ = mixture_logit(tf.cast(x[:, 0], tf.float64), *mixture, log_scales)
    tail = np.log(1e-5) - np.log1p(-1e-5)
    np.testing.assert_allclose(np.abs(u)[~within], -tail, rtol=1e-2 if dtype == "float32" else 1e-6)


def test_inverse_of_what_has_none_is_that_of_the_released_code():
    _, *values = inputs("float64")
    x, log_det = decode(
        tf.constant(INPUTS["y_query"][:, np.newaxis], "float64"), parameters_of(values), 4, margin=MARGIN
    )
    target = (INPUTS["y_query"] - INPUTS["t"]) * np.exp(-np.tanh(INPUTS["s_raw"]))
    assert (np.abs(target) > np.log((1 - MARGIN) / MARGIN)).sum() == 46
    assert_near(x[:, 0], ARRAYS["f64/vflow_imagenet/x_of_yq"], 1e-9)
    assert_near(log_det[:, 0], ARRAYS["f64/vflow_imagenet/logdet_of_yq"], 1e-8)


@pytest.mark.parametrize("margin", [1e-3, 0.05, 0.4])
def test_finite_bounded_and_inverted_at_any_size(margin):
    u = tf.constant([-1e30, -1e4, -50.0, -8.0, -1.0, 0.0, 1e-3, 1.0, 8.0, 50.0, 1e4, 1e30])
    with tf.GradientTape() as tape:
        tape.watch(u)
        y, log_derivative = bounded_logit(u, margin)
    assert np.isfinite(y).all() and np.isfinite(log_derivative).all()
    assert np.isfinite(tape.gradient([y, log_derivative], u)).all()
    assert np.all(np.abs(y) <= np.log((1 - margin) / margin) * (1 + 1e-6)) and np.all(np.diff(y) >= 0)
    back, _ = bounded_logit_inverse(y, margin)
    np.testing.assert_allclose(back[3:9], u[3:9], rtol=2e-2, atol=1e-5)
    assert np.isfinite(back).all()


@pytest.mark.parametrize("margin", [1e-3, 0.05, 0.4])
@pytest.mark.parametrize("side", [-1, 1])
def test_the_greatest_value_is_the_quantile_of_the_released_code(margin, side):
    """There 1e-5 of the probability is left, whatever the margin; of what lies beyond it as well."""
    probability = 1 - 1e-5
    y = np.log((1 - 2 * margin) * probability + margin) - np.log1p(-(1 - 2 * margin) * probability - margin)
    np.testing.assert_allclose(greatest_value(margin), y, rtol=1e-12)
    expected = side * (np.log(probability) - np.log(1e-5))
    for beyond in (1.0, 1.1, 100.0):
        u, log_derivative = bounded_logit_inverse(tf.constant(side * beyond * y, tf.float64), margin)
        np.testing.assert_allclose(u, expected, rtol=1e-6)
        at, at_quantile = (-2 * np.logaddexp(0, value) + value for value in (beyond * y, y))
        np.testing.assert_allclose(log_derivative, at - at_quantile - bounded_logit(u, margin)[1], rtol=1e-9, atol=1e-9)
