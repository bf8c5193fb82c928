"""The check of a model in hand: sound ones pass, and each thing that is broken on purpose is named."""

import importlib

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.evaluation.tiny_models import random_images, tiny_model
from tests.reproductions.steps import images
from tfflows.bijectors import ActNorm, AffineCoupling, Chain, InvertibleConv, InvertibleConvLU
from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.evaluation.checks import check_model
from tfflows.evaluation.jacobians import estimated_log_abs_det, log_abs_det
from tfflows.math.random import row_keys

tfd = tfp.distributions


def flow_of(*layers, side=4):
    base = tfd.Sample(tfd.Normal(0.0, 1.0), [side, side, 4])
    return DequantizedFlow(tfd.TransformedDistribution(base, Chain(list(layers))))


def some_images(side=4):
    return np.random.default_rng(0).integers(0, 256, [2, side, side, 4], dtype=np.uint8)


def network(x):
    return tf.concat([tf.sin(3 * x), tf.cos(2 * x)], axis=-1)


class WrongLogDet(AffineCoupling):
    def _encode(self, transformed, parameters):
        value, log_det = super()._encode(transformed, parameters)
        return value, 0.99 * log_det


class WrongInverse(AffineCoupling):
    def _decode(self, transformed, parameters):
        value, log_det = super()._decode(transformed, parameters)
        return value + 0.01, log_det


def singular(conv):
    conv.weight.assign(tf.linalg.diag([1.0, 1.0, 1.0, 1e-5]))
    return conv


def singular_lu(conv):
    conv.log_abs_diagonal.assign([0.0, 0.0, 0.0, -12.0])
    return conv


def tiny_scale(actnorm):
    actnorm.log_scale.assign(tf.math.log([1.0, 1.0, 1e-9, 1.0]) / 3)
    return actnorm


def not_a_number(actnorm):
    actnorm.bias.assign([0.0, float("nan"), 0.0, 0.0])
    return actnorm


BROKEN = {
    "log_det": (lambda: WrongLogDet(network), "log-det error", ""),
    "inverse": (lambda: WrongInverse(network), "inversion error", ""),
    "singular": (lambda: singular(InvertibleConv(4)), "condition", ""),
    "singular_lu": (lambda: singular_lu(InvertibleConvLU(4)), "condition", ""),
    "scale": (lambda: tiny_scale(ActNorm([4])), "largest scale", ""),
    "nan": (lambda: not_a_number(ActNorm([4])), "not finite", "/bias"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_broken_is_named(kind):
    make, measure, variable = BROKEN[kind]
    report = check_model(flow_of(ActNorm([4]), make(), AffineCoupling(network)), some_images())
    assert not report.ok
    found = {(finding.layer, finding.measure) for finding in report.failures}
    assert (f"flow/bijector/bijectors/1{variable}", measure) in found
    assert not any("bijectors/0" in layer or "bijectors/2" in layer for layer, _ in found)
    assert all(finding.advice in str(report) for finding in report.failures)


def fixed_size(x):
    return 0.1 * network(x + tf.reshape(tf.linspace(-1.0, 1.0, 144), [12, 12, 1]))


@pytest.mark.parametrize(("kind", "ok"), [(AffineCoupling, True), (WrongLogDet, False)])
def test_a_layer_of_fixed_size_is_compared_along_directions(kind, ok):
    """The network mixes little, so that the directions see a log-determinant of a fifth of the true one."""

    class Coupling(kind):
        def _encode(self, transformed, parameters):
            value, log_det = super()._encode(transformed, parameters)
            return value, log_det if ok else 0.2 * log_det

    report = check_model(flow_of(Coupling(fixed_size), side=12), some_images(12))
    (finding,) = [finding for finding in report.findings if finding.measure == "log-det error"]
    assert finding.detail == "8 directions of 576 values"
    assert finding.ok == ok


def test_log_determinants_of_a_dense_jacobian():
    matrix = np.random.default_rng(0).standard_normal([20, 20]) / 12 + np.eye(20)
    x = tf.zeros([1, 20], tf.float64)
    expected = np.linalg.slogdet(matrix)[1]

    def function(x):
        return x @ tf.constant(matrix)

    np.testing.assert_allclose(log_abs_det(function, x), expected, rtol=1e-10)
    estimate, error = estimated_log_abs_det(function, x, num_directions=32, num_steps=20)
    assert 0.0 < error < 3.0
    assert abs(estimate - expected) < 4 * error


def test_a_tiny_glow_passes_and_is_left_as_it_was():
    model = tiny_model()
    before = model.elbo(random_images(2), row_keys(0))
    report = check_model(model, random_images(2))
    assert report.ok, str(report)
    assert {"log-det error", "inversion error", "condition", "grey levels"} <= {f.measure for f in report.findings}
    np.testing.assert_array_equal(model.elbo(random_images(2), row_keys(0)), before)


def test_labels_are_asked_for():
    with pytest.raises(ValueError, match="pass labels="):
        check_model(tiny_model(num_classes=3), random_images(2))
    assert check_model(tiny_model(num_classes=3), random_images(2), labels=[0, 2]).ok


def tiny_forms():
    for paper in ("flowpp", "macow", "vflow", "agave"):
        module = importlib.import_module(f"tests.reproductions.{paper}.test_model")
        for form in module.FORMS:
            yield paper, form


@pytest.mark.slow
@pytest.mark.parametrize(("paper", "form"), tiny_forms())
def test_tiny_models_of_the_papers_pass(paper, form):
    module = importlib.import_module(f"tests.reproductions.{paper}.test_model")
    model = module.built(form)
    model.initialize(images(), tf.zeros([8], tf.int32), row_keys(0))
    report = check_model(model, images(count=2))
    assert report.ok, str(report)
