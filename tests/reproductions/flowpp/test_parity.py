"""Parity with the authors' released code: the arrays of tests/data/flowpp, which its modules computed in float64."""

import dataclasses
import functools
import math
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from reproductions.flowpp import model as flowpp
from reproductions.flowpp.experiments import EXPERIMENTS
from tests.slow import slow_but
from tfflows.bijectors import ActNorm, AffineCoupling, Chain, LogisticMixtureCoupling, Logit, OnHalves
from tfflows.interop.flowpp import export_weights, load_weights, released_places
from tfflows.networks import GatedConditioner

DATA = pathlib.Path(__file__).parents[2] / "data" / "flowpp"

SETTINGS = {
    "cifar": ("cifar10", {"width": 16, "dequantization_width": 12, "num_components": 4, "num_blocks": 2}),
    "imagenet32": ("imagenet32", {"width": 8, "num_components": 3, "num_blocks": 2, "num_heads": 2}),
}
MODELS = pytest.mark.parametrize("name", slow_but(["cifar"], list(SETTINGS)))
COUPLINGS = pytest.mark.parametrize("kind", ["attn", "gated_nin", "affine"])
CONTEXTS = pytest.mark.parametrize("context", ["noctx", "ctx"])


@functools.cache
def arrays(name):
    with np.load(DATA / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


def under(data, prefix):
    return {key.removeprefix(prefix): value for key, value in data.items() if key.startswith(prefix)}


def close(actual, expected, tolerance):
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


# --------------------------------------------------------------------------------------------------------- couplings


def coupling(kind, context):
    affine = kind == "affine"
    mixer = "maximum" if kind == "gated_nin" else "attention"
    filters = 3 * (2 if affine else 2 + 3 * 4)
    context_filters = 32 if context == "ctx" else 0
    network = GatedConditioner(16, filters, 2, mixer=mixer, context_filters=context_filters, dtype="float64")
    network.build([None, 8, 4, 3])
    options = {"conditional": "optional", "dtype": tf.float64}
    if affine:
        options |= {"scale": "tanh", "order": "scale_then_shift", "parameter_order": "contiguous"}
        made = AffineCoupling(network, **options)
    else:
        made = LogisticMixtureCoupling(network, 4, **options)
    load_weights(made, under(arrays(f"coupling_{kind}"), f"{context}/var/"))
    return made


def coupling_inputs(kind, context):
    data = arrays(f"coupling_{kind}")
    conditioning, transformed = (tf.constant(data[name], tf.float64) for name in ("cf", "ef"))
    condition = {"context": tf.constant(data["context"], tf.float64)} if context == "ctx" else None
    return conditioning, transformed, condition


@COUPLINGS
@CONTEXTS
def test_coupling(kind, context):
    bijector, expected = coupling(kind, context), under(arrays(f"coupling_{kind}"), f"{context}/f64/")
    conditioning, transformed, condition = coupling_inputs(kind, context)
    with tf.GradientTape() as tape:
        tape.watch([conditioning, transformed])
        y, log_det = bijector.inverse_and_log_det(tf.concat([conditioning, transformed], axis=-1), condition)
        kept, out = tf.split(y, 2, axis=-1)
        value = tf.reduce_sum(log_det) - 0.5 * tf.reduce_sum(out**2)
    variables = {name: place.variable for place in released_places(bijector) for name in place.names}
    gradients = tape.gradient(value, [conditioning, transformed, *variables.values()])
    np.testing.assert_array_equal(kept, conditioning)
    close(out, expected["y"], 1e-9)
    close(log_det, expected["logdet"], 1e-9)
    close(gradients[0], expected["grad_cf"], 1e-9)
    close(gradients[1], expected["grad_ef"], 1e-9)
    back, inverse_log_det = bijector.forward_and_log_det(tf.identity(y), condition)
    close(back[..., 3:], transformed, 1e-8)
    close(inverse_log_det, -expected["logdet"], 1e-8)


def test_gradients_of_the_weights():
    bijector, expected = coupling("attn", "ctx"), under(arrays("coupling_attn"), "ctx/gradient/")
    conditioning, transformed, condition = coupling_inputs("attn", "ctx")
    places = released_places(bijector)
    with tf.GradientTape() as tape:
        y, log_det = bijector.inverse_and_log_det(tf.concat([conditioning, transformed], axis=-1), condition)
        value = tf.reduce_sum(log_det) - 0.5 * tf.reduce_sum(y[..., 3:] ** 2)
    gradients = tape.gradient(value, [place.variable for place in places])
    assert {name for place in places for name in place.names} == set(expected)
    for place, gradient in zip(places, gradients, strict=True):
        for name, part in zip(place.names, place.split(gradient.numpy()), strict=True):
            reference = expected[name].reshape(part.shape)
            np.testing.assert_allclose(
                part, reference, rtol=0, atol=1e-6 * max(1.0, np.abs(reference).max()), err_msg=name
            )


# ------------------------------------------------------------------------------------------------------------ models


@functools.cache
def model(name):
    experiment, changes = SETTINGS[name]
    made = flowpp.build(dataclasses.replace(EXPERIMENTS[experiment], **changes), [8, 8, 3], 0, seed=0)
    load_weights(made, DATA / f"model_{name}.npz")
    return made


def dequantized(name):
    """Centred images, `u` and `ln r(u | x)` of the given noise."""
    data = arrays(f"model_{name}")
    centered = model(name)._centered(tf.constant(data["x"]))
    return centered, *model(name).dequantizer.transform_and_log_prob(tf.constant(data["eps"]), centered)


@MODELS
def test_dequantizer(name):
    expected = under(arrays(f"model_{name}"), "f64/")
    centered, u, log_prob = dequantized(name)
    context = model(name).dequantizer._condition(lambda layer, *inputs: layer(*inputs), centered, None)["context"]
    close(context, expected["context"], 1e-5)
    close(256 * (centered + 0.5) + u, expected["dequant_x"], 1e-6)
    close(-log_prob, expected["dequant_logd"], 2e-6)


@MODELS
def test_log_dets_of_the_layers(name):
    expected = under(arrays(f"model_{name}"), "f64/main_step/")
    expected = [expected[key] for key in sorted(expected)]
    centered, u, _ = dequantized(name)
    value, found = centered + u / 256, []
    for layer in flat(model(name).flow.bijector):
        value, log_det = layer.inverse_and_log_det(value)
        if isinstance(layer, Logit):
            log_det -= 192 * math.log(256.0)  # there from [0, 256]
        if isinstance(layer, Logit | ActNorm | OnHalves | LogisticMixtureCoupling):
            found.append(log_det)
    assert len(found) == len(expected)
    for actual, reference in zip(found, expected, strict=True):
        close(actual, reference, 3e-5)


def flat(chain):
    for bijector in chain.bijectors:
        yield from flat(bijector) if isinstance(bijector, Chain) else [bijector]


@MODELS
def test_model(name):
    expected = under(arrays(f"model_{name}"), "f64/")
    centered, u, log_prob = dequantized(name)
    latent, log_det = model(name).flow.bijector.inverse_and_log_det(centered + u / 256)
    close(latent, expected["y"], 1e-5)
    close(log_det - 192 * math.log(256.0), expected["main_logd"], 1e-6)
    total = model(name).elbo_of_dequantized(centered + u / 256) - log_prob
    close(total, expected["total_logp"], 1e-6)
    close(-total / (192 * math.log(2.0)), expected["bpd"], 2e-6)


@MODELS
def test_inverse(name):
    data = arrays(f"model_{name}")
    image, _ = model(name).flow.bijector.forward_and_log_det(tf.constant(data["z_near"]))
    np.testing.assert_allclose(256 * (image + 0.5), data["f64/near_x"], rtol=0, atol=2e-3)


def test_samples():
    """Not those of the 32x32 ImageNet model, which the released code cuts off at the quantiles 1e-5 and 1 - 1e-5."""
    data = arrays("model_cifar")
    image, log_det = model("cifar").flow.bijector.forward_and_log_det(tf.constant(data["z_query"]))
    np.testing.assert_allclose(256 * (image + 0.5), data["f64/sample_x"], rtol=0, atol=2e-3)
    close(log_det + 192 * math.log(256.0), data["f64/sample_logd"], 1e-5)


# ------------------------------------------------------------------------------------------------------------ loader


@MODELS
def test_export_is_the_inverse_of_load(name):
    weights = under(arrays(f"model_{name}"), "var/")
    exported = export_weights(model(name))
    assert set(exported) == set(weights)
    for key, value in exported.items():
        np.testing.assert_array_equal(value, weights[key].reshape(value.shape).astype(np.float32), err_msg=key)


def broken(kind):
    weights = under(arrays("coupling_affine"), "ctx/var/")
    scope = "AffineAttnCoupling"
    if kind == "missing":
        del weights[f"{scope}/proj_in/W"]
    elif kind == "extra":
        weights[f"{scope}/block2/conv/c1/W"] = weights[f"{scope}/block1/conv/c1/W"]
    elif kind == "shape":
        weights[f"{scope}/proj_out/b"] = weights[f"{scope}/proj_out/b"][:-1]
    else:
        weights[f"{scope}/pos_emb"] = np.full_like(weights[f"{scope}/pos_emb"], np.nan)
    return weights


@pytest.mark.parametrize(
    ("kind", "message"),
    [("missing", "proj_in/W"), ("extra", "block2/conv/c1/W"), ("shape", "proj_out/b"), ("value", "pos_emb.*finite")],
)
def test_weights_that_do_not_fit_change_nothing(kind, message):
    bijector = coupling("affine", "ctx")
    before = [place.variable.numpy() for place in released_places(bijector)]
    with pytest.raises(ValueError, match=message):
        load_weights(bijector, broken(kind))
    for place, value in zip(released_places(bijector), before, strict=True):
        np.testing.assert_array_equal(place.variable, value)
