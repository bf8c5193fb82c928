"""Noise of training, initialization and evaluation: another in each step and each use, whatever a batch is split into."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.tiny_runs import digits
from tfflows.devices.strategies import distributed_training_batches, make_strategy
from tfflows.evaluation.bits_per_dim import Evaluator
from tfflows.math.random import row_keys, uniform_rows
from tfflows.training.parameters import initialize_from_data
from tfflows.training.train_step import make_train_step

BATCH, SEED = 8, 5


def noise(keys, num_rows):
    """What a model draws from its keys, here without salting them."""
    return uniform_rows(keys, num_rows, [])


class Noises(tf.Module):
    """Reports its noise: of row i as the metric `row_i`, in training; as what it was last given, at the initialization."""

    def __init__(self):
        super().__init__()
        self.weight = tf.Variable(1.0)
        self.at_init = None

    def training_loss(self, images, labels, keys):
        del labels
        own = noise(keys, images.shape[0])
        rows = keys.start + tf.range(images.shape[0], dtype=tf.int64)
        # The step takes the mean over the batch.
        metrics = {f"row_{row}": tf.where(rows == row, BATCH * own, 0.0) for row in range(BATCH)}
        return self.weight * own, metrics

    def initialize(self, images, labels, keys):
        del labels
        self.at_init = noise(keys, images.shape[0]).numpy()
        return tf.zeros([1])


def training_noise(replicas=1, accumulate=1, seed=SEED, num_steps=3):
    """`[num_steps, BATCH]`."""
    strategy = make_strategy("mirrored", replicas)
    with strategy.scope():
        model = Noises()
        optimizer = keras.optimizers.SGD(0.0)
        optimizer.build([model.weight])
    arguments = dict(global_batch_size=BATCH, seed=seed, accumulate=accumulate)
    step = make_train_step(strategy, model, optimizer, {"weight": model.weight}, **arguments)
    batches = iter(distributed_training_batches(strategy, digits(), start_step=0, augmentation="none", **arguments))
    metrics = [step(next(batches)) for _ in range(num_steps)]
    return np.array([[values[f"row_{row}"] for row in range(BATCH)] for values in metrics])


@pytest.mark.parametrize(("replicas", "accumulate"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_noise_of_a_step_is_keyed_by_seed_step_and_row(replicas, accumulate):
    expected = [noise(row_keys(SEED, step), BATCH) for step in range(3)]
    obtained = training_noise(replicas, accumulate)
    np.testing.assert_allclose(obtained, expected, rtol=1e-6)
    assert len(np.unique(obtained)) == obtained.size


def test_training_initialization_and_evaluation_share_no_noise():
    strategy, model = make_strategy("one_device"), Noises()
    initialize_from_data(strategy, model, digits(), batch_size=BATCH, seed=SEED, augmentation="none")

    def measure(images, labels, keys):
        del labels
        return noise(keys, images.shape[0])

    evaluated = Evaluator(strategy, model, digits(), batch_size=BATCH, seed=SEED, measure=measure).values()
    draws = {"training": training_noise().ravel(), "initialization": model.at_init, "evaluation": evaluated}
    together = np.concatenate(list(draws.values())).astype(np.float32)
    assert together.size == 3 * BATCH + BATCH + 20
    # In training each is rounded once more.
    assert np.diff(np.sort(together)).min() > 1e-6
    other_seed = training_noise(seed=SEED + 1, num_steps=1)
    assert np.abs(other_seed - draws["training"][:BATCH]).min() > 1e-6
