"""Parity with the released IAF: the arrays of tests/data/agave, which its code computed in float32, channels first."""

import functools
import math
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tfflows.distributions.iaf_ladder import IAFLadder, double, log_normal
from tfflows.interop.iaf import export_weights, load_weights, released_places
from tfflows.math import discretized_logistic
from tfflows.math.masked_convolution import autoregressive_mask
from tfflows.networks import (
    AutoregressiveConv2D,
    AutoregressiveNetwork,
    ExponentialGainConv2D,
    ExponentialGainConv2DTranspose,
    ImageHead,
)
from tfflows.training.optimizers import IAFAdamax

DATA = pathlib.Path(__file__).parents[2] / "data" / "agave"
LAYERS = {
    "conv2d_3x3": lambda: ExponentialGainConv2D(6),
    "conv2d_5x5_s2": lambda: ExponentialGainConv2D(6, 5, strides=2),
    "deconv2d_3x3_s2": lambda: ExponentialGainConv2DTranspose(6),
    "deconv2d_5x5_s2": lambda: ExponentialGainConv2DTranspose(3, 5),
    "ar_conv2d_4to8_nozero": lambda: AutoregressiveConv2D(8),
    "ar_conv2d_4to8_zero": lambda: AutoregressiveConv2D(8, strict=True),
    "ar_conv2d_4to2_zero": lambda: AutoregressiveConv2D(2, strict=True),
    "ar_multiconv2d": lambda: AutoregressiveNetwork(4, 8),
}


@functools.cache
def arrays(name):
    with np.load(DATA / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


def under(mapping, prefix):
    return {key.removeprefix(prefix): value for key, value in mapping.items() if key.startswith(prefix)}


def last(x):
    """Channels last."""
    return np.moveaxis(x, 1, -1)


def close(actual, expected, absolute=2e-5):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=absolute)


def live(places, gradients):
    for place, gradient in zip(places, gradients, strict=True):
        yield place.names[0], gradient.numpy()


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name):
    data = under(arrays("iaf_layers"), f"{name}/")
    layer, outputs = LAYERS[name](), 2 if name == "ar_multiconv2d" else 1
    scale = 0.1 if name == "ar_multiconv2d" else 1.0  # there a caller multiplies
    if not layer.built:
        layer.build([None, *last(data["x"]).shape[1:]])
    inputs = [tf.constant(last(data[key])) for key in ("x", "in_context") if key in data]

    def expected(key):
        return scale * np.concatenate([last(data[f"{key}{number}"]) for number in range(outputs)], axis=-1)

    def assert_variables(prefix):
        found = export_weights(layer, "c/")
        for key, value in under(data, prefix).items():
            mask = getattr(layer, "live_taps", 1.0) if outputs == 1 and key.endswith("/V") else 1.0
            if outputs == 1 or not key.endswith("/V"):
                np.testing.assert_allclose(found[key], value * mask, rtol=2e-4, atol=2e-5, err_msg=key)

    start = under(data, "var_after_init/")
    # The directions of the start; the init sets the rest.
    load_weights(layer, {key: value if key.endswith("/V") else 0 * value for key, value in start.items()}, "c/")
    close(layer.initialize(*inputs), expected("out_of_init_pass"))
    assert_variables("var_after_init/")
    close(layer(*inputs), expected("out_after_init"), 5e-5)
    load_weights(layer, under(data, "var/"), "c/")
    places = released_places(layer, "c/")
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        out = layer(*inputs)
        total = tf.reduce_sum((out / scale) ** 2)
    close(out, expected("out"), 2e-5 * max(1, np.abs(expected("out")).max()))
    gradients = tape.gradient(total, [*inputs, *(place.variable for place in places)])
    for gradient, key in zip(gradients, ("grad_x", "grad_context"), strict=False):
        if key in data:
            close(gradient, last(data[key]), 1e-4 * np.abs(data[key]).max())
    references = under(data, "grad_var/")
    for key, gradient in live(places, gradients[len(inputs) :]):
        close(gradient, references[key], 1e-4 * np.abs(references[key]).max())


@pytest.mark.parametrize("strict", [0, 1])
@pytest.mark.parametrize("sizes", [(4, 8), (8, 4), (6, 6)])
def test_mask(sizes, strict):
    expected = arrays("iaf_layers")[f"mask3x3/in{sizes[0]}_out{sizes[1]}_zerodiag{strict}"]
    np.testing.assert_array_equal(autoregressive_mask(*sizes, strict), expected)


def test_functions():
    data = under(arrays("iaf_layers"), "fn/")
    x = last(data["resize_x"])
    np.testing.assert_array_equal(double(x), last(data["nn_up"]))
    np.testing.assert_array_equal(x[:, ::2, ::2], last(data["nn_down"]))
    gauss = under(data, "gauss/")
    close(log_normal(gauss["x"], gauss["mean"], gauss["logvar"] / 2), gauss["logp"], 1e-5)


def test_a_fixed_layer_has_the_moments_that_it_was_given():
    x = tf.random.stateless_normal([4, 6, 6, 4], [0, 1])
    for layer in (
        ExponentialGainConv2D(6, compatibility="fixed"),
        ExponentialGainConv2DTranspose(6, 3, compatibility="fixed"),
    ):
        layer.build([None, 6, 6, 4])
        close(layer.initialize(x), layer(x), 1e-5)
        np.testing.assert_allclose(tf.math.reduce_std(layer(x), axis=[0, 1, 2]), np.full(6, 0.1), rtol=1e-3)
    norm = tf.sqrt(tf.reduce_sum(layer.effective_kernel() ** 2, axis=[0, 1, 3]))
    np.testing.assert_allclose(norm, tf.exp(layer.gain), rtol=1e-5)


# ------------------------------------------------------------------------------------------------------------ model

MODEL = "iaf_d1b3_16_klmin0.1"


def model(prefix):
    """Ladder, head and log-scale, with the directions of the start and the other weights under a prefix."""
    ladder, head = IAFLadder(8, 4, 1, 3), ImageHead(8)
    data = arrays(MODEL)
    weights = {**under(data, "var/"), **under(data, prefix)}
    log_scale = tf.Variable(weights.pop("dec_log_stdv"))
    in_head = {key: weights.pop(key) for key in list(weights) if key.startswith("x_dec/")}
    load_weights(ladder, weights)
    load_weights(head, in_head)
    return ladder, head, log_scale


def images():
    levels = last(arrays(MODEL)["x_uint8"]).astype(np.float32)
    return levels, tf.constant((levels + 0.5) / 256 - 0.5)


def noise(name, offset):
    data = arrays(MODEL)
    return [tf.constant(last(data[f"noise_{name}/{2 * layer + offset:02d}"])) for layer in range(3)]


def objective(ladder, head, log_scale, cancelling=False, free_bits=0.1):
    """With the probability of a level as ours plus the 1e-7 of the released code, or as there a difference that cancels."""
    levels, x = images()
    h, kl = ladder(x, noise("train", 1))
    mean = head(h)
    if cancelling:
        lower = ((levels - 128) / 256 - mean) / tf.exp(log_scale)
        mass = tf.sigmoid(lower + tf.exp(-log_scale) / 256) - tf.sigmoid(lower)
    else:
        mass = tf.exp(discretized_logistic.log_prob(levels, 256 * (mean + 0.5), log_scale + math.log(256)))
    log_prob = tf.reduce_sum(tf.math.log(mass + 1e-7), axis=[1, 2, 3])
    free = [tf.maximum(tf.reduce_mean(tf.reduce_sum(layer, axis=[1, 2]), axis=0), free_bits) for layer in kl]
    total = 4 * tf.add_n([tf.reduce_sum(layer) for layer in free]) - tf.reduce_sum(log_prob)
    return total, mean, log_prob, kl, free


def test_data_dependent_init_of_the_ladder():
    data = arrays(MODEL)
    ladder, head, _ = model("var_init/")
    for layer in (ladder, head):
        for place in released_places(layer):
            if place.names[0].split("/")[-1] in "gb":
                place.variable.assign(tf.zeros_like(place.variable))
    h, _ = ladder.initialize(images()[1], noise("init", 0))
    close(head.initialize(h), last(data["init/x_mean"]))
    found = {**export_weights(ladder), **export_weights(head)}
    for key, value in under(data, "var_init/").items():
        if key != "dec_log_stdv":
            np.testing.assert_allclose(found[key], value, rtol=1e-3, atol=1e-4, err_msg=key)


def test_ladder():
    data = arrays(MODEL)
    parts = model("var/")
    places = [place for part in parts[:2] for place in released_places(part)]
    total, mean, log_prob, kl, free = objective(*parts)
    close(mean, last(data["train/x_mean"]))
    np.testing.assert_allclose(log_prob, data["train/log_pxz_f64"], rtol=2e-4)
    by_image = [tf.reduce_sum(layer, axis=[1, 2, 3]) for layer in kl]
    np.testing.assert_allclose(tf.add_n(by_image), data["train/kl_cost_f64"], rtol=1e-5)
    for layer in range(3):
        np.testing.assert_allclose(by_image[layer], data[f"train/kl_cost_layers/{layer:02d}"], rtol=2e-5)
        np.testing.assert_allclose(tf.reduce_sum(free[layer]), data[f"train/kl_obj_layers/{layer:02d}"][0], rtol=2e-5)
    np.testing.assert_allclose(total, data["train/obj_f64"], rtol=1e-4)
    bits = tf.reduce_mean(tf.add_n(by_image) - log_prob) / (768 * math.log(2))
    np.testing.assert_allclose(bits, data["train/bits"], atol=2e-3)
    with tf.GradientTape() as tape:
        total = objective(*parts, cancelling=True)[0]
    np.testing.assert_allclose(total, data["train/obj"], rtol=1e-4)
    gradients = tape.gradient(total, [place.variable for place in places])
    references, errors = under(data, "grad/"), []
    for key, gradient in live(places, gradients):
        if key.startswith("IAF_0_2/up_conv3"):
            assert not gradient.any()  # of no use, there without a gradient
        else:
            # What cancels there is rounded otherwise; by itself each layer's gradient is checked above.
            close(gradient, references[key], 1e-2 * np.abs(references[key]).max())
            errors.append(np.abs(gradient - references[key]).max() / np.abs(references[key]).max())
    assert np.median(errors) < 1e-3


def test_samples_of_the_prior():
    ladder, head, _ = model("var/")
    close(head(ladder.decode(noise("sample", 0))), last(arrays(MODEL)["sample/x_mean"]))


def test_export_is_the_inverse_of_load():
    weights = under(arrays(MODEL), "var/")
    ladder, head, _ = model("var/")
    found = {**export_weights(ladder), **export_weights(head)}
    assert set(found) == set(weights) - {"dec_log_stdv"}
    for key, value in found.items():
        kept = weights[key] if "ar_multiconv2d" not in key or key[-1] != "V" else np.where(value == 0, 0, weights[key])
        np.testing.assert_array_equal(value, kept, err_msg=key)


@pytest.mark.slow
def test_steps_of_the_released_adamax():
    """The objective before each of three steps: its likelihood cancels, so most parameters are equal, not all."""
    data, (ladder, head, log_scale) = arrays(MODEL), model("var/")
    places = [*released_places(ladder), *released_places(head)]
    variables = [place.variable for place in places if not place.names[0].startswith("IAF_0_2/up_conv3")] + [log_scale]
    optimizer = IAFAdamax(0.002)
    optimizer.build(variables)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            total = objective(ladder, head, log_scale, cancelling=True)[0]
        optimizer.apply(tape.gradient(total, variables), variables)
        return total

    for expected in data["adamax/obj"]:
        np.testing.assert_allclose(step(), expected, rtol=1e-3)
    np.testing.assert_allclose(objective(ladder, head, log_scale, True)[0], data["adamax/obj_final"], rtol=1e-3)
    np.testing.assert_allclose(log_scale, data["adamax_var/dec_log_stdv"], atol=1e-5)
    errors = [
        np.abs(place.variable.numpy() - data[f"adamax_var/{place.names[0]}"]).max()
        for place in places
        if "ar_multiconv2d" not in place.names[0]  # of the others the masked entries differ
    ]
    assert np.median(errors) < 1e-5
