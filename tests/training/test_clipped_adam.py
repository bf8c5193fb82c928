"""Flow++'s update: Adam of the gradient clipped to norm 1 after it is summed over parts and replicas, then the average."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tests.training.tiny_runs import digits, replicas_of
from tfflows.devices.strategies import distributed_training_batches, make_strategy
from tfflows.training.moving_average import MovingAverage
from tfflows.training.optimizers import Adam
from tfflows.training.parameters import build_flat
from tfflows.training.schedules import Constant, Linear, Piecewise
from tfflows.training.train_step import make_train_step

BATCH, STEPS, DECAY = 8, 3, 0.9
SCHEDULE = Piecewise([Linear(2, 0.0, 0.1), Constant(None, 0.1)])
SPLITS = [(1, 1), (2, 1), (1, 4), (2, 2)]
START = {"model/rows": np.linspace(-1, 1, 8).astype(np.float32), "model/columns": np.ones([4, 2], np.float32)}


def features(images):
    """Of the gradients of one image, by variable: sums of rows and columns, of norms far above 1 that differ by image."""
    images = images.astype(np.float32)[..., 0]
    return {"model/rows": images.sum(2) - 40.0, "model/columns": images.sum(1).reshape(-1, 4, 2) / 3 - 20.0}


class Linears:
    """A loss that is linear in its variables, so that each image's gradient is its features."""

    metric_names = ("bits_per_dim",)

    def __init__(self):
        self.weights = {name: tf.Variable(value) for name, value in START.items()}

    def training_loss(self, images, labels, keys):
        del labels, keys
        images = tf.cast(images, tf.float32)[..., 0]
        columns = tf.reshape(tf.reduce_sum(images, 1), [-1, 4, 2]) / 3 - 20.0
        loss = tf.linalg.matvec(tf.reduce_sum(images, 2) - 40.0, self.weights["model/rows"])
        loss += tf.reduce_sum(columns * self.weights["model/columns"], axis=[1, 2])
        return loss, {"bits_per_dim": loss}


def batches_of(strategy, accumulate):
    return iter(
        distributed_training_batches(
            strategy,
            digits(),
            global_batch_size=BATCH,
            seed=3,
            start_step=0,
            augmentation="none",
            accumulate=accumulate,
        )
    )


@functools.cache
def run(replicas=1, accumulate=1):
    """Logged norms, parameters and averages after three steps."""
    strategy = make_strategy("mirrored", replicas)
    with strategy.scope():
        model = Linears()
        optimizer = Adam(SCHEDULE, global_clipnorm=1.0)
        flat = build_flat(optimizer, model.weights)
        average = MovingAverage(flat.variables, DECAY)
    step = make_train_step(
        strategy,
        model,
        optimizer,
        model.weights,
        global_batch_size=BATCH,
        seed=3,
        accumulate=accumulate,
        moving_average=average,
        flat_parameters=flat,
    )
    batches = batches_of(strategy, accumulate)
    norms = [float(step(next(batches))["gradient_norm"]) for _ in range(STEPS)]
    for name, variable in {**model.weights, **average.variables()}.items():
        first, *others = replicas_of(strategy, variable)
        assert len(others) == replicas - 1
        for other in others:
            np.testing.assert_array_equal(other, first, name)
    variables = {**model.weights, **flat.named_parts(average.variables())}
    return norms, {name: variable.numpy() for name, variable in variables.items()}


def clipped(gradients):
    """The gradients, scaled to a common norm of at most 1, and their norm before."""
    norm = np.sqrt(sum(np.sum(gradient**2) for gradient in gradients.values()))
    return {name: gradient / max(norm, 1.0) for name, gradient in gradients.items()}, norm


def mean_gradients(images):
    return {name: value.mean(0, dtype=np.float64) for name, value in features(images).items()}


@functools.cache
def expected(parts=1):
    """The same in float64; with several parts, each is clipped by itself, with 0 nothing is, as it must not be."""
    weights = {name: value.astype(np.float64) for name, value in START.items()}
    averages, first, second = ({name: scale * value for name, value in weights.items()} for scale in (1, 0, 0))
    batches, norms = batches_of(make_strategy("one_device"), 1), []
    for t in range(1, STEPS + 1):
        images = next(batches)["image"].numpy()
        norms.append(clipped(mean_gradients(images))[1])
        if parts:
            pieces = [clipped(mean_gradients(piece))[0] for piece in np.split(images, parts)]
        else:
            pieces = [mean_gradients(images)]
        for name in weights:
            gradient = np.mean([piece[name] for piece in pieces], axis=0)
            first[name] = 0.9 * first[name] + 0.1 * gradient
            second[name] = 0.999 * second[name] + 0.001 * gradient**2
            rate = (0.0, 0.05, 0.1)[t - 1] * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
            weights[name] = weights[name] - rate * first[name] / (np.sqrt(second[name]) + 1e-8)
            averages[name] = DECAY * averages[name] + (1 - DECAY) * weights[name]
    return norms, {**weights, **{f"average/{name}": value for name, value in averages.items()}}


@pytest.mark.parametrize(("replicas", "accumulate"), SPLITS)
def test_adam_of_the_sum_clipped_once(replicas, accumulate):
    norms, values = run(replicas, accumulate)
    expected_norms, expected_values = expected()
    assert min(expected_norms) > 10
    np.testing.assert_allclose(norms, expected_norms, rtol=1e-5)  # before clipping
    assert values.keys() == expected_values.keys()
    for name, value in values.items():
        np.testing.assert_allclose(value, expected_values[name], rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("parts", [0, 2, 4])
def test_clipping_nothing_or_each_part_would_show(parts):
    _, values = expected()
    _, others = expected(parts)
    assert max(np.abs(values[name] - others[name]).max() for name in START) > 1e-4


def test_epsilon_is_the_papers():
    assert Adam(0.1).epsilon == 1e-8
