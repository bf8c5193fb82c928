"""Parity with the authors' released code: every array of the fixtures in tests/data/glow.

The arrays were computed by the released modules; rounding between two float32 programs is about 1e-6 relative.
"""

import dataclasses
import functools
import math
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from reproductions.glow import model as glow
from reproductions.glow.experiments import EXPERIMENTS
from tfflows.bijectors import ActNorm, GaussianPrior
from tfflows.distributions.dequantizers import bits_per_dim, to_images
from tfflows.interop.glow import load_weights, released_variables
from tfflows.math.convolution import convolution_with_border
from tfflows.math.squeeze import squeeze, unsqueeze
from tfflows.networks import ActNormConv2D, TopPrior, ZeroConv2D, ZeroDense

DATA = pathlib.Path(__file__).parents[2] / "data" / "glow"


@functools.cache
def arrays(name):
    with np.load(DATA / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


def under(data, prefix):
    return {key.removeprefix(prefix): value for key, value in data.items() if key.startswith(prefix)}


def close(actual, expected, tolerance=1e-5):
    """Relative to each value, or to the array's largest one for sums in which terms cancel."""
    expected = np.asarray(expected)
    actual = np.reshape(actual, expected.shape)
    atol = tolerance * max(1.0, np.abs(expected).max(initial=0.0))
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=atol)


def close_relative_to_largest(actual, expected, tolerance=1e-5):
    """For gradients, whose sizes have no natural scale."""
    actual = np.reshape(actual, np.shape(expected))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * max(np.abs(expected).max(initial=0.0), 1e-6))


def experiment(permutation, coupling="affine"):
    return dataclasses.replace(
        EXPERIMENTS["cifar10"], depth=2, width=16, permutation=permutation, coupling=coupling, beta_2=1 - 1 / 5
    )


# ------------------------------------------------------------------------------------------------------------ layers


ACTNORMS = {
    "actnorm4": {},
    "actnorm2": {"event_ndims": 1},
    "actnorm4_scale2": {"initial_scale": 2.0},
    "actnorm4_lsf1": {"log_scale_factor": 1.0},
}


@pytest.mark.parametrize("name", ACTNORMS)
def test_actnorm(name):
    data = arrays("layers")
    x, log_det_in = data["in/x2" if name == "actnorm2" else "in/x4"], data["in/logdet_in"]
    actnorm = ActNorm(x.shape[-1:], **ACTNORMS[name])

    close(actnorm.initialize(tf.constant(x)), data[f"out/{name}_init/0"])
    close(log_det_in + actnorm.inverse_and_log_det(x)[1], data[f"out/{name}_init/1"])
    close(actnorm.bias, data[f"init_var/{name}/an_center/b"])
    close(actnorm.log_scale, data[f"init_var/{name}/an_scale/logs"])

    actnorm.bias.assign(data[f"var/{name}/an_center/b"].ravel())
    actnorm.log_scale.assign(data[f"var/{name}/an_scale/logs"].ravel())
    y, log_det = actnorm.inverse_and_log_det(x)
    close(y, data[f"out/{name}/0"])
    close(log_det_in + log_det, data[f"out/{name}/1"])
    if f"out/{name}_rev/0" in data:
        y, log_det = actnorm.forward_and_log_det(x)
        close(y, data[f"out/{name}_rev/0"])
        close(log_det_in + log_det, data[f"out/{name}_rev/1"])


def test_reversed_actnorms_are_there():
    assert {"out/actnorm4_rev/0", "out/actnorm2_rev/0"} <= set(arrays("layers"))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("conv2d_3x3", {}),
        ("conv2d_1x1", {"kernel_size": 1}),
        ("conv2d_3x3_noactnorm", {"use_actnorm": False}),
    ],
)
def test_hidden_convolution(name, options):
    data = arrays("layers")
    x = tf.constant(data["in/x4"])
    layer = ActNormConv2D(9, **options)
    layer.build(x.shape)

    def assign(weights):
        layer.kernel.assign(weights["W"])
        if layer.use_actnorm:
            layer.bias.assign(weights["actnorm_center/b"].ravel())
            layer.log_scale.assign(weights["actnorm_scale/logs"].ravel())
        else:
            layer.bias.assign(weights["b"].ravel())

    start = under(data, f"init_var/{name}/c/")
    assign({key: value if key == "W" else np.zeros_like(value) for key, value in start.items()})
    close(layer.initialize(x), data[f"out/{name}_init"])
    if layer.use_actnorm:
        close(layer.bias, start["actnorm_center/b"])
        close(layer.log_scale, start["actnorm_scale/logs"])
    assign(under(data, f"var/{name}/c/"))
    close(layer(x), data[f"out/{name}"])


def assign_zero_layer(layer, weights):
    layer.kernel.assign(weights["W"])
    layer.bias.assign(weights["b"].ravel())
    layer.log_scale.assign(weights["logs"].ravel())


@pytest.mark.parametrize(
    ("name", "layer", "inputs"),
    [("conv2d_zeros_3x3", ZeroConv2D(8), "in/x4"), ("linear_zeros", ZeroDense(8), "in/x2")],
)
def test_layers_that_are_zero_at_init(name, layer, inputs):
    data = arrays("layers")
    layer.build(data[inputs].shape)
    for variable, key in zip((layer.kernel, layer.bias, layer.log_scale), ("W", "b", "logs"), strict=True):
        close(variable, data[f"init_var/{name}/zeros/{key}"])
    assign_zero_layer(layer, under(data, f"var/{name}/zeros/"))
    close(layer(tf.constant(data[inputs])), data[f"out/{name}"])


def test_squeeze():
    data = arrays("layers")
    np.testing.assert_array_equal(squeeze(tf.constant(data["in/squeeze_in"])), data["out/squeeze2d"])
    np.testing.assert_array_equal(unsqueeze(tf.constant(data["in/unsqueeze_in"])), data["out/unsqueeze2d"])


def test_edge_padding():
    data = arrays("layers")
    padded = data["out/edge_pad"]
    np.testing.assert_array_equal(padded[:, 1:-1, 1:-1, :-1], data["in/x4"])
    assert not padded[:, [0, -1], :, :-1].any() and not padded[:, :, [0, -1], :-1].any()
    kernel = tf.random.stateless_normal([3, 3, padded.shape[-1], 2], [0, 1])
    inner, border = convolution_with_border(tf.constant(data["in/x4"]), kernel)
    close(inner + border, tf.nn.conv2d(padded, kernel, 1, "VALID"))


def log_normal(eps):
    return -0.5 * tf.reduce_sum(eps**2 + math.log(2 * math.pi), axis=[1, 2, 3])


def test_split_prior():
    data = arrays("layers")
    network = ZeroConv2D(12)
    network.build([None, 8, 8, 6])
    prior = GaussianPrior(network)
    for variable, key in zip((network.kernel, network.bias, network.log_scale), ("W", "b", "logs"), strict=True):
        close(variable, data[f"init_var/sp/pool0/conv/{key}"])
    assign_zero_layer(network, under(data, "var/sp/pool0/conv/"))

    z1, z2 = tf.split(tf.constant(data["in/split_z"]), 2, axis=-1)
    eps, log_det = prior.inverse_and_log_det(z2, z1)
    close(squeeze(z1), data["out/split2d/0"])
    close(data["in/split_objective_in"] + log_det + log_normal(eps), data["out/split2d/1"])
    close(eps, data["out/split2d/2"])

    z1 = unsqueeze(tf.constant(data["in/split_z1"]))
    z2 = prior.forward(tf.constant(data["in/split_eps"]), condition=z1)
    close(tf.concat([z1, z2], axis=-1), data["out/split2d_reverse"])


@pytest.mark.parametrize(
    ("name", "learn", "conditional"),
    [
        ("prior_plain", False, False),
        ("prior_learntop", True, False),
        ("prior_ycond", False, True),
        ("prior_both", True, True),
    ],
)
def test_top_prior(name, learn, conditional):
    data = arrays("layers")
    network = TopPrior([4, 4, 6], learn=learn, num_classes=10 if conditional else 0)
    network.build()
    prior = GaussianPrior(network, conditional=conditional, parameter_order="contiguous")
    for part, holder in (("p", network), ("y_emb", getattr(network, "label_embedding", None))):
        weights = under(data, f"var/{name}/prior/{part}/")
        if weights:
            for value in under(data, f"init_var/{name}/prior/{part}/").values():
                assert not value.any()
            assign_zero_layer(holder, weights)
    condition = tf.constant(data["in/prior_y_onehot"].argmax(axis=1)) if conditional else None
    eps, log_det = prior.inverse_and_log_det(data["in/prior_z"], condition)
    close(log_det + log_normal(eps), data[f"out/{name}/0"])
    close(eps, data[f"out/{name}/1"])
    close(prior.forward_and_log_det(data["in/prior_eps"], condition)[0], data[f"out/{name}/2"])


# ------------------------------------------------------------------------------------------------------------- steps


PERMUTATIONS = {
    "reverse": "reverse",
    "shuffle": "shuffle",
    "invconv": "invertible",
    "invconv_lu": "invertible_lu",
}


@pytest.mark.parametrize("coupling", ["additive", "affine"])
@pytest.mark.parametrize("permutation", PERMUTATIONS)
def test_step(permutation, coupling):
    name = f"step_{permutation}_{coupling}"
    data = arrays(name)
    step = glow.flow_step(experiment(PERMUTATIONS[permutation], coupling), [8, 8, 12], seed=0)

    # Data-dependent init, from the matrices as drawn.
    initial = under(data, "ddi/var/")
    load_weights(step, {n: np.zeros_like(v) if n.endswith(("/b", "/logs")) else v for n, v in initial.items()})
    x = tf.constant(data["ddi/x"])
    close(step.initialize(x), data["ddi/y"])
    for key, variable in released_variables(step).items():
        close(variable, initial[key])
    y, log_det = step.inverse_and_log_det(x)
    for suffix in ("", "_again"):
        close(y, data[f"ddi/y{suffix}"])
        close(log_det, data[f"ddi/logdet{suffix}"])

    # Random weights, both directions; no cache may serve the way back.
    load_weights(step, DATA / f"{name}.npz")
    x = tf.constant(data["x"])
    variables = released_variables(step)
    trained = {key: variable for key, variable in variables.items() if variable.trainable}
    with tf.GradientTape() as tape:
        tape.watch(x)
        y, log_det = step.inverse_and_log_det(x)
        log_det = data["logdet_in"] + log_det
        total = tf.reduce_sum(y * data["ct_y"]) + tf.reduce_sum(log_det * data["ct_logdet"])
    close(y, data["y"])
    close(log_det, data["logdet_out"])
    x_again, log_det_back = step.forward_and_log_det(y)
    close(x_again, data["x_rec"])
    close(log_det + log_det_back, data["logdet_rec"], 1e-4)  # a difference of sums of some hundred nats
    reversed_x, reversed_log_det = step.forward_and_log_det(data["rev/y"])
    close(reversed_x, data["rev/x"])
    close(reversed_log_det, data["rev/logdet"])

    expected = under(data, "grad/")
    assert set(expected) == set(trained)
    gradients = tape.gradient(total, {**trained, "x": x})
    close_relative_to_largest(gradients.pop("x"), data["grad_x"])
    for key, gradient in gradients.items():
        close_relative_to_largest(gradient, expected[key])


# ------------------------------------------------------------------------------------------------------------ models


MODELS = {"model_affine_8bit": "invertible", "model_affine_8bit_lu": "invertible_lu"}
MODEL = pytest.mark.parametrize("name", MODELS)


@functools.cache
def model_of(name):
    return glow.build(experiment(MODELS[name]), [32, 32, 3], num_classes=10, seed=0)


def loaded(name):
    model = model_of(name)
    load_weights(model, DATA / f"{name}.npz")
    return model


@functools.cache
def loss_and_gradients(name):
    """One traced function for all batches; the gradients by the authors' names."""
    model = model_of(name)
    trained = {key: v for key, v in released_variables(model).items() if v.trainable}

    @tf.function(autograph=False)
    def call(images, noise):
        with tf.GradientTape() as tape:
            v = model.dequantize_with(images, noise)
            nats = model.elbo_of_dequantized(v)
            loss = tf.reduce_mean(bits_per_dim(nats, model.num_dimensions))
        return v, nats, loss, tape.gradient(loss, trained)

    return call


@MODEL
def test_model_likelihood_and_gradients(name):
    data = arrays(name)
    loaded(name)
    v, nats, loss, gradients = loss_and_gradients(name)(data["x"], data["noise"])
    close(v, data["x_noisy"])
    np.testing.assert_allclose(nats, data["objective_nats"], rtol=1e-6)
    np.testing.assert_allclose(bits_per_dim(nats, 3072), data["bits_per_dim"], atol=1e-5)
    np.testing.assert_allclose(loss, data["loss_mean"], atol=1e-5)
    expected = under(data, "grad/")
    assert set(expected) == set(gradients)
    for key, gradient in gradients.items():
        close_relative_to_largest(gradient, expected[key], 1e-4)


@MODEL
def test_model_level_by_level(name):
    data = arrays(name)
    model = loaded(name)
    bijector = model.flow.bijector
    z = tf.constant(data["x_noisy"])
    objective = tf.fill([4], np.float32(-3072 * math.log(256)))
    log_det_sum, log_priors = tf.zeros([4]), []
    for index, level in enumerate(bijector.levels):
        squeezing, *steps = level.flow.bijectors
        z = squeezing.inverse(z)
        close(z, data[f"level{index}/z_in"])
        np.testing.assert_allclose(objective, data[f"level{index}/objective_in"], rtol=1e-6)
        for step in steps:
            z, log_det = step.inverse_and_log_det(z)
            objective += log_det
            log_det_sum += log_det
        close(z, data[f"level{index}/z_out"])
        np.testing.assert_allclose(objective, data[f"level{index}/objective_out"], rtol=1e-6)
        kept, out = tf.split(z, 2, axis=-1) if index < 2 else (None, z)
        eps, log_det = level.prior.inverse_and_log_det(out, kept)
        log_priors.append(log_det + log_normal(eps))
        objective += log_priors[-1]
        close(eps, data[f"eps{index}"])
        if index < 2:
            close(squeeze(kept), data[f"split{index}/z1"])
            np.testing.assert_allclose(objective, data[f"split{index}/objective"], rtol=1e-6)
            z = kept
    close(z, data["top/z"])
    np.testing.assert_allclose(log_priors[-1], data["top/logp"], rtol=1e-5)
    np.testing.assert_allclose(tf.stack(log_priors, axis=1), data["logp_eps"], rtol=1e-5)
    np.testing.assert_allclose(log_det_sum, data["logdet"], rtol=1e-5)
    np.testing.assert_allclose(objective, data["objective_nats"], rtol=1e-6)


def equal_but_for_bin_edges(actual, expected):
    difference = np.abs(np.asarray(actual, int) - np.asarray(expected, int))
    assert difference.max() <= 1 and (difference > 0).sum() <= 2


@MODEL
def test_model_latents_and_decoding(name):
    data = arrays(name)
    model = loaded(name)
    bijector = model.flow.bijector
    latents = bijector.inverse(tf.constant(data["x_noisy"]))
    for index, part in enumerate(bijector.split_latent(latents)):
        close(part, data[f"eps{index}"])
    given = bijector.join_latent([tf.constant(data[f"eps{index}"]) for index in range(3)])
    close(model.decode_values(given), data["decode/x_float"])
    close(model.decode_values(tf.identity(latents)), data["x_noisy"])
    equal_but_for_bin_edges(model.decode(given), data["decode/x_uint8"])
    equal_but_for_bin_edges(to_images(tf.constant(data["decode/x_float"]), 8), data["decode/x_uint8"])


@MODEL
@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_model_samples(name, temperature):
    data = arrays(name)
    model = loaded(name)
    eps = model.flow.bijector.join_latent([tf.constant(data[f"sample/eps{index}"]) for index in range(3)])
    expected = under(data, f"sample/T{temperature}/")
    close(model.decode_values(temperature * eps), expected["x_float"])
    equal_but_for_bin_edges(model.decode(temperature * eps), expected["x_uint8"])


@MODEL
def test_model_data_dependent_init(name):
    data = arrays(name)
    model = model_of(name)
    initial = under(data, "ddi/var/")
    load_weights(model, {n: np.zeros_like(v) if "actnorm" in n else v for n, v in initial.items()})
    v = model.dequantize_with(data["ddi/x"], data["ddi/noise"])
    model.flow.bijector.initialize(v)
    for key, variable in released_variables(model).items():
        close(variable, initial[key])
    loss = tf.reduce_mean(bits_per_dim(model.elbo_of_dequantized(v), 3072))
    np.testing.assert_allclose(loss, data["ddi/loss_mean"], atol=1e-5)


def test_three_optimizer_steps():
    name = "model_affine_8bit"
    data = arrays(name)
    model = loaded(name)
    trained = {key: v for key, v in released_variables(model).items() if v.trainable}
    optimizer = glow.optimizer(experiment("invertible"), learning_rate=0.0)
    optimizer.build(list(trained.values()))
    for step in range(3):
        optimizer.learning_rate = float(data["train/lr"][step])
        _, _, loss, gradients = loss_and_gradients(name)(data["train/x"][step], data["train/noise"][step])
        np.testing.assert_allclose(loss, data[f"train/loss{step}"], atol=1e-5)
        optimizer.apply([gradients[key] for key in trained], list(trained.values()))
    expected = under(data, "train/var_after_step3/")
    assert set(expected) == set(trained)
    for key, variable in trained.items():
        # The rule divides by running maxima: a gradient near zero amplifies its own rounding.
        np.testing.assert_allclose(
            variable, expected[key].reshape(variable.shape), atol=1e-3 * 3 * data["train/lr"].max()
        )


@pytest.mark.parametrize("name", [path.stem for path in sorted(DATA.glob("*.npz"))])
def test_no_array_of_the_fixtures_is_left_out(name):
    """A new array has to be added to a test above."""
    known = (
        "var/", "ddi/", "grad", "in/", "init_var/", "out/", "cfg/", "decode/", "sample/", "train/", "level", "split",
        "eps", "top/", "rev/", "ct_", "logdet", "x", "y", "noise", "label", "logp_eps", "objective_nats",
        "bits_per_dim", "loss_mean",
    )  # fmt: skip
    assert all(key.startswith(known) for key in arrays(name))
    if name in MODELS:
        config = under(arrays(name), "cfg/")
        settings = experiment(MODELS[name])
        assert (config["n_levels"], config["depth"], config["width"]) == (
            settings.levels,
            settings.depth,
            settings.width,
        )
        assert (config["n_bits_x"], config["learntop"], config["ycond"]) == (settings.num_bits, True, False)
        assert (config["beta1"], 1 - 1 / config["train_its"]) == (settings.beta_1, settings.beta_2)
        np.testing.assert_array_equal(arrays(name)["noise_range"], [0.0, 1 / 256])
