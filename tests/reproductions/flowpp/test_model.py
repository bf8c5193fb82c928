"""Tiny models of every form: they train, invert, and give the same however a step is computed."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf

from reproductions.flowpp import model as flowpp
from reproductions.flowpp.experiments import CHOICES, EXPERIMENTS, FlowPPExperiment, parse_stages
from tfflows.math.random import row_keys
from tfflows.networks import GatedConditioner
from tfflows.training.named_variables import named_variables
from tfflows.training.strategies import make_strategy
from tfflows.training.train_step import make_train_step

SHAPE, BATCH = [8, 8, 3], 8
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


def images(seed=0, count=BATCH):
    noise = tf.random.stateless_normal([count, 2, 2, 3], [seed, 1])
    smooth = 128 + 50 * tf.image.resize(noise, [8, 8]) + 10 * tf.random.stateless_normal([count, 8, 8, 3], [seed, 2])
    return tf.cast(tf.clip_by_value(smooth, 0, 255), tf.uint8)


LABELS = tf.zeros([BATCH], tf.int32)


def built(form, **changes):
    return flowpp.build(dataclasses.replace(TINY, **{**FORMS[form], **changes}), SHAPE, 0, seed=0)


@functools.cache
def initialized(form):
    model = built(form)
    model.initialize(images(1, 64), tf.zeros([64], tf.int32), row_keys(0))
    return model


class Step:
    """The real training step over one batch."""

    def __init__(self, form, replicas=1, learning_rate=1e-3, scatter=0.0, **settings):
        self.strategy = make_strategy("mirrored", replicas)
        with self.strategy.scope():
            self.model = built(form)
        generator = np.random.default_rng(1)
        for variable in self.model.trainable_variables:
            variable.assign_add(scatter * generator.standard_normal(variable.shape).astype(np.float32))
        self.trained = {name: v for name, v in named_variables(self.model).items() if v.trainable}
        with self.strategy.scope():
            optimizer = flowpp.optimizer(TINY, learning_rate)
            optimizer.build(list(self.trained.values()))
        self._step = make_train_step(
            self.strategy, self.model, optimizer, self.trained, global_batch_size=BATCH, seed=3, **settings
        )

    def __call__(self, number=0):
        def dataset(context):
            del context
            rows = {
                "image": images(),
                "label": LABELS,
                "index": tf.range(BATCH, dtype=tf.int64),
                "step": tf.fill([BATCH], tf.constant(number, tf.int64)),
            }
            return tf.data.Dataset.from_tensor_slices(rows).batch(BATCH // self.strategy.num_replicas_in_sync)

        distributed = self.strategy.distribute_datasets_from_function(dataset)
        return {name: float(value) for name, value in self._step(next(iter(distributed))).items()}

    def values(self):
        return {name: variable.numpy() for name, variable in self.trained.items()}


@ALL_FORMS
def test_learns_and_every_variable_has_a_gradient(form):
    model = built(form)
    model.initialize(images(1, 64), tf.zeros([64], tf.int32), row_keys(0))
    variables = {name: v for name, v in named_variables(model).items() if v.trainable}
    optimizer = flowpp.optimizer(TINY, 0.01)
    optimizer.build(list(variables.values()))

    @tf.function
    def step(number):
        with tf.GradientTape() as tape:
            loss, _ = model.training_loss(images(), LABELS, row_keys(1, number))
            loss = tf.reduce_mean(loss)
        gradients = tape.gradient(loss, list(variables.values()))
        optimizer.apply(gradients, list(variables.values()))
        return loss, gradients

    losses, gradients = zip(*(step(tf.constant(number, tf.int64)) for number in range(6)), strict=True)
    assert losses[-1] < losses[0]
    # Where nothing mixes positions, the released table of them is there for nothing.
    dead = "position" if "none" in (model_mixers(form)) else None
    for index, name in enumerate(variables):
        moved = any(np.abs(one[index]).max() > 0 for one in gradients[:2])
        assert moved or (dead is not None and dead in name), name


def model_mixers(form):
    experiment = dataclasses.replace(TINY, **FORMS[form])
    return experiment.mixer, experiment.dequantization_mixer


@ALL_FORMS
def test_inverts(form):
    model = initialized(form)
    v = model.dequantize(images(), row_keys(2))
    latent, log_det = model.flow.bijector.inverse_and_log_det(v)
    back, inverse_log_det = model.flow.bijector.forward_and_log_det(tf.identity(latent))
    np.testing.assert_allclose(256 * back, 256 * v, rtol=0, atol=0.02)
    np.testing.assert_allclose(inverse_log_det, -log_det, rtol=1e-4, atol=0.02)


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


@pytest.mark.parametrize("memory", ["recompute", "reversible"])
def test_memory_modes_give_the_same_step(memory):
    """Dropout draws the same masks when a network runs again."""
    plain, other = Step("cifar10", scatter=0.02), Step("cifar10", scatter=0.02, memory=memory)
    expected, found = plain(), other()
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4)
    # Adam's first step is of size 1e-3 whatever the gradient: compare where that is not near 0.
    moved = [np.abs(a - b).max() for a, b in zip(plain.values().values(), other.values().values(), strict=True)]
    assert np.median(moved) < 1e-5


@pytest.mark.parametrize(("replicas", "accumulate"), [(2, 1), (1, 2)])
def test_a_split_batch_gives_the_step_of_the_whole(replicas, accumulate):
    """Noise, dropout and the clipped gradient alike."""
    whole, split = Step("cifar10", scatter=0.02), Step("cifar10", replicas, scatter=0.02, accumulate=accumulate)
    for number in range(2):
        expected, found = whole(number), split(number)
        assert expected["gradient_norm"] > 1  # the clip is felt
        for name in expected:
            np.testing.assert_allclose(found[name], expected[name], rtol=2e-3 if number else 1e-4)


def test_compiled_by_xla():
    """The noise is other there: the loss is near, and finite."""
    plain, compiled = Step("imagenet64", scatter=0.02)(), Step("imagenet64", scatter=0.02, jit_compile=True)()
    assert np.isfinite(list(compiled.values())).all()
    np.testing.assert_allclose(compiled["bits_per_dim"], plain["bits_per_dim"], rtol=0.02)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stages": "checkerboard"}, "checkerboard"),
        ({"stages": "chequered 3"}, "A stage is"),
        ({"stages": "squeeze 2"}, "A stage is"),
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
        ({"stages": "squeeze, squeeze, squeeze, squeeze, channel 1"}, "more factors of 2"),
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
