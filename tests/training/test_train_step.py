"""One step gives the same however its batch is split: trap 6 of the design."""

import dataclasses
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.slow import slow_but
from tests.training.tiny_runs import EXPERIMENT, assert_close, build_model, digits, replicas_of
from tfflows.devices.strategies import distributed_training_batches, make_strategy
from tfflows.math.random import row_keys
from tfflows.tracing.variables import named_variables
from tfflows.training import train_step
from tfflows.training.optimizers import GlowAdamax
from tfflows.training.parameters import build_flat
from tfflows.training.train_step import make_train_step

BATCH = 8
STEPS = 3
CLIP_NORM = 0.5
OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
    "clipped": lambda: keras.optimizers.SGD(0.1, momentum=0.9, global_clipnorm=CLIP_NORM),
    "adamax": lambda: GlowAdamax(0.01, beta_2=0.99),
    "clipped_adamax": lambda: GlowAdamax(0.01, beta_2=0.99, global_clipnorm=CLIP_NORM),
}


@functools.cache
def run(optimizer="sgd", replicas=1, accumulate=1, jit_compile=False, memory="plain", depth=1, side_by_side=1):
    """Metrics of each of three steps, and the parameters after them."""
    strategy = make_strategy("mirrored", replicas)
    model = build_model(strategy, dataclasses.replace(EXPERIMENT, depth=depth))
    trained = {name: v for name, v in named_variables(model).items() if v.trainable}
    with strategy.scope():
        optimizer = OPTIMIZERS[optimizer]()
        flat = build_flat(optimizer, trained)
    train_step = make_train_step(
        strategy,
        model,
        optimizer,
        trained,
        global_batch_size=BATCH,
        seed=5,
        accumulate=accumulate,
        jit_compile=jit_compile,
        memory=memory,
        num_side_by_side=side_by_side,
        flat_parameters=flat,
    )
    batches = iter(
        distributed_training_batches(
            strategy,
            digits(),
            global_batch_size=BATCH,
            seed=5,
            start_step=0,
            augmentation="none",
            accumulate=accumulate,
        )
    )
    metrics = [{name: value.numpy() for name, value in train_step(next(batches)).items()} for _ in range(STEPS)]
    for variable in trained.values():
        first, *others = replicas_of(strategy, variable)
        for other in others:
            np.testing.assert_array_equal(other, first)
    return metrics, {name: variable.numpy() for name, variable in trained.items()}


SPLITS = [(2, 1), (4, 1), (1, 4), (2, 2)]


@pytest.mark.parametrize(
    ("optimizer", "replicas", "accumulate"),
    slow_but(
        [("sgd", 2, 1)],
        [("sgd", *split) for split in SPLITS]
        + [("clipped", 2, 1), ("clipped", 1, 2), ("adamax", 2, 2), ("clipped_adamax", 2, 1)],
        rows=True,
    ),
)
def test_a_split_batch_gives_the_loss_and_the_update_of_the_whole(optimizer, replicas, accumulate):
    metrics, parameters = run(optimizer, replicas, accumulate)
    expected_metrics, expected_parameters = run(optimizer)
    for values, expected in zip(metrics, expected_metrics, strict=True):
        assert_close(values, expected, rtol=2e-5)
    assert_close(parameters, expected_parameters, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize(
    ("side_by_side", "accumulate", "memory"),
    slow_but([], [(3, 1, "plain"), (2, 2, "plain"), (2, 1, "reversible")], rows=True),
)
def test_parts_side_by_side_give_the_same(side_by_side, accumulate, memory):
    metrics, parameters = run("adamax", 1, accumulate, memory=memory, depth=2, side_by_side=side_by_side)
    expected_metrics, expected_parameters = run("adamax", depth=2)
    for values, expected in zip(metrics, expected_metrics, strict=True):
        assert_close(values, expected, rtol=2e-5)
    assert_close(parameters, expected_parameters, rtol=1e-4, atol=2e-6)


def test_the_clipping_is_felt():
    (first, *_), clipped = run("clipped")
    assert first["gradient_norm"] > 2 * CLIP_NORM
    _, free = run("sgd")
    assert max(np.abs(clipped[name] - free[name]).max() for name in free) > 0.01


@pytest.mark.slow
def test_xla_gives_the_same():
    metrics, parameters = run("sgd", 2, 2, jit_compile=True)
    expected_metrics, expected_parameters = run()
    for values, expected in zip(metrics, expected_metrics, strict=True):
        assert_close(values, expected, rtol=2e-5)
    assert_close(parameters, expected_parameters, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("memory", slow_but([], ["recompute", "reversible"]))
def test_memory_modes_under_replication(memory):
    metrics, parameters = run("adamax", 2, memory=memory, depth=2)
    expected_metrics, expected_parameters = run("adamax", depth=2)
    for values, expected in zip(metrics, expected_metrics, strict=True):
        assert_close(values, expected, rtol=2e-5)
    assert_close(parameters, expected_parameters, rtol=1e-4, atol=2e-6)


def test_the_loss_is_the_mean_over_the_batch():
    strategy = make_strategy("one_device")
    model = build_model(strategy)
    batch = next(
        iter(
            distributed_training_batches(
                strategy, digits(), global_batch_size=BATCH, seed=5, start_step=0, augmentation="none"
            )
        )
    )
    losses, _ = model.training_loss(batch["image"], batch["label"], row_keys(5, step=0))
    (metrics, *_), _ = run()
    np.testing.assert_allclose(metrics["loss"], np.mean(losses.numpy()), rtol=1e-5)
    np.testing.assert_allclose(metrics["bits_per_dim"], metrics["loss"], rtol=1e-6)
    # The noise is another in each step.
    again, _ = model.training_loss(batch["image"], batch["label"], row_keys(5, step=1))
    assert np.abs(again - losses).min() > 0


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_variable_that_the_loss_does_not_depend_on_is_named(replicas):
    strategy = make_strategy("mirrored", replicas)
    with strategy.scope():
        used, unused = tf.Variable(1.0), tf.Variable(1.0)
        optimizer = keras.optimizers.SGD(0.1)
        optimizer.build([used, unused])

    class Model:
        def training_loss(self, images, labels, keys):
            del labels, keys
            loss = used * tf.reduce_mean(tf.cast(images, tf.float32), axis=[1, 2, 3])
            return loss, {"bits_per_dim": loss}

    variables = {"model/used": used, "model/unused": unused}
    train_step = make_train_step(strategy, Model(), optimizer, variables, global_batch_size=BATCH, seed=0)
    batches = distributed_training_batches(
        strategy, digits(), global_batch_size=BATCH, seed=0, start_step=0, augmentation="none"
    )
    with pytest.raises(ValueError, match=r"does not depend on 1 trained variables: model/unused\."):
        train_step(next(iter(batches)))


@pytest.mark.parametrize(("bytes_per_bucket", "expected"), [(25 * 2**20, 1), (64, 4)])
def test_gradients_are_reduced_in_few_buckets(monkeypatch, bytes_per_bucket, expected):
    monkeypatch.setattr(train_step, "BYTES_PER_BUCKET", bytes_per_bucket)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])  # reduces as several workers do
    with strategy.scope():
        variables = {f"model/{number}": tf.Variable(tf.ones([16])) for number in range(8)}  # of 64 bytes each
        optimizer = GlowAdamax(0.01)
        optimizer.build(list(variables.values()))

    class Model:
        def training_loss(self, images, labels, keys):
            del labels, keys
            product = tf.add_n([variable * variable for variable in variables.values()])
            return tf.reduce_sum(product) * tf.reduce_mean(tf.cast(images, tf.float32), axis=[1, 2, 3]), {}

    step = make_train_step(strategy, Model(), optimizer, variables, global_batch_size=BATCH, seed=0)
    batches = distributed_training_batches(
        strategy, digits(), global_batch_size=BATCH, seed=0, start_step=0, augmentation="none"
    )
    operations = step.get_concrete_function(next(iter(batches))).graph.get_operations()
    reductions = [o for o in operations if o.type.startswith("CollectiveReduce") and o.device.endswith("CPU:1")]
    # Beside eight gradients there is the loss; a bucket is closed once it holds more than its size.
    assert len(reductions) == expected + (bytes_per_bucket == 64)
