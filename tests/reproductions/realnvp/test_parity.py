"""Parity with the authors' released code: every array of tests/data/realnvp, which its functions computed in float32."""

import contextlib
import dataclasses
import functools
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from reproductions.realnvp import model as realnvp
from reproductions.realnvp.experiments import EXPERIMENTS
from tfflows.bijectors import Chain, Level, MultiScale
from tfflows.distributions.dequantizers import bits_per_dim
from tfflows.interop.realnvp import export_weights, load_weights, released_variables
from tfflows.math.random import row_keys
from tfflows.math.squeeze import squeeze, unsqueeze
from tfflows.tracing.batch_statistics import batch_statistics
from tfflows.tracing.variables import count_parameters, short_variable_names
from tfflows.training.optimizers import global_norm

PATH = pathlib.Path(__file__).parents[2] / "data" / "realnvp" / "tiny_affine.npz"
TINY = dataclasses.replace(EXPERIMENTS["cifar10"], image_size=8, levels=2, width=4, num_blocks=1)
# Of its README: tensors and bits/dim, log-determinants and log-likelihoods in nats.
TENSOR, LOG_DET, LOG_LIKELIHOOD = 1e-5, 5e-5, 2e-4


@functools.cache
def arrays():
    with np.load(PATH) as file:
        return {key: file[key] for key in file.files}


def under(prefix):
    return {key.removeprefix(prefix): value for key, value in arrays().items() if key.startswith(prefix)}


@functools.cache
def built():
    with short_variable_names():
        return realnvp.build(TINY, [8, 8, 3], 0, seed=1)


def loaded():
    """The model with the authors' weights; what a test before this one has changed is undone."""
    load_weights(built(), under("var/"))
    return built()


def without_logit():
    """The authors' encoder and decoder begin and end where the logit is done."""
    first, *others = loaded().flow.bijector.levels
    return MultiScale([Level(Chain(first.flow.bijectors[1:])), *others], [8, 8, 3])


def close(actual, expected, atol=TENSOR):
    np.testing.assert_allclose(np.reshape(actual, np.shape(expected)), expected, rtol=1e-5, atol=atol)


def centered():
    """The images of the fixtures as the model takes them, in [-1/2, 1/2)."""
    return tf.constant(arrays()["x_in"] - 0.5)


def as_image(latent):
    """Our latent, a vector of the parts that leave, laid out as the authors': every pixel where it came from."""
    *parts, out = built().flow.bijector.split_latent(latent)
    for part in reversed(parts):
        out = unsqueeze(tf.concat([out, part], axis=-1), order="even_first")
    return out


def as_vector(image):
    parts, rest = [], tf.constant(image)
    for _ in range(TINY.levels - 1):
        rest, part = tf.split(squeeze(rest, order="even_first"), 2, axis=-1)
        parts.append(part)
    return built().flow.bijector.join_latent([*parts, rest])


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_latents_and_likelihoods(mode):
    with batch_statistics(update=False) if mode == "train" else contextlib.nullcontext():
        latent, log_det_flow = without_logit().inverse_and_log_det(arrays()["x_logit"])
    close(as_image(latent), arrays()[f"{mode}/z"])
    close(log_det_flow, arrays()[f"{mode}/log_det_flow"], LOG_DET)
    log_det = log_det_flow + arrays()["transform_cost"]
    close(log_det, arrays()[f"{mode}/log_det_total"], LOG_DET)
    prior = built().flow.distribution.log_prob(latent)
    close(prior, arrays()[f"{mode}/prior_ll"], LOG_LIKELIHOOD)
    close(prior + log_det, arrays()[f"{mode}/log_likelihood"], LOG_LIKELIHOOD)
    close(-np.mean(prior + log_det), arrays()[f"{mode}/cost_mean"], LOG_LIKELIHOOD)
    elbo = prior + log_det - 192 * 8 * np.log(2)
    close(np.mean(bits_per_dim(elbo, 192)), arrays()[f"{mode}/bits_per_dim"])


def test_squash_and_logit():
    logit = built().flow.bijector.levels[0].flow.bijectors[0]
    x, log_det = logit.inverse_and_log_det(centered())
    close(x, arrays()["x_logit"])
    close(log_det, arrays()["transform_cost"], LOG_DET)


def test_pixels_and_noise():
    v = built().dequantize_with(arrays()["x"], arrays()["noise"] / 256)
    np.testing.assert_allclose(v, centered(), atol=1e-7)


@functools.cache
def training_pass():
    """The loss of the training mode, its gradients, and the running statistics after it, by the authors' names."""
    model = loaded()
    variables = released_variables(model)
    trained = {name: v for name, v in variables.items() if v.trainable}
    with batch_statistics(), tf.GradientTape() as tape:
        penalty = model.penalty_term()
        cost = tf.reduce_mean(-model.flow.log_prob(centered())) + penalty
    gradients = dict(zip(trained, tape.gradient(cost, list(trained.values())), strict=True))
    return cost, penalty, gradients, {name: v.numpy() for name, v in variables.items() if not v.trainable}


def test_loss_and_gradients():
    cost, penalty, gradients, _ = training_pass()
    l2_reg = arrays()["train/l2_reg"]
    close(penalty, TINY.scale_penalty * l2_reg)
    close(cost, arrays()["train/cost_mean"] + TINY.scale_penalty * l2_reg, LOG_LIKELIHOOD)
    expected = under("train/grad/")
    assert set(gradients) == set(expected)
    largest = max(np.abs(value).max() for value in expected.values())
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-4, atol=1e-6 * largest, err_msg=name)
    close(global_norm(list(gradients.values())), arrays()["train/gradient_norm"])


def test_one_step_of_adam():
    # From the authors' gradients: many are 0 but for rounding (biases before batch norm), and Adam's first step is the rate
    # times a sign.
    variables = {name: v for name, v in released_variables(loaded()).items() if v.trainable}
    optimizer = realnvp.optimizer(TINY, TINY.learning_rate)
    optimizer.build(list(variables.values()))
    optimizer.apply([arrays()[f"train/grad/{name}"] for name in variables], list(variables.values()))
    expected = under("train/adam1/")
    assert set(expected) == set(variables)
    for name, value in expected.items():
        np.testing.assert_allclose(variables[name], value, rtol=0, atol=2e-7, err_msg=name)


def test_running_statistics():
    expected, updated = under("train/updated/"), training_pass()[-1]
    expected = {name: value for name, value in expected.items() if not name.endswith("/step")}
    assert set(expected) == set(updated)
    for name, value in expected.items():
        close(updated[name], value)
        assert np.abs(value - arrays()[f"var/{name}"]).max() > 1e-4


def test_inverse_and_samples():
    flow = without_logit()
    x, log_det = flow.forward_and_log_det(as_vector(arrays()["eval/z"]))
    close(x, arrays()["eval/inverse_x_logit"])
    close(log_det, arrays()["eval/inverse_log_det"], LOG_DET)
    x, log_det = flow.forward_and_log_det(as_vector(arrays()["sample/z"]))
    close(x, arrays()["sample/x_logit"])
    close(log_det, arrays()["sample/log_det"], LOG_DET)
    # The authors draw with the networks' statistics of the drawn batch, and running ones after the couplings.
    with batch_statistics(update=False):
        x = flow.forward(as_vector(arrays()["sample/z"]))
    close(x, arrays()["sample/x_logit_batch_statistics"])


def test_weights_by_released_names():
    model = loaded()
    exported = export_weights(model)
    stored = {name: value for name, value in under("var/").items() if not name.endswith("/step")}
    assert set(exported) == set(stored)
    for name, value in stored.items():
        np.testing.assert_array_equal(exported[name], value)
    assert count_parameters(model) == arrays()["n_trainable"]
    with pytest.raises(ValueError, match=r"missing: model/scale_0/coupling_0/bn_in/beta"):
        load_weights(model, {name: value for name, value in stored.items() if name != next(iter(sorted(stored)))})


def test_settings_of_the_fixtures():
    config = {name: value.item() for name, value in under("cfg/").items()}
    assert (config["image_size"], config["n_scale"], config["base_dim"]) == (8, TINY.levels, TINY.width)
    assert config["residual_blocks"] == TINY.num_blocks
    assert (config["learning_rate"], config["clip_gradient"]) == (
        pytest.approx(TINY.learning_rate),
        TINY.clip_norm,
    )
    assert (1 - config["momentum"], 1 - config["decay"]) == (
        pytest.approx(TINY.beta_1),
        pytest.approx(TINY.beta_2),
    )
    assert config["l2_coeff"] == pytest.approx(TINY.scale_penalty)
    assert config["data_constraint"] == pytest.approx(1 - 2 * TINY.margin)


def test_no_array_of_the_fixtures_is_left_out():
    known = ("cfg/", "var/", "train/grad/", "train/adam1/", "train/updated/")
    known_names = {
        *("x", "noise", "x_in", "x_logit", "transform_cost", "n_trainable"),
        *("train/l2_reg", "train/gradient_norm", "eval/inverse_x_logit", "eval/inverse_log_det"),
        *("sample/z", "sample/x_logit", "sample/log_det", "sample/x_logit_batch_statistics"),
        *(
            f"{mode}/{name}"
            for mode in ("train", "eval")
            for name in (
                "z",
                "log_det_flow",
                "log_det_total",
                "prior_ll",
                "log_likelihood",
                "cost_mean",
                "bits_per_dim",
            )
        ),
    }
    assert {name for name in arrays() if not name.startswith(known)} <= known_names


def test_the_loss_of_the_model_is_that_of_the_fixtures(monkeypatch):
    model = loaded()
    monkeypatch.setattr(model, "_dequantized", lambda *_: (centered(), tf.zeros([4])))  # their noise
    with batch_statistics(update=False):
        loss, metrics = model.training_loss(arrays()["x"], tf.zeros([4], tf.int32), row_keys(0))
    close(np.mean(metrics["bits_per_dim"]), arrays()["train/bits_per_dim"])
    # Our loss counts discrete levels, the authors' does not.
    cost = arrays()["train/cost_mean"] + TINY.scale_penalty * arrays()["train/l2_reg"]
    close(np.mean(loss), cost + 192 * 8 * np.log(2), LOG_LIKELIHOOD)
