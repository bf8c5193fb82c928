"""Tiny models of every form: they train, keep to the objective, and give the same however a step is computed."""

import dataclasses
import functools
import math

import numpy as np
import pytest
import tensorflow as tf

from reproductions.agave import model as agave
from reproductions.agave.experiments import EXPERIMENTS, AgaveExperiment, stages
from tests.reproductions.choices import own_choices
from tests.reproductions.steps import LABELS, TrainingStep, assert_same_step, images, train_on_one_batch
from tfflows.distributions.iaf_vae import free_kl, total_kl
from tfflows.interop.agave import export_weights, load_weights
from tfflows.math.auxiliary import area_mean
from tfflows.math.random import row_keys
from tfflows.tracing.memory import memory_scope

CHOICES = own_choices(AgaveExperiment)
SHAPE = [8, 8, 3]
TINY = dataclasses.replace(
    EXPERIMENTS["cifar10"],
    image_size=8,
    auxiliary_size=8,
    width=4,
    num_blocks=1,
    num_components=2,
    vae_width=4,
    latent_channels=2,
    vae_blocks=2,
    pretraining_steps=0,
    kl_weight=2.0,
)
FORMS = {
    "guided": {},
    "small_auxiliary": {"auxiliary_size": 4, "auxiliary_levels": 16, "open_edges": True, "injection": "horizontal"},
    "no_auxiliary": {"auxiliary": False, "kl_weight": 1.0, "auxiliary_size": 2, "features": "plain"},
    "pixelcnn": {"model": "pixelcnn", "optimizer": "adam"},
    "iaf_vae": {"model": "iaf_vae", "vae_depth": 2, "scale_per_colour": False, "compatibility": "fixed"},
}


def test_every_choice_is_tried():
    used = {(option, value) for changes in FORMS.values() for option, value in changes.items()}
    used |= {(option, getattr(TINY, option)) for option in CHOICES}
    wanted = {(option, value) for option, choices in CHOICES.items() for value in choices}
    assert {pair for pair in wanted - used if pair[0] != "auxiliary_levels"} == set()


def built(form, **changes):
    return agave.build(dataclasses.replace(TINY, **{**FORMS[form], **changes}), SHAPE, 0, seed=0)


@functools.cache
def initialized(form, **changes):
    model = built(form, **changes)
    model.initialize(images(1, 16), tf.zeros([16], tf.int32), row_keys(0))
    return model


def Step(form, replicas=1, **settings):
    """The real training step of a form."""
    return TrainingStep(lambda: built(form), lambda rate: agave.optimizer(TINY, rate), replicas, **settings)


@pytest.mark.parametrize(
    "form", [form if form == "iaf_vae" else pytest.param(form, marks=pytest.mark.slow) for form in FORMS]
)
def test_learns_and_every_variable_has_a_gradient(form):
    experiment = dataclasses.replace(TINY, **FORMS[form])
    losses, gradients = train_on_one_batch(built(form), lambda rate: agave.optimizer(experiment, rate), 0.01)
    assert losses[-1] < losses[0]
    for name, own in gradients.items():
        reached = any(np.abs(one).max() > 0 for one in own[:3])
        # The topmost block's second convolution has no use; without the auxiliary term its scale has none.
        unused = ("bottom_up/1/second" in name and "vae_depth" not in FORMS[form]) or "bottom_up/3/second" in name
        unused |= form == "no_auxiliary" and name.endswith("log_scale") and name.count("/") == 1
        assert reached != unused, name


# ------------------------------------------------------------------------------------------------------------ objective


def test_the_loss_is_the_objective():
    """Eq. 7, and with lambda 2 the sum of the bounds of both decoders; eq. 6 without the auxiliary term."""
    model, keys = initialized("guided", dropout_rate=0.0), row_keys(3)
    terms = model.terms(images(), keys)
    loss, metrics = model.training_loss(images(), LABELS, keys)
    np.testing.assert_allclose(-loss, terms.pixels + terms.auxiliary - 2 * terms.kl, rtol=1e-5)
    np.testing.assert_allclose(-loss, model.elbo(images(), keys) + model.vae.elbo(images(), keys), rtol=1e-5)
    np.testing.assert_allclose(metrics["kl"], terms.kl, rtol=1e-5)
    np.testing.assert_allclose(metrics["bits_per_dim"], (terms.kl - terms.pixels) / (192 * math.log(2)), rtol=1e-5)
    assert set(metrics) == set(model.metric_names)
    other = initialized("no_auxiliary", dropout_rate=0.0)
    loss, _ = other.training_loss(images(), LABELS, keys)
    np.testing.assert_allclose(-loss, other.elbo(images(), keys), rtol=1e-5)


@pytest.mark.slow
def test_the_pixels_follow_the_latents():
    model, keys = initialized("guided"), row_keys(3)
    own, other = model.terms(images(), keys), model.terms(images(), keys, latents_of=images(5))
    assert (np.abs(own.pixels - other.pixels) > 1e-3).all() and (np.abs(own.auxiliary - other.auxiliary) > 1e-3).all()
    again = model.terms(images(), keys, latents_of=images())
    np.testing.assert_allclose(again.pixels, own.pixels, rtol=1e-6)


def test_free_bits():
    kl = [tf.constant(np.random.default_rng(0).normal(size=[4, 2, 2, 3]), tf.float32)]
    by_channel = kl[0].numpy().sum(axis=(1, 2)).mean(axis=0)
    np.testing.assert_allclose(free_kl(kl, 0.5), np.full(4, np.maximum(by_channel, 0.5).sum()), rtol=1e-5)
    np.testing.assert_allclose(free_kl(kl, 0.0), total_kl(kl))
    model, keys = initialized("iaf_vae"), row_keys(3)
    loss, metrics = model.training_loss(images(), LABELS, keys)
    _, parts = model.posterior(images(), keys)
    excess = np.mean(free_kl(parts, TINY.free_bits) - total_kl(parts))
    elbo = -192 * math.log(2) * metrics["bits_per_dim"]
    np.testing.assert_allclose(tf.reduce_mean(loss + elbo), excess, atol=1e-2)


@pytest.mark.slow
def test_auxiliary_images_are_means_over_blocks():
    small = area_mean(images(), 2)
    blocks = images().numpy().astype(float).reshape([8, 4, 2, 4, 2, 3]).mean(axis=(2, 4))
    np.testing.assert_array_equal(small, np.floor(blocks + 0.5))
    for form, size in (("guided", 8), ("small_auxiliary", 4), ("no_auxiliary", 2)):
        vae = built(form).vae
        means, _ = vae.posterior(images(), row_keys(0))
        assert vae.auxiliary_shape == [size, size, 3] and means.shape == [8, size, size, 3]
        assert vae.to_images(means).shape == [8, *SHAPE]


@pytest.mark.slow
def test_more_importance_samples_give_a_tighter_bound():
    model = initialized("guided")
    bounds = [tf.reduce_mean(model.importance_weighted_log_prob(images(), row_keys(4), count)) for count in (1, 8)]
    assert bounds[1] > bounds[0]
    pixels = initialized("pixelcnn")
    exact = pixels.elbo(images(), row_keys(0))
    np.testing.assert_allclose(pixels.importance_weighted_log_prob(images(), row_keys(4), 3), exact, rtol=1e-5)


# ------------------------------------------------------------------------------------------------------------ stages


@pytest.mark.slow
def test_joint_training_begins_where_pretraining_ended():
    """Weights of the features' parts are 0 and get a gradient; the stream is initialized, nothing else is."""
    experiment = dataclasses.replace(TINY, pretraining_steps=1, dropout_rate=0.0)
    by_stage = {
        stage: agave.build(own, SHAPE, 0, seed=1) for stage, own in stages(experiment).items() if stage != "joint"
    }
    joint = agave.build(experiment, SHAPE, 0, seed=2)
    parts = agave.parts_of_stages(joint)
    assert set(parts) == set(by_stage)
    for stage, model in by_stage.items():
        model.initialize(images(1, 16), tf.zeros([16], tf.int32), row_keys(0))
        trained = {name: v for name, v in agave.named_variables(model).items()}
        assert set(trained) == set(parts[stage])
        for name, variable in parts[stage].items():
            variable.assign(trained[name])
    joint.initialize(images(1, 16), tf.zeros([16], tf.int32), row_keys(0))
    terms = joint.terms(images(), row_keys(3))
    np.testing.assert_allclose(terms.pixels, by_stage["pixelcnn"].log_prob(images()), rtol=1e-5)
    np.testing.assert_allclose(terms.auxiliary - terms.kl, by_stage["vae"].elbo(images(), row_keys(3)), rtol=1e-5)
    gain = joint.pixels.network.positions[0][1].feature.gain.value
    assert not gain.numpy().any()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(joint.training_loss(images(), LABELS, row_keys(3))[0])
    assert np.abs(tape.gradient(loss, gain)).max() > 0


def test_stages_of_experiments():
    assert list(stages(EXPERIMENTS["cifar10"])) == ["vae", "pixelcnn", "joint"]
    assert stages(EXPERIMENTS["cifar10_pixelcnn"]) == {"joint": EXPERIMENTS["cifar10_pixelcnn"]}
    assert list(stages(EXPERIMENTS["claims_guided"])) == ["joint"]
    vae = stages(EXPERIMENTS["cifar10_auxiliary_8"])["vae"]
    assert (vae.model, vae.auxiliary_size, vae.name) == ("iaf_vae", 8, "cifar10_auxiliary_8_vae")


# ------------------------------------------------------------------------------------------------------------ samples


@pytest.mark.slow
def test_samples_belong_to_their_place():
    model = initialized("small_auxiliary")
    draw = tf.function(lambda start: model.sample_with_means(2, row_keys(0, start=start)), autograph=False)
    means, sample = draw(tf.constant(0, tf.int64))
    assert means.shape == sample.shape == [2, *SHAPE] and sample.dtype == means.dtype == tf.uint8
    later_means, later = draw(tf.constant(1, tf.int64))
    np.testing.assert_array_equal(later_means[0], means[1])
    # Elsewhere rounding may move a level.
    assert np.median(np.abs(later[0].numpy().astype(int) - sample[1].numpy().astype(int))) <= 1


# ------------------------------------------------------------------------------------------------------------ steps


@pytest.mark.slow
def test_recomputation_gives_the_same_step():
    assert_same_step(Step("guided"), Step("guided", memory="recompute"), 1e-3, 1e-4)


@pytest.mark.slow
def test_a_split_batch_gives_the_step_of_the_whole():
    whole, split = Step("guided"), Step("guided", 2)
    expected, found = whole(), split()
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4)


def test_reversible_memory_is_refused():
    with memory_scope("reversible"), pytest.raises(ValueError, match="memory mode 'recompute'"):
        built("pixelcnn").training_loss(images(), LABELS, row_keys(0))


def test_export_is_the_inverse_of_load():
    model, other = initialized("guided"), built("guided")
    load_weights(other, export_weights(model))
    for a, b in zip(model.trainable_variables, other.trainable_variables, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "vae"}, "model must be one of"),
        ({"auxiliary_levels": 3}, "auxiliary_levels must be one of"),
        ({"auxiliary_size": 3}, "auxiliary_size must be image_size, half"),
        ({"auxiliary_size": 1}, "auxiliary_size must be image_size, half"),
        ({"num_bits": 5}, "num_bits must be 8"),
        ({"kl_weight": -1.0}, "kl_weight must be at least 0"),
        ({"width": 0}, "width must be at least 1"),
        ({"dropout_rate": 1.0}, "dropout_rate must be at least 0 and below 1"),
    ],
)
def test_bad_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **changes)


@pytest.mark.parametrize(
    ("changes", "shape", "message"),
    [
        ({"conditional": True}, SHAPE, "conditional"),
        ({"vae_depth": 4}, SHAPE, "must be a multiple of 16"),
        ({"model": "pixelcnn"}, [8, 8, 2], "1 or 3 channels"),
        ({"vae_width": 3}, SHAPE, "one number of channels must divide the other"),
    ],
)
def test_models_that_cannot_be_built_say_why(changes, shape, message):
    with pytest.raises(ValueError, match=message):
        agave.build(dataclasses.replace(TINY, **changes), shape, 0, seed=0)


def test_experiments_have_sources():
    for experiment in EXPERIMENTS.values():
        assert isinstance(experiment, AgaveExperiment) and experiment.source
