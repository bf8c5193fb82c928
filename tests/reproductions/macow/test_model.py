"""Tiny models of every form: they train, invert, and give the same however a step is computed."""

import dataclasses
import functools
import math

import numpy as np
import pytest
import tensorflow as tf

from reproductions.macow import model as macow
from reproductions.macow.experiments import EXPERIMENTS, MaCowExperiment
from reproductions.macow.model import build_schedule
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
from tfflows.bijectors import Chain
from tfflows.data import dataset_spec
from tfflows.math.random import row_keys
from tfflows.networks import EluCouplingNetwork, MaskedNetwork

CHOICES = own_choices(MaCowExperiment)
SHAPE = [8, 8, 3]
TINY = dataclasses.replace(
    EXPERIMENTS["cifar10_var"],
    image_size=8,
    steps="1, 1+1, 1",
    widths="4, 6, 8",
    factors="4",
    dequantization_steps="1, 1",
    dequantization_widths="4, 4",
    context_planes="4, 6",
)
RELEASE = {"variant": "release", "kernel_height": 2}
# Each step has eight masked convolutions, which take long to trace.
LIGHT = {"steps": "1, 1", "widths": "4, 6", "factors": "", "dequantization": "uniform"}
FORMS = {
    "paper": {},
    "release": {**RELEASE, "steps": "1, 1, 1", "factors": "2"},
    "original": {"steps": "1, 2, 1", "factors": "2", "dequantization": "uniform"},
    "additive": {**LIGHT, "coupling": "additive"},
    "additive_release": {
        **RELEASE,
        "steps": "1, 1, 1",
        "factors": "2",
        "dequantization": "uniform",
        "coupling": "additive",
        "prior_coupling": "additive",
        "kernel_width": 5,
    },
    "light": LIGHT,
    "light_release": {**LIGHT, **RELEASE},
}
WHOLE_FORMS = [form for form in FORMS if not form.startswith("light")]


def test_every_choice_is_tried():
    used = {(option, value) for changes in FORMS.values() for option, value in changes.items() if option in CHOICES}
    used |= {(option, getattr(TINY, option)) for option in CHOICES}
    assert used == {(option, value) for option, choices in CHOICES.items() for value in choices}


def built(form, **changes):
    return macow.build(dataclasses.replace(TINY, **{**FORMS[form], **changes}), SHAPE, 0, seed=0)


@functools.cache
def initialized(form):
    model = built(form)
    model.initialize(images(1, 64), tf.zeros([64], tf.int32), row_keys(0))
    # After the init every network gives 0.
    for index, variable in enumerate(model.trainable_variables):
        variable.assign_add(0.02 * tf.random.stateless_normal(variable.shape, [index, 1]))
    return model


def Step(form, replicas=1, **settings):
    """The real training step of a form."""
    return TrainingStep(lambda: built(form), lambda rate: macow.optimizer(TINY, rate), replicas, **settings)


# A step of eight masked convolutions takes long to trace; its units are checked one by one in the tests of parity.
@pytest.mark.parametrize("form", slow_but([], WHOLE_FORMS))
def test_learns_and_every_variable_has_a_gradient(form):
    losses, gradients = train_on_one_batch(built(form), lambda rate: macow.optimizer(TINY, rate), 0.003)
    assert losses[-1] < losses[0]
    # The last gains are 0 after init: what lies before them has a gradient from the second step on.
    for name, own in gradients.items():
        assert any(np.abs(one).max() > 0 for one in own[:3]), name


@pytest.mark.parametrize("form", slow_but([], WHOLE_FORMS))
def test_inverts(form):
    assert assert_inverts(initialized(form)).shape == [8, *SHAPE]


def test_init_sees_the_images_without_noise():
    model = built("paper")
    batch = images(1, 64)
    latent = model.initialize(batch, tf.zeros([64], tf.int32), row_keys(0))
    np.testing.assert_allclose(latent, model.flow.bijector.inverse(model._centered(batch)), atol=1e-3)
    _, step, *_ = model.flow.bijector.bijectors
    out = step.bijectors[0].inverse(2 * model._centered(batch))
    np.testing.assert_allclose(tf.reduce_mean(out, axis=[0, 1, 2]), np.zeros(3), atol=1e-4)
    np.testing.assert_allclose(tf.math.reduce_std(out, axis=[0, 1, 2]), np.ones(3), atol=1e-3)
    # Two masked convolutions of scale sigmoid(2), as the authors' code has it too.
    np.testing.assert_allclose(step.bijectors[3].log_scale, np.full(3, 0.25386), atol=1e-3)


@pytest.mark.parametrize("variant", slow_but([], ["paper", "release"]))
def test_the_original_architecture_is_the_fine_grained_one_cut_in_two(variant):
    """Half of the channels leaves after a level, under a prior given the other half (RealNVP's architecture)."""
    changes = RELEASE if variant == "release" else {}
    model = built("original", **changes)
    model.initialize(images(1, 64), tf.zeros([64], tf.int32), row_keys(0))
    for index, variable in enumerate(model.trainable_variables):
        variable.assign_add(0.05 * tf.random.stateless_normal(variable.shape, [index, 1]))
    doubling, first, squeeze, step1, step2, prior, inner, _ = model.flow.bijector.bijectors
    next_squeeze, last, _ = inner.bijector.bijectors
    v = model.dequantize(images(), row_keys(2))
    z, log_det = Chain([doubling, first, squeeze, step1, step2]).inverse_and_log_det(v)
    *before, coupling = prior.bijectors
    if before:
        z, prior_log_det = Chain(before).inverse_and_log_det(z)
        log_det += prior_log_det
    kept, out = tf.split(z, 2, axis=-1)
    shift, raw_scale = tf.split(coupling.network(kept), 2, axis=-1)
    out = tf.sigmoid(raw_scale + 2) * out + shift
    log_det += tf.reduce_sum(tf.math.log_sigmoid(raw_scale + 2), axis=[1, 2, 3])
    top, top_log_det = Chain([next_squeeze, last]).inverse_and_log_det(kept)
    found, found_log_det = model.flow.bijector.inverse_and_log_det(v)
    np.testing.assert_allclose(found_log_det, log_det + top_log_det, rtol=1e-5)
    # The latent holds the same numbers, in the shape of the image: what was kept first.
    expected = np.concatenate([next_squeeze.forward(top), out], axis=-1)
    np.testing.assert_allclose(found, squeeze.forward(tf.constant(expected)), atol=1e-4)


@pytest.mark.slow
def test_one_network_call_for_each_part(monkeypatch):
    model, calls = initialized("paper"), []
    for kind in (MaskedNetwork, EluCouplingNetwork):

        def counted(self, *rest, run=kind._run):
            calls.append(self)
            return run(self, *rest)

        monkeypatch.setattr(kind, "_run", counted)
    model.elbo(images(), row_keys(0))
    # Steps of the flow and of the dequantizer, each of nine networks, and the priors.
    assert len(calls) == len({id(network) for network in calls}) == 9 * (4 + 2) + 2


@pytest.mark.slow
def test_the_elbo_counts_the_noise():
    model, keys = initialized("paper"), row_keys(3)
    centered = model._centered(images())
    u, log_prob = model.dequantizer.sample_and_log_prob(centered, keys)
    assert np.all((u.numpy() > 0) & (u.numpy() < 1))
    expected = model.flow.log_prob(centered + u / 256) - 192 * np.log(256) - log_prob
    np.testing.assert_allclose(model.elbo(images(), keys), expected, rtol=1e-5)
    np.testing.assert_allclose(model.training_loss(images(), LABELS, keys)[0], -expected, rtol=1e-5)


@pytest.mark.slow
def test_samples_at_a_temperature():
    model, keys = initialized("release"), row_keys(0)
    sample = model.sample(6, keys, temperature=0.7)
    assert sample.shape == [6, *SHAPE] and sample.dtype == tf.uint8
    np.testing.assert_array_equal(sample, model.sample(6, keys, temperature=0.7))
    still = model.sample(6, keys, temperature=0.0)
    np.testing.assert_array_equal(still, tf.broadcast_to(still[:1], still.shape))


@pytest.mark.slow
@pytest.mark.parametrize("memory", ["recompute", "reversible"])
def test_memory_modes_give_the_same_step(memory):
    assert_same_step(Step("light", scatter=0.02), Step("light", scatter=0.02, memory=memory), 1e-3, 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("replicas", "accumulate"), [(2, 1), (1, 2)])
def test_a_split_batch_gives_the_step_of_the_whole(replicas, accumulate):
    whole = Step("light_release", scatter=0.02)
    assert_same_steps_of_parts(whole, Step("light_release", replicas, scatter=0.02, accumulate=accumulate))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variant": "wolf"}, "variant must be one of"),
        ({"steps": "1, 1+1"}, "has 2 levels, and at least 2 are needed"),
        ({"steps": "1"}, "has 1 levels, and at least 2 are needed"),
        ({"steps": "1, 1+1+1+1, 1"}, "can factor out fewer than 4"),
        ({"steps": "1+1, 1+1, 1"}, "first and the last level need a single number"),
        ({"steps": "1, x, 1"}, r"steps needs a sequence such as 4, 12\+12, 12, got '1, x, 1'"),
        ({"steps": "1, , 1"}, "steps needs a sequence"),
        ({"steps": ((1,), (), (1,))}, "Each level needs a number of steps"),
        ({"steps": ((1,), 1, (1,))}, "steps must be a tuple"),
        ({"steps": "1, 0, 1"}, "steps must be at least 1, got 1, 0, 1"),
        ({"widths": "4, 6"}, "widths needs one entry per level"),
        ({"factors": ""}, "one per level between"),
        ({"dequantization_widths": "4"}, "dequantization_widths needs one entry"),
        ({"context_planes": "a"}, "context_planes needs a sequence such as 24, 512, got 'a'"),
        ({"context_planes": ()}, "context_planes needs at least one"),
        ({"decay": 0.0}, "decay must be above 0 and at most 1"),
        ({"kernel_height": 0}, "kernel_height must be at least 1"),
    ],
)
def test_bad_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernel_height": 2}, "needs a kernel of odd sides"),
        ({**RELEASE, "kernel_width": 4}, "odd size along the lines"),
        ({"steps": "1, 1, 1, 1, 1", "widths": "4, 4, 4, 4, 4", "factors": "2, 2, 2"}, "must be a multiple of"),
        ({"factors": "5"}, "cannot split its channels into 5 parts"),
        ({"conditional": True}, "conditional"),
    ],
)
def test_models_that_cannot_be_built_say_why(changes, message):
    with pytest.raises(ValueError, match=message):
        macow.build(dataclasses.replace(TINY, **changes), SHAPE, 0, seed=0)


def test_the_first_level_of_grey_images_has_no_coupling():
    form = macow._Flow.main(TINY)
    kinds = [[type(layer).__name__ for layer in macow.flow_step(form, channels, 4, 0).bijectors] for channels in (1, 2)]
    assert kinds[1] == [*kinds[0], "AffineCoupling"] and kinds[0].count("MaskedConv") == 8


def test_experiments_have_sources():
    for experiment in EXPERIMENTS.values():
        assert isinstance(experiment, MaCowExperiment) and experiment.source


@pytest.mark.parametrize(
    "name",
    [name for name, experiment in EXPERIMENTS.items() if (experiment.variant, experiment.scale) == ("paper", "paper")],
)
def test_the_paper_warms_up_for_an_epoch_of_the_data_set(name):
    experiment = EXPERIMENTS[name]
    num_images = dataset_spec(experiment.dataset).num_images["train"]
    assert experiment.warmup_steps == math.ceil(num_images / experiment.batch_size)
    rate = build_schedule(experiment)
    np.testing.assert_allclose(rate(experiment.warmup_steps - 1), 1e-3, rtol=1e-6)
    # The published length ends where the authors' code stops, or after 10,000 epochs.
    assert float(rate(experiment.num_steps)) == pytest.approx(1e-5, rel=1e-4) or experiment.num_steps == 10_000 * 98
