"""The flows of other papers over the image and more channels: they train and invert, whatever draws the channels."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from reproductions.glow import model as glow
from reproductions.glow.experiments import EXPERIMENTS as GLOWS
from reproductions.macow import model as macow
from reproductions.macow.counts import count_parameters as count_macow
from reproductions.macow.experiments import EXPERIMENTS as MACOWS
from tests.reproductions.steps import LABELS, TrainingStep, assert_same_steps_of_parts, images, train_on_one_batch
from tfflows.distributions.augmenters import AUGMENTERS, make_augmenter
from tfflows.math.random import row_keys
from tfflows.tracing.variables import count_parameters

SHAPE = [8, 8, 3]
AUGMENTED = {"augment_channels": 3, "augmenter_width": 4, "augmenter_steps": 2}
PAPERS = {
    "glow": (glow, dataclasses.replace(GLOWS["cifar10"], image_size=8, levels=2, depth=1, width=8, **AUGMENTED)),
    "macow": (
        macow,
        dataclasses.replace(
            MACOWS["cifar10_fine_grained"], image_size=8, steps="1, 1", widths="4, 6", factors="", **AUGMENTED
        ),
    ),
}
ALL_PAPERS = pytest.mark.parametrize("paper", PAPERS)
BY_DEFAULT = {("glow", "normal")}
COMBINATIONS = pytest.mark.parametrize(
    ("paper", "augmenter"),
    [
        pytest.param(paper, augmenter, marks=[] if (paper, augmenter) in BY_DEFAULT else [pytest.mark.slow])
        for paper in PAPERS
        for augmenter in AUGMENTERS
    ],
)


def built(paper, **changes):
    module, experiment = PAPERS[paper]
    return module.build(dataclasses.replace(experiment, **changes), SHAPE, 0, seed=0)


def optimizer(paper, learning_rate):
    module, experiment = PAPERS[paper]
    return module.optimizer(experiment, learning_rate)


@COMBINATIONS
def test_learns_and_inverts(paper, augmenter):
    model = built(paper, augmenter=augmenter)
    losses, gradients = train_on_one_batch(model, lambda rate: optimizer(paper, rate), 0.003, num_steps=5)
    assert losses[-1] < losses[0]
    # Networks that are 0 at init let gradients through from the second step on.
    for name, own in gradients.items():
        assert any(np.abs(one).max() > 0 for one in own[:4]), name
    assert any(name.startswith("flow/augmenter") for name in gradients) == (augmenter != "normal")
    assert model.num_dimensions == 192 and model.image_shape == SHAPE
    decoded = model.decode(tf.identity(model.encode(images(), row_keys(1))))
    assert (decoded.numpy() != images().numpy()).mean() < 0.02
    assert model.sample(2, row_keys(1), temperature=0.7).shape == [2, *SHAPE]


@pytest.mark.slow
def test_two_replicas_take_the_step_of_one():
    whole, split = (
        TrainingStep(
            lambda: built("glow", augmenter="flow"), lambda rate: optimizer("glow", rate), replicas, scatter=0.02
        )
        for replicas in (1, 2)
    )
    assert_same_steps_of_parts(whole, split)


@ALL_PAPERS
def test_without_channels_nothing_changes(paper):
    module, experiment = PAPERS[paper]
    plain = dataclasses.replace(experiment, augment_channels=0, augmenter="flow")
    with tf.Graph().as_default():
        model = module.build(plain, SHAPE, 0, seed=0)
    assert not hasattr(model.flow, "augmenter")


def test_counts_of_an_augmented_macow_are_those_of_the_built_model():
    _, experiment = PAPERS["macow"]

    def count(experiment):
        with tf.Graph().as_default():
            return count_parameters(macow.build(experiment, SHAPE, 0, seed=0))

    assert count_macow(experiment, count) > count_macow(dataclasses.replace(experiment, augment_channels=0))


def test_conditional_flows_see_their_labels():
    conditional = {"conditional": True, "coupling": "additive"}
    model = glow.build(dataclasses.replace(PAPERS["glow"][1], **conditional), SHAPE, 3, seed=0)
    model.initialize(images(), LABELS, row_keys(0))
    for index, variable in enumerate(model.trainable_variables):
        variable.assign_add(0.02 * tf.random.stateless_normal(variable.shape, [index, 1]))
    loss, other = (model.training_loss(images(), labels, row_keys(0))[0] for labels in (LABELS, LABELS + 1))
    assert np.abs(loss - other).min() > 0
    with pytest.raises(ValueError, match="needs class_weight=0"):
        dataclasses.replace(PAPERS["glow"][1], class_weight=0.01, **conditional)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"augmenter": "uniform"}, "augmenter must be one of"),
        ({"augment_channels": -1}, "augment_channels must be at least 0"),
        ({"augmenter_steps": 0}, "augmenter_steps must be at least 1"),
    ],
)
def test_bad_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(PAPERS["glow"][1], **changes)


def test_an_augmenter_that_there_is_not():
    with pytest.raises(ValueError, match="must be one of normal, gaussian, flow"):
        make_augmenter("uniform", SHAPE, 3)
    with pytest.raises(ValueError, match="num_channels of an augmenter must be at least 1"):
        make_augmenter("normal", SHAPE, 0)
