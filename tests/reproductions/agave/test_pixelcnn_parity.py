"""Parity with the released PixelCNN++: the arrays of tests/data/agave, which its code computed in float32."""

import functools
import math
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tfflows.distributions.discretized_logistic_mixture import DiscretizedLogisticMixture
from tfflows.interop.pixelcnn import export_weights, load_weights, released_places
from tfflows.math.discretized_logistic_mixture import to_pixels
from tfflows.math.random import row_keys
from tfflows.networks import GatedResidual, PixelCNN, ShiftedConv2D, ShiftedConv2DTranspose
from tfflows.networks.pixelcnn import gated_residual

DATA = pathlib.Path(__file__).parents[2] / "data" / "agave"
LAYERS = {
    "nin": lambda: ShiftedConv2D(7, 1),
    "conv2d_3x3_same": lambda: ShiftedConv2D(4, 3),
    "conv2d_3x3_same_s2": lambda: ShiftedConv2D(4, 3, strides=2),
    "deconv2d_3x3_same_s2": lambda: ShiftedConv2DTranspose(4),
    "down_shifted_conv2d_2x3": lambda: ShiftedConv2D(4, (2, 3), "down"),
    "down_shifted_conv2d_1x3": lambda: ShiftedConv2D(4, (1, 3), "down"),
    "down_shifted_conv2d_2x3_s2": lambda: ShiftedConv2D(4, (2, 3), "down", 2),
    "down_right_shifted_conv2d_2x2": lambda: ShiftedConv2D(4, (2, 2), "down_right"),
    "down_right_shifted_conv2d_2x1": lambda: ShiftedConv2D(4, (2, 1), "down_right"),
    "down_right_shifted_conv2d_2x2_s2": lambda: ShiftedConv2D(4, (2, 2), "down_right", 2),
    "down_shifted_deconv2d_2x3_s2": lambda: ShiftedConv2DTranspose(4, "down"),
    "down_right_shifted_deconv2d_2x2_s2": lambda: ShiftedConv2DTranspose(4, "down_right"),
    "gated_resnet_u_noaux": lambda: GatedResidual(5, (2, 3), "down"),
    "gated_resnet_ul_aux": lambda: GatedResidual(5, (2, 2), "down_right", skip_channels=9),
}


@functools.cache
def arrays(name):
    with np.load(DATA / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


def under(mapping, prefix):
    return {key.removeprefix(prefix): value for key, value in mapping.items() if key.startswith(prefix)}


def close(actual, expected, absolute=2e-5):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=absolute)


def assert_gradients(places, gradients, expected, relative=1e-4):
    """Within `relative` of the largest of each variable."""
    assert {name for place in places for name in place.names} == set(expected)
    for place, gradient in zip(places, gradients, strict=True):
        (own,), (name,) = place.split(gradient.numpy()), place.names
        np.testing.assert_allclose(
            own, expected[name], rtol=0, atol=relative * np.abs(expected[name]).max(), err_msg=name
        )


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name):
    data = under(arrays("pcnn_layers"), f"{name}/")
    layer = LAYERS[name]()
    if not layer.built:
        layer.build([None, *data["x"].shape[1:]])
    inputs = [tf.constant(data[key]) for key in ("x", "in_a") if key in data]
    load_weights(layer, under(data, "var_before_init/"))
    close(layer.initialize(*inputs), data["out_of_init_pass"])
    for key, value in export_weights(layer).items():
        expected = data[f"var_after_init/{key}"]
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max(), err_msg=key)
    close(layer(*inputs), data["out_after_init"], 5e-5)
    load_weights(layer, under(data, "var/"))
    places = released_places(layer)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        out = layer(*inputs)
        total = tf.reduce_sum(out**2)
    close(out, data["out"], 2e-5 * max(1, np.abs(data["out"]).max()))
    gradients = tape.gradient(total, [*inputs, *(place.variable for place in places)])
    for gradient, key in zip(gradients, ("grad_x", "grad_a"), strict=False):
        if key in data:
            close(gradient, data[key], 1e-4 * np.abs(data[key]).max())
    assert_gradients(places, gradients[len(inputs) :], under(data, "grad_var/"))


MODEL = "pcnn_r1f8k10_16x16"


def network():
    """The small network, its directions as they were at the start, its gains and biases used ones."""
    made, data = PixelCNN(8, 100, num_blocks=1, dropout_rate=0.5), arrays(MODEL)
    directions = under(data, "var0/")
    load_weights(made, {**directions, **under(data, "var/")})
    return made


def test_data_dependent_init_of_the_network():
    data = arrays(MODEL)
    made = network()
    for place in released_places(made):
        if not place.names[0].endswith("/V"):
            value = np.ones if place.names[0].endswith("/g") else np.zeros
            place.variable.assign(value(place.variable.shape, np.float32))
    close(made.initialize(to_pixels(data["x_init_uint8"])), data["out_of_init_pass"])
    found = export_weights(made)
    for key, expected in under(data, "var_init/").items():
        np.testing.assert_allclose(found[key], expected, rtol=2e-4, atol=1e-4 * np.abs(expected).max(), err_msg=key)


def test_network():
    data, made = arrays(MODEL), network()
    pixels, places = to_pixels(data["x_uint8"]), released_places(made)
    assert [name for place in places for name in place.names] == data["var_order"].tolist()
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        out = made(pixels)
        images = DiscretizedLogisticMixture(out, 10, official_approximation=True)
        nll = -tf.reduce_sum(images.log_prob(data["x_uint8"]), axis=[1, 2])
        total = tf.reduce_sum(nll)
    close(out, data["out"], 2e-5 * np.abs(data["out"]).max())
    np.testing.assert_allclose(nll, data["per_image_nll"], rtol=1e-5)
    np.testing.assert_allclose(total / (2 * 768 * math.log(2)), data["bpd"], atol=1e-4)
    gradients = tape.gradient(total, [pixels, *(place.variable for place in places)])
    # In float64 the same gradients lie up to 3.5e-4 of the largest away: the approximation divides by probabilities near 1e-5
    # that are differences of floats.
    close(gradients[0], data["grad_x"], 5e-4 * np.abs(data["grad_x"]).max())
    assert_gradients(places, gradients[1:], under(data, "grad/"), 5e-4)
    # All numbers together agree better: 0.8e-4 in float32, 1.1e-4 in float64.
    own = np.concatenate(
        [np.ravel(place.split(gradient.numpy())[0]) for place, gradient in zip(places, gradients[1:], strict=True)]
    )
    expected = np.concatenate([np.ravel(data[f"grad/{place.names[0]}"]) for place in places])
    assert np.linalg.norm(own - expected) < 1.5e-4 * np.linalg.norm(expected)


def test_dropout_of_the_network(monkeypatch):
    """With the masks of the released code, which come in the order of the units."""
    data, masks = arrays(MODEL), []

    def dropped(x, rate, keys):
        assert rate == 0.5 and keys is not None
        number = f"{len(masks):02d}"
        masks.append(number)
        shape = data[f"dropout_mask_shape/{number}"]
        kept = np.unpackbits(data[f"dropout_mask/{number}"])[: math.prod(shape)].reshape(shape)
        return x * tf.constant(2.0 * kept, tf.float32)

    monkeypatch.setattr(gated_residual, "dropout_rows", dropped)
    out = network()(to_pixels(data["x_uint8"]), None, row_keys(0))
    assert len(masks) == 16
    close(out, data["dropout_out"], 2e-5 * np.abs(data["dropout_out"]).max())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop("conv2d_3/V"), "missing: conv2d_3/V"),
        (lambda weights: weights.update({"dense_14/V": np.zeros([8, 8])}), "extra: dense_14/V"),
        (lambda weights: weights.update({"dense_0/g": np.zeros([9])}), "dense_0/g has shape"),
        (
            lambda weights: weights.update({"dense_0/g": np.full([8], np.nan)}),
            "dense_0/g holds values that are not finite",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(change, message):
    weights = export_weights(network())
    change(weights)
    with pytest.raises(ValueError, match=message):
        load_weights(PixelCNN(8, 100, num_blocks=1), weights)
