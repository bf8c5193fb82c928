"""Training steps of tiny models, for what the tests of all papers ask of them."""

import numpy as np
import tensorflow as tf

from tfflows.devices.strategies import make_strategy
from tfflows.math.random import row_keys
from tfflows.tracing.variables import named_variables
from tfflows.training.parameters import build_flat
from tfflows.training.train_step import make_train_step

BATCH = 8


def images(seed=0, count=BATCH):
    """uint8 `[count, 8, 8, 3]`: smooth, and a little noise."""
    noise = tf.random.stateless_normal([count, 2, 2, 3], [seed, 1])
    smooth = 128 + 50 * tf.image.resize(noise, [8, 8]) + 10 * tf.random.stateless_normal([count, 8, 8, 3], [seed, 2])
    return tf.cast(tf.clip_by_value(smooth, 0, 255), tf.uint8)


LABELS = tf.zeros([BATCH], tf.int32)


class TrainingStep:
    """The real training step of a model over one batch.

    Args:
      build: `() -> DequantizedFlow` of images `[8, 8, 3]`.
      make_optimizer: `learning rate -> keras.optimizers.Optimizer`.
      replicas: Python `int`.
      learning_rate: Python `float`.
      scatter: Deviation of what is added to each parameter.
      **settings: As for `make_train_step`.
    """

    def __init__(self, build, make_optimizer, replicas=1, learning_rate=1e-3, scatter=0.0, **settings):
        self.strategy = make_strategy("mirrored", replicas)
        with self.strategy.scope():
            self.model = build()
        generator = np.random.default_rng(1)
        for variable in self.model.trainable_variables:
            variable.assign_add(scatter * generator.standard_normal(variable.shape).astype(np.float32))
        self.trained = {name: v for name, v in named_variables(self.model).items() if v.trainable}
        with self.strategy.scope():
            optimizer = make_optimizer(learning_rate)
            flat = build_flat(optimizer, self.trained)
        self._step = make_train_step(
            self.strategy,
            self.model,
            optimizer,
            self.trained,
            global_batch_size=BATCH,
            seed=3,
            flat_parameters=flat,
            **settings,
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


def train_on_one_batch(model, make_optimizer, learning_rate, num_steps=6):
    """Steps from a data-dependent init on: `(losses, {name: gradients of each step})`."""
    model.initialize(images(1, 64), tf.zeros([64], tf.int32), row_keys(0))
    variables = {name: variable for name, variable in named_variables(model).items() if variable.trainable}
    optimizer = make_optimizer(learning_rate)
    optimizer.build(list(variables.values()))

    @tf.function(autograph=False)
    def step(number):
        with tf.GradientTape() as tape:
            loss, _ = model.training_loss(images(), LABELS, row_keys(1, number))
            loss = tf.reduce_mean(loss)
        gradients = tape.gradient(loss, list(variables.values()))
        optimizer.apply(gradients, list(variables.values()))
        return loss, gradients

    losses, gradients = zip(*(step(tf.constant(number, tf.int64)) for number in range(num_steps)), strict=True)
    return losses, dict(zip(variables, zip(*gradients, strict=True), strict=True))


def assert_inverts(model):
    """Latents of dequantized images go back to them, with the opposite log-determinant."""
    v = model.dequantize(images(), row_keys(2))
    latent, log_det = model.flow.bijector.inverse_and_log_det(v)
    back, inverse_log_det = model.flow.bijector.forward_and_log_det(tf.identity(latent))
    np.testing.assert_allclose(256 * back, 256 * v, rtol=0, atol=0.02)
    np.testing.assert_allclose(inverse_log_det, -log_det, rtol=1e-4, atol=0.02)
    return latent


def assert_same_step(plain, other, rtol, atol):
    """Two `TrainingStep`s give the same metrics, and most parameters then differ by less than `atol`."""
    expected, found = plain(), other()
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=rtol)
    # Adam's first step is of size 1e-3 whatever the gradient: compare where that is not near 0.
    moved = [np.abs(a - b).max() for a, b in zip(plain.values().values(), other.values().values(), strict=True)]
    assert np.median(moved) < atol


def assert_same_steps_of_parts(whole, split, num_steps=2):
    """Two `TrainingStep`s give the same metrics over some steps; returns those of the first."""
    metrics = []
    for number in range(num_steps):
        expected, found = whole(number), split(number)
        metrics.append(expected)
        for name in expected:
            np.testing.assert_allclose(found[name], expected[name], rtol=2e-3 if number else 1e-4)
    return metrics
