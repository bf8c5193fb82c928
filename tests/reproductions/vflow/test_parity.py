"""Parity with the authors' released code: the arrays of tests/data/vflow, which its modules computed in float64."""

import dataclasses
import functools
import math
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from reproductions.vflow import model as vflow
from reproductions.vflow.experiments import EXPERIMENTS
from tfflows.bijectors import ActNorm, Chain, LogisticMixtureCoupling, OnHalves
from tfflows.distributions.dequantizers import bits_per_dim
from tfflows.interop.vflow import export_weights, load_weights

FILE = pathlib.Path(__file__).parents[2] / "data" / "vflow" / "model_cifar.npz"
with np.load(FILE) as file:
    ARRAYS = {key: file[key] for key in file.files}
EXPECTED = {key.removeprefix("f64/"): value for key, value in ARRAYS.items() if key.startswith("f64/")}
SETTINGS = {"width": 12, "num_blocks": 2, "num_components": 4, "augmenter_width": 8, "augmenter_blocks": 1}
LOG_BINS = 192 * math.log(256.0)


def close(actual, expected, tolerance):
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


@functools.cache
def model():
    made = vflow.build(dataclasses.replace(EXPERIMENTS["cifar10"], **SETTINGS), [8, 8, 3], 0, seed=0)
    load_weights(made, FILE)
    return made


@functools.cache
def steps():
    """Of the given noise: logits y of the dequantized images with their bound, z with its log-density, latents with theirs."""
    centered = model()._centered(tf.constant(ARRAYS["x"]))
    u, log_r = model().dequantizer.transform_and_log_prob(tf.constant(ARRAYS["eps_dequant"]), centered)
    y, log_det = model().flow._preprocessed(centered + u / 256)
    z, log_q = model().flow.augmenter.transform_and_log_prob(tf.constant(ARRAYS["eps_q"]), y)
    latent, main_log_det = model().flow.bijector.inverse_and_log_det(tf.concat([y, z], axis=-1))
    return {
        "dequant_x": y,
        "dequant_logd": log_det - log_r - LOG_BINS,  # there from [0, 256]
        "z": z,
        "logq_z": log_q,
        "y": latent,
        "main_logd": main_log_det,
        "prior_logp": model().flow.distribution.log_prob(latent),
    }


@pytest.mark.parametrize("name", ["dequant_x", "dequant_logd", "z", "logq_z", "y", "main_logd", "prior_logp"])
def test_each_part(name):
    close(steps()[name], EXPECTED[name], 2e-6 if EXPECTED[name].ndim == 1 else 2e-5)


def test_context_of_q():
    context = model().flow.augmenter._condition(lambda layer, *inputs: layer(*inputs), steps()["dequant_x"], None)
    close(context["context"], EXPECTED["q_context"], 2e-5)


@pytest.mark.parametrize("part", ["dequant", "q", "main"])
def test_log_dets_of_the_layers(part):
    expected = [EXPECTED[key] for key in sorted(EXPECTED) if key.startswith(f"{part}_step/")]
    flow, condition = model().flow, None
    if part == "main":
        chain, value = flow.bijector, tf.concat([steps()["dequant_x"], steps()["z"]], axis=-1)
    else:
        noise = model().dequantizer if part == "dequant" else flow.augmenter
        seen = model()._centered(tf.constant(ARRAYS["x"])) if part == "dequant" else steps()["dequant_x"]
        condition = noise._condition(lambda layer, *inputs: layer(*inputs), seen, None)
        chain, value = noise.bijector, tf.constant(ARRAYS[f"eps_{part}"])
    found = []
    for layer in flat(chain):
        given = condition if isinstance(layer, LogisticMixtureCoupling) else None
        if hasattr(layer, "inverse_and_log_det"):
            value, log_det = layer.inverse_and_log_det(value, given)
        else:  # TFP's sigmoid
            log_det = layer.inverse_log_det_jacobian(value, event_ndims=3)
        if isinstance(layer, ActNorm | OnHalves | LogisticMixtureCoupling) or layer.name == "sigmoid":
            found.append(log_det)
    assert len(found) == len(expected)
    for actual, reference in zip(found, expected, strict=True):
        close(actual, reference, 3e-5)


def flat(chain):
    for bijector in chain.bijectors:
        yield from flat(bijector) if isinstance(bijector, Chain) else [bijector]


def test_bound():
    found = steps()
    log_joint = model().flow.log_joint(found["dequant_x"], found["z"])
    close(log_joint, EXPECTED["logp_xz"], 2e-6)
    total = found["dequant_logd"] + log_joint - found["logq_z"]
    close(total, EXPECTED["total_logp"], 2e-6)
    close(bits_per_dim(total, model().num_dimensions), EXPECTED["bpd"], 2e-6)


def test_inverse():
    joint, log_det = model().flow.bijector.forward_and_log_det(tf.constant(ARRAYS["z_near"]))
    np.testing.assert_allclose(joint, EXPECTED["near_x"], rtol=0, atol=1e-4)
    close(log_det, EXPECTED["near_logd"], 1e-5)
    back, _ = model().flow.bijector.forward_and_log_det(tf.identity(steps()["y"]))
    np.testing.assert_allclose(back, EXPECTED["x_rec"], rtol=0, atol=1e-3)


def test_export_is_the_inverse_of_load():
    weights = {key.removeprefix("var/"): value for key, value in ARRAYS.items() if key.startswith("var/")}
    exported = export_weights(model())
    assert set(exported) == set(weights)
    for key, value in exported.items():
        np.testing.assert_array_equal(value, weights[key].reshape(value.shape).astype(np.float32), err_msg=key)


def test_a_q_that_is_no_flow_has_no_released_weights():
    other = vflow.build(
        dataclasses.replace(EXPERIMENTS["cifar10"], **SETTINGS, augmenter="normal"), [8, 8, 3], 0, seed=0
    )
    with pytest.raises(ValueError, match="need augmenter=flow"):
        load_weights(other, FILE)
