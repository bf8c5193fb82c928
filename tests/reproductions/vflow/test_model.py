"""Tiny models of every form: they train, invert, and give the same however a step is computed."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf

from reproductions.flowpp.model import optimizer
from reproductions.vflow import model as vflow
from reproductions.vflow.experiments import AUGMENTERS, EXPERIMENTS, VFlowExperiment, small
from tests.reproductions.steps import (
    TrainingStep,
    assert_same_step,
    assert_same_steps_of_parts,
    images,
    train_on_one_batch,
)
from tfflows.distributions.augmented_flow import AugmentedFlow
from tfflows.math.random import row_keys
from tfflows.networks import GatedConditioner

SHAPE = [8, 8, 3]
TINY = dataclasses.replace(
    EXPERIMENTS["cifar10"],
    image_size=8,
    stages="checkerboard 1, channel 1",
    dequantization_stages="checkerboard 1",
    augmenter_stages="checkerboard 1",
    width=4,
    num_blocks=1,
    num_components=2,
    num_heads=2,
    dequantization_blocks=1,
    augmenter_blocks=1,
    context_width=4,
    context_blocks=1,
)
FORMS = {
    # Flow and q of one coupling each, with dropout.
    "light": {"stages": "channel 1", "dequantization": "uniform"},
    "cifar10": {},
    "imagenet": {
        "weight_norm": True,
        "last_nonlinearity": True,
        "dropout_rate": 0.0,
        "noise_invertible_conv": False,
        "context_layer_norm": True,
        "augmenter_mixer": "none",
    },
    "gaussian": {"augmenter": "gaussian", "augment_channels": 1},
    "normal": {"augmenter": "normal", "dequantization": "uniform"},
}


def built(form, **changes):
    return vflow.build(dataclasses.replace(TINY, **{**FORMS[form], **changes}), SHAPE, 0, seed=0)


@functools.cache
def initialized(form):
    model = built(form)
    model.initialize(images(1, 64), tf.zeros([64], tf.int32), row_keys(0))
    return model


def Step(replicas=1, **settings):
    """The real training step of a light model."""
    return TrainingStep(lambda: built("light"), lambda rate: optimizer(TINY, rate), replicas, scatter=0.02, **settings)


def test_every_q_is_tried():
    assert {dataclasses.replace(TINY, **changes).augmenter for changes in FORMS.values()} == set(AUGMENTERS)


# By default a run of the command trains one.
@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_learns_and_every_variable_has_a_gradient(form):
    losses, gradients = train_on_one_batch(built(form), lambda rate: optimizer(TINY, rate), 0.01, num_steps=4)
    assert losses[-1] < losses[0]
    # Where nothing mixes positions, the released table of them is there for nothing.
    dead = "augmenter/bijector" if form == "imagenet" else None
    for name, own in gradients.items():
        moved = any(np.abs(one).max() > 0 for one in own[:2])
        assert moved or (dead is not None and name.startswith(f"flow/{dead}") and "position" in name), name


def test_inverts():
    model = initialized("cifar10")
    v = model.dequantize(images(), row_keys(2))
    y, _ = model.flow._preprocessed(v)
    z, _ = model.flow.augmenter.sample_and_log_prob(y, row_keys(2))
    joint = tf.concat([y, z], axis=-1)
    latent, log_det = model.flow.bijector.inverse_and_log_det(joint)
    back, inverse_log_det = model.flow.bijector.forward_and_log_det(tf.identity(latent))
    np.testing.assert_allclose(back, joint, rtol=0, atol=2e-3)
    np.testing.assert_allclose(inverse_log_det, -log_det, rtol=1e-3)
    samples = model.sample(4, row_keys(0))
    assert samples.shape == [4, *SHAPE]
    assert 20 < np.std(samples) < 128  # latents that nothing maps to are moved inwards


def test_q_sees_the_logits_and_the_bound_counts_them():
    model, keys = initialized("cifar10"), row_keys(3)
    v, log_r = model._dequantized(images(), keys)
    scaled = 0.9 * v.numpy().astype(np.float64) + 0.5
    logits = np.log(scaled) - np.log1p(-scaled)
    z, log_q = model.flow.augmenter.sample_and_log_prob(tf.constant(logits, tf.float32), keys)
    assert np.all((z > 0) & (z < 1))  # q ends in a sigmoid
    log_joint = model.flow.flow.log_prob(tf.concat([tf.constant(logits, tf.float32), z], axis=-1))
    log_det = np.sum(np.log(0.9 / 256) - np.log(scaled) - np.log1p(-scaled), axis=(1, 2, 3))
    np.testing.assert_allclose(model.elbo(images(), keys), log_joint - log_q - log_r + log_det, rtol=1e-4)
    assert model.num_dimensions == 192


def test_one_network_call_for_each_coupling(monkeypatch):
    model, calls = initialized("cifar10"), []
    call = GatedConditioner._run
    monkeypatch.setattr(GatedConditioner, "_run", lambda self, *rest: calls.append(self) or call(self, *rest))
    model.elbo(images(), row_keys(0))
    assert len(calls) == len({id(network) for network in calls}) == 4  # two of the flow, one each of the others


@pytest.mark.slow
@pytest.mark.parametrize("memory", ["recompute", "reversible"])
def test_memory_modes_give_the_same_step(memory):
    """Dropout draws the same masks when a network runs again, in q too."""
    tolerance = (1e-4, 1e-5) if memory == "recompute" else (2e-3, 1e-4)
    assert_same_step(Step(), Step(memory=memory), *tolerance)


@pytest.mark.slow
@pytest.mark.parametrize(("replicas", "accumulate"), [(2, 1), (1, 2)])
def test_a_split_batch_gives_the_step_of_the_whole(replicas, accumulate):
    assert_same_steps_of_parts(Step(), Step(replicas, accumulate=accumulate))


def test_without_channels_it_is_a_flowpp():
    model = built("cifar10", augment_channels=0, stages="checkerboard 1, squeeze, channel 1")
    assert not isinstance(model.flow, AugmentedFlow) and model.flow.event_shape == SHAPE


def test_small_experiments_have_a_small_q():
    for name, experiment in EXPERIMENTS.items():
        reduced = small(experiment)
        assert isinstance(reduced, VFlowExperiment) and (reduced.scale, reduced.name) == ("small", name)
        assert reduced.stages == experiment.stages and reduced.augment_channels == experiment.augment_channels


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"augmenter": "uniform"}, "augmenter must be one of"),
        ({"augmenter_mixer": "convolution"}, "augmenter_mixer must be one of"),
        ({"augment_channels": -1}, "augment_channels must be at least 0"),
        ({"augmenter_blocks": 0}, "augmenter_blocks must be at least 1"),
        ({"augmenter_stages": "chequered 3"}, "A stage must be"),
        ({"coupling_margin": 0.5}, "coupling_margin must be at least 0 and below 0.5"),
    ],
)
def test_bad_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **changes)


def test_models_that_cannot_be_built_say_why():
    with pytest.raises(ValueError, match="even number"):
        built("cifar10", augment_channels=2, stages="channel 1")
    with pytest.raises(ValueError, match="conditional"):
        built("cifar10", conditional=True)


def test_experiments_have_sources():
    for experiment in EXPERIMENTS.values():
        assert isinstance(experiment, VFlowExperiment) and experiment.source
        assert experiment.coupling_margin == 0.05 and experiment.mixing_noise == 0.01


@pytest.mark.slow
def test_compiled_by_xla():
    """The noise is other there: the loss is near, and finite."""
    plain, compiled = Step()(), Step(jit_compile=True)()
    assert np.isfinite(list(compiled.values())).all()
    np.testing.assert_allclose(compiled["bits_per_dim"], plain["bits_per_dim"], rtol=0.02)
