"""Tiny models of every form: they train, invert, and give the same however a step is computed."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf

from reproductions.flowpp import model as flowpp
from reproductions.flowpp.experiments import EXPERIMENTS, FlowPPExperiment, parse_stages
from tests.reproductions.choices import own_choices
from tests.reproductions.steps import (
    LABELS,
    TrainingStep,
    assert_inverts,
    assert_same_step,
    assert_same_steps_of_parts,
    images,
    train_on_one_batch,
)
from tests.slow import slow_but
from tfflows.math.random import row_keys
from tfflows.networks import GatedConditioner

CHOICES = own_choices(FlowPPExperiment)
SHAPE = [8, 8, 3]
TINY = dataclasses.replace(
    EXPERIMENTS["cifar10"],
    image_size=8,
    stages="checkerboard 2, squeeze, channel 1",
    dequantization_stages="checkerboard 1",
    width=4,
    num_blocks=1,
    num_components=2,
    num_heads=2,
    dequantization_blocks=1,
    context_width=4,
    context_blocks=1,
)
FORMS = {
    "cifar10": {},
    "paper": {
        "checkerboard": "checkerboard",
        "weight_norm": True,
        "coupling_scale": "exp",
        "bounded_log_scales": False,
    },
    "imagenet32": {
        "invertible_conv": False,
        "weight_norm": True,
        "last_nonlinearity": True,
        "dropout_rate": 0.0,
        "context_mixer": "attention",
        "context_layer_norm": True,
    },
    "imagenet64": {
        "invertible_conv": False,
        "last_nonlinearity": True,
        "dropout_rate": 0.0,
        "dequantization_mixer": "none",
        "context_layer_norm": True,
    },
    "uniform_dequantization": {"dequantization": "uniform"},
    "affine_coupling": {"coupling": "affine"},
    "no_attention": {"mixer": "maximum", "dequantization_mixer": "maximum", "context_mixer": "maximum"},
    "convolutions_alone": {"mixer": "none", "dequantization_mixer": "none"},
}
ALL_FORMS = pytest.mark.parametrize("form", FORMS)


def test_every_choice_is_tried():
    used = {(option, value) for changes in FORMS.values() for option, value in changes.items() if option in CHOICES}
    used |= {(option, getattr(TINY, option)) for option in CHOICES}
    assert used == {(option, value) for option, choices in CHOICES.items() for value in choices}


def built(form, **changes):
    return flowpp.build(dataclasses.replace(TINY, **{**FORMS[form], **changes}), SHAPE, 0, seed=0)


@functools.cache
def initialized(form):
    model = built(form)
    model.initialize(images(1, 64), tf.zeros([64], tf.int32), row_keys(0))
    return model


def Step(form, replicas=1, **settings):
    """The real training step of a form."""
    return TrainingStep(lambda: built(form), lambda rate: flowpp.optimizer(TINY, rate), replicas, **settings)


@pytest.mark.parametrize("form", slow_but(("uniform_dequantization",), FORMS))
def test_learns_and_every_variable_has_a_gradient(form):
    losses, gradients = train_on_one_batch(built(form), lambda rate: flowpp.optimizer(TINY, rate), 0.01)
    assert losses[-1] < losses[0]
    # Where nothing mixes positions, the released table of them is there for nothing.
    dead = "position" if "none" in (model_mixers(form)) else None
    for name, own in gradients.items():
        moved = any(np.abs(one).max() > 0 for one in own[:2])
        assert moved or (dead is not None and dead in name), name


def model_mixers(form):
    experiment = dataclasses.replace(TINY, **FORMS[form])
    return experiment.mixer, experiment.dequantization_mixer


@pytest.mark.parametrize("form", slow_but(("cifar10",), FORMS))
def test_inverts(form):
    assert_inverts(initialized(form))


def test_initialization_gives_every_activation_mean_0_and_deviation_1():
    model = built("cifar10", dropout_rate=0.0, stages="checkerboard 1")
    batch = images(1, 64)
    keys = row_keys(0)
    model.initialize(batch, tf.zeros([64], tf.int32), keys)
    logit, split, step, *_ = model.flow.bijector.bijectors
    v = model.dequantize(batch, keys)
    out = step.bijectors[0].inverse(split.inverse(logit.inverse(v)))
    np.testing.assert_allclose(tf.reduce_mean(out, axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(tf.math.reduce_std(out, axis=0), 1, atol=1e-3)


def test_one_network_call_for_each_coupling(monkeypatch):
    model, calls = initialized("cifar10"), []
    call = GatedConditioner._run
    monkeypatch.setattr(GatedConditioner, "_run", lambda self, *rest: calls.append(self) or call(self, *rest))
    model.elbo(images(), row_keys(0))
    assert len(calls) == len({id(network) for network in calls}) == 4  # three of the flow, one of the dequantizer


def test_dropout_is_of_training_alone():
    model, keys = initialized("cifar10"), row_keys(0)
    elbo = model.elbo(images(), keys)
    np.testing.assert_array_equal(elbo, model.elbo(images(), keys))
    loss, metrics = model.training_loss(images(), LABELS, keys)
    again, _ = model.training_loss(images(), LABELS, keys)
    np.testing.assert_array_equal(loss, again)
    assert np.abs(loss + elbo).max() > 0.1
    np.testing.assert_allclose(metrics["bits_per_dim"], loss / (192 * np.log(2)), rtol=1e-5)
    without = initialized("imagenet64")
    np.testing.assert_allclose(
        without.training_loss(images(), LABELS, keys)[0], -without.elbo(images(), keys), rtol=1e-6
    )


@pytest.mark.slow
@pytest.mark.parametrize("memory", ["recompute", "reversible"])
def test_memory_modes_give_the_same_step(memory):
    """Dropout draws the same masks when a network runs again."""
    assert_same_step(Step("cifar10", scatter=0.02), Step("cifar10", scatter=0.02, memory=memory), 1e-4, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("replicas", "accumulate"), [(2, 1), (1, 2)])
def test_a_split_batch_gives_the_step_of_the_whole(replicas, accumulate):
    """Noise, dropout and the clipped gradient alike."""
    whole, split = Step("cifar10", scatter=0.02), Step("cifar10", replicas, scatter=0.02, accumulate=accumulate)
    metrics = assert_same_steps_of_parts(whole, split)
    assert min(one["gradient_norm"] for one in metrics) > 1  # the clip is felt


@pytest.mark.slow
def test_compiled_by_xla():
    """The noise is other there: the loss is near, and finite."""
    plain, compiled = Step("imagenet64", scatter=0.02)(), Step("imagenet64", scatter=0.02, jit_compile=True)()
    assert np.isfinite(list(compiled.values())).all()
    np.testing.assert_allclose(compiled["bits_per_dim"], plain["bits_per_dim"], rtol=0.02)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stages": "checkerboard"}, "checkerboard"),
        ({"stages": "chequered 3"}, "A stage must be"),
        ({"stages": "squeeze 2"}, "A stage must be"),
        ({"coupling": "linear"}, "coupling must be one of"),
        ({"width": 0}, "width must be at least 1"),
        ({"dropout_rate": 1.0}, "dropout_rate"),
    ],
)
def test_bad_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 6, "num_heads": 4}, "6 filters cannot be cut into 4 heads"),
        ({"stages": "channel 1"}, "even number"),
        ({"stages": "squeeze, squeeze, squeeze, squeeze, channel 1"}, "must be a multiple of 16"),
        ({"conditional": True}, "conditional"),
    ],
)
def test_models_that_cannot_be_built_say_why(changes, message):
    with pytest.raises(ValueError, match=message):
        flowpp.build(dataclasses.replace(TINY, **changes), SHAPE, 0, seed=0)


def test_stages_are_read_as_written():
    assert parse_stages("checkerboard 4, squeeze, channel 2") == [("checkerboard", 4), ("squeeze", 0), ("channel", 2)]


def test_experiments_have_sources():
    for experiment in EXPERIMENTS.values():
        assert isinstance(experiment, FlowPPExperiment) and experiment.source
