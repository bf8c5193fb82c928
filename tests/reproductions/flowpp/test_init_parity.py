"""Data-dependent init of single layers: what the authors' released code made of the same parameters and batch."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tfflows.bijectors import ActNorm
from tfflows.networks.layers import DataDependentConv2D

FILE = pathlib.Path(__file__).parents[2] / "data" / "flowpp" / "init_layers.npz"
with np.load(FILE) as file:
    ARRAYS = {key: file[key] for key in file.files}

# Size of the kernel, scale of the outputs, and the batch with its rows as images of one pixel.
LAYERS = {
    "conv": (3, 0.1, ARRAYS["x_conv"]),
    "dense": (1, 1.0, ARRAYS["x_dense"][:, np.newaxis, np.newaxis]),
}


def names_of(layer, form):
    """`{the authors' name: variable}`."""
    names = {"W" if form == "plain" else "V": layer.kernel, "b": layer.bias}
    return names if form == "plain" else {**names, "g": layer.norm}


@pytest.mark.parametrize("form", ["plain", "weightnorm"])
@pytest.mark.parametrize("name", LAYERS)
def test_networks(form, name):
    """With weight norm the bias is not 0 before, so that the mean is not 0 afterwards."""
    kernel_size, init_scale, x = LAYERS[name]
    before, after = ({key: ARRAYS[f"{form}/{when}/s/{name}/{key}"] for key in "WVbg"
                      if f"{form}/{when}/s/{name}/{key}" in ARRAYS} for when in ("pre", "post"))  # fmt: skip
    layer = DataDependentConv2D(before["b"].size, kernel_size, init_scale, form == "weightnorm", dtype="float64")
    layer.build(x.shape)
    variables = names_of(layer, form)
    assert set(variables) == set(before)
    for key, variable in variables.items():
        variable.assign(before[key].reshape(variable.shape))
    x = tf.constant(x, tf.float64)
    expected = ARRAYS[f"{form}/{name}/y_init_pass"]
    np.testing.assert_allclose(layer.initialize(x).numpy().reshape(expected.shape), expected, rtol=1e-5, atol=1e-6)
    for key, variable in variables.items():
        np.testing.assert_allclose(np.reshape(variable, after[key].shape), after[key], rtol=1e-5, atol=1e-6)
    expected = ARRAYS[f"{form}/{name}/y_after"]
    np.testing.assert_allclose(layer(x).numpy().reshape(expected.shape), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", ["plain", "weightnorm"])
def test_actnorm_of_every_activation(form):
    x = ARRAYS["x_conv"]
    norm = ActNorm(x.shape[1:], form="positive_scale_then_shift", dtype=tf.float64)
    expected = ARRAYS[f"{form}/norm/y_init_pass"]
    np.testing.assert_allclose(norm.initialize(tf.constant(x, tf.float64)), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(norm.scale, ARRAYS[f"{form}/post/s/norm0/g"], rtol=1e-5)
    np.testing.assert_allclose(norm.bias, ARRAYS[f"{form}/post/s/norm0/b"], rtol=1e-5, atol=1e-6)
