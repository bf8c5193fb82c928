"""Of a training step that is not finite, the layer behind it is named: a small model of each paper, with NaN in one place."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf

from tests.reproductions.killed_runs import PAPERS
from tests.reproductions.steps import BATCH, LABELS, images
from tests.slow import slow_but
from tfflows.distributions.image_model import ImageModel
from tfflows.tracing.variables import named_variables
from tfflows.training.divergence import describe_not_finite

STRATEGY = tf.distribute.get_strategy()
BATCH_OF_STEP = {
    "image": images(),
    "label": LABELS,
    "index": tf.range(BATCH, dtype=tf.int64),
    "step": tf.fill([BATCH], tf.constant(2, tf.int64)),
}


@functools.cache
def built(paper):
    reproduction, name, fields = PAPERS[paper]
    fields = {**fields, **({"auxiliary_size": 8} if paper == "agave" else {})}
    experiment = dataclasses.replace(reproduction.experiments[name], image_size=8, **fields)
    model = reproduction.build_model(experiment, [8, 8, 3], 0, 0)
    return model, {name: variable for name, variable in named_variables(model).items() if variable.trainable}


def described(model, variables, **settings):
    return describe_not_finite(STRATEGY, model, variables, BATCH_OF_STEP, seed=0, **settings)


def check_named(paper, name):
    model, variables = built(paper)
    variable = variables[name]
    before = variable.numpy()
    variable.assign(tf.fill(variable.shape, np.nan))
    sentence = described(model, variables)
    variable.assign(before)
    assert sentence.startswith("The first output that is not finite is that of ")
    path = sentence.rpartition("(")[2].removesuffix(").")
    assert f"/{name}".startswith(f"/{path}/"), (name, sentence)


@pytest.mark.parametrize("paper", slow_but(["glow"], PAPERS))
def test_the_layer_is_named(paper):
    names = list(built(paper)[1])
    check_named(paper, names[len(names) // 2])


@pytest.mark.slow
@pytest.mark.parametrize("paper", PAPERS)
def test_layers_everywhere_are_named(paper):
    for name in list(built(paper)[1])[::7]:
        check_named(paper, name)


class Model(ImageModel):
    """Its loss is `scale * sqrt(weight)`, where the root is computed by the model itself."""

    def __init__(self, scale, weight):
        super().__init__([8, 8, 3], "model")
        self.scale, self.weight = tf.Variable(scale), tf.Variable(weight)

    def training_loss(self, images, labels, keys):
        loss = tf.fill([images.shape[0]], self.scale * tf.sqrt(self.weight))
        return loss, {"bits_per_dim": loss}


@pytest.mark.parametrize(
    ("scale", "weight", "sentence"),
    [
        (1.0, -1.0, "The first output that is not finite is that of Model 'model'."),
        (1.0, 0.0, "All outputs are finite, but not the gradients of 1 variables, among them weight."),
        (1.0, 1.0, "Computed eagerly, the loss of this batch and its gradients are finite."),
    ],
)
def test_what_is_no_layer(scale, weight, sentence):
    model = Model(scale, weight)
    assert described(model, named_variables(model), num_parts=3) == sentence
