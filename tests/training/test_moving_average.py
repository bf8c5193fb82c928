"""Moving averages: their formula, on replicas, exchanged for evaluation, and resumed bit for bit."""

import contextlib
import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.tiny_runs import EXPERIMENT, TinyTrainer, assert_equal, digits, replicas_of
from tfflows.devices.strategies import distributed_training_batches, make_strategy
from tfflows.evaluation.bits_per_dim import BitsPerDim
from tfflows.training.moving_average import MovingAverage
from tfflows.training.optimizers import Adam
from tfflows.training.train_step import make_train_step

DECAY = 0.9
DTYPES = ("float32", "float64")


def values(step):
    generator = np.random.default_rng(step)
    return [generator.standard_normal(shape) for shape in ([3, 2], [])]


def make(replicas=1, decay=DECAY):
    """A strategy, two variables and their average."""
    strategy = make_strategy("mirrored", replicas)
    with strategy.scope():
        variables = [tf.Variable(v, dtype=dtype) for v, dtype in zip(values(0), DTYPES, strict=True)]
        average = MovingAverage(dict(zip(("model/a", "model/b"), variables, strict=True)), decay)
    return strategy, variables, average


@pytest.mark.parametrize("replicas", [1, 2])
def test_the_formula(replicas):
    strategy, variables, average = make(replicas)
    assert list(average.variables()) == ["average/model/a", "average/model/b"]
    expected = values(0)
    update = tf.function(lambda: strategy.run(average.update), autograph=False)
    for step in range(1, 5):
        for variable, value in zip(variables, values(step), strict=True):
            variable.assign(value)
        update()
        expected = [DECAY * e + (1 - DECAY) * v for e, v in zip(expected, values(step), strict=True)]
    for mean, value, dtype, tolerance in zip(
        average.variables().values(), expected, DTYPES, (1e-6, 1e-14), strict=True
    ):
        assert mean.dtype == dtype and not mean.trainable
        for copy in replicas_of(strategy, mean):
            np.testing.assert_allclose(copy, value, rtol=tolerance)


def test_parameters_that_stay_are_their_own_average():
    strategy, variables, average = make(decay=0.999222)
    for _ in range(50):
        strategy.run(average.update)
    for variable, mean in zip(variables, average.variables().values(), strict=True):
        np.testing.assert_array_equal(mean, variable)


@pytest.mark.parametrize("replicas", [1, 2])
def test_reset_takes_the_parameters(replicas):
    strategy, variables, average = make(replicas)
    for variable in variables:
        variable.assign(variable + 1)
    average.reset()
    for variable, mean in zip(variables, average.variables().values(), strict=True):
        for copy in replicas_of(strategy, mean):
            np.testing.assert_array_equal(copy, variable)


def state_of(strategy, variables, average):
    both = [*variables, *average.variables().values()]
    return [copy for variable in both for copy in replicas_of(strategy, variable)]


def assert_same(found, expected):
    for value, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(value, other)


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("fails", [False, True])
def test_exchanged_and_back(replicas, fails):
    strategy, variables, average = make(replicas)
    for variable, value in zip(variables, values(1), strict=True):
        variable.assign(value)
    before = state_of(strategy, variables, average)
    with pytest.raises(KeyError) if fails else contextlib.nullcontext(), average.exchanged():
        inside = state_of(strategy, variables, average)
        half = len(before) // 2
        assert_same(inside, [*before[half:], *before[:half]])
        with pytest.raises(RuntimeError, match="exchanged already"), average.exchanged():
            pass
        assert_same(state_of(strategy, variables, average), inside)
        if fails:
            raise KeyError("evaluation")
    assert_same(state_of(strategy, variables, average), before)
    with average.exchanged():
        pass


@pytest.mark.parametrize("failing", ["parameter", "average"])
def test_an_exchange_that_fails_halfway_loses_nothing(monkeypatch, failing):
    strategy, variables, average = make()
    for variable, value in zip(variables, values(1), strict=True):
        variable.assign(value)
    before = state_of(strategy, variables, average)
    broken = variables[1] if failing == "parameter" else average.variables()["average/model/b"]
    calls = []

    class Broken:
        def __getattr__(self, name):
            return getattr(broken, name)

        def assign(self, value):
            calls.append(value)
            if len(calls) == 1:
                raise MemoryError
            return broken.assign(value)

    pairs = [list(pair) for pair in zip(variables, average.variables().values(), strict=True)]
    pairs[1][failing == "average"] = Broken()
    monkeypatch.setattr(average, "_pairs", lambda: pairs)
    with pytest.raises(MemoryError), average.exchanged():
        raise AssertionError("was entered")
    assert_same(state_of(strategy, variables, average), before)


@pytest.mark.parametrize("decay", [1.0, -0.1, 1.5])
def test_a_decay_outside_is_refused(decay):
    with pytest.raises(ValueError, match=f"must lie in .*{decay}"):
        make(decay=decay)
    with pytest.raises(ValueError, match=f"ema_decay must be at least 0 and below 1, got {decay}"):
        dataclasses.replace(EXPERIMENT, ema_decay=decay)


OPTIMIZERS = {"adam": lambda: Adam(0.1), "keras": lambda: keras.optimizers.SGD(0.1)}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("replicas", [1, 2])
def test_the_step_averages_what_it_has_updated(optimizer, replicas):
    strategy = make_strategy("mirrored", replicas)
    with strategy.scope():
        weight = tf.Variable([1.0, -2.0])
        optimizer = OPTIMIZERS[optimizer]()
        optimizer.build([weight])
        average = MovingAverage({"model/weight": weight}, DECAY)

    class Model:
        def training_loss(self, images, labels, keys):
            del labels, keys
            loss = tf.reduce_sum(weight**2) * tf.reduce_mean(tf.cast(images, tf.float32), axis=[1, 2, 3])
            return loss, {"bits_per_dim": loss}

    step = make_train_step(
        strategy, Model(), optimizer, {"model/weight": weight}, global_batch_size=8, seed=0, moving_average=average
    )
    batches = iter(
        distributed_training_batches(strategy, digits(), global_batch_size=8, seed=0, start_step=0, augmentation="none")
    )
    expected = weight.numpy()
    for _ in range(3):
        step(next(batches))
        expected = DECAY * expected + (1 - DECAY) * weight.numpy()
        first, *others = replicas_of(strategy, average.variables()["average/model/weight"])
        np.testing.assert_allclose(first, expected, rtol=1e-6)
        for other in others:
            np.testing.assert_array_equal(other, first)


@pytest.fixture(scope="module")
def averaging():
    return TinyTrainer(experiment=dataclasses.replace(EXPERIMENT, ema_decay=DECAY))


def test_the_average_starts_at_the_initialized_parameters(averaging, tmp_path):
    averaging.run(tmp_path, 1)  # the learning rate of the first step is 0
    means = averaging.averages()
    for name, mean in means.items():
        np.testing.assert_array_equal(mean.numpy(), averaging.initial[name.removeprefix("average/")], name)
    assert len(means) == sum(variable.trainable for variable in averaging.model.variables)


@pytest.mark.parametrize("steps_per_execution", [1, 4])
def test_resumed_bit_for_bit(averaging, tmp_path, steps_per_execution):
    averaging.run(tmp_path / "whole", 10)
    expected = averaging.values()
    averaging.run(tmp_path / "parts", 4, steps_per_execution=steps_per_execution)
    averaging.run(tmp_path / "parts", 10, steps_per_execution=steps_per_execution)
    assert_equal(averaging.values(), expected)
    moved = [n for n in expected if n.startswith("average/") and np.any(expected[n] != expected[n[len("average/") :]])]
    assert len(moved) == len(averaging.averages())


def test_the_best_checkpoint_holds_both_and_nothing_is_exchanged(averaging, tmp_path):
    seen, results = {}, iter((8.0, 7.0))

    def evaluate():
        with averaging.flat.exchanged(averaging.average):
            seen.update(averaging.values())
        return BitsPerDim(np.array([next(results), 9.0]))

    averaging.run(tmp_path, 6, evaluate=evaluate, evaluate_every=4, keep_best=True)
    reader = tf.train.load_checkpoint(str(tmp_path / "best" / "step-6"))
    found = averaging.values()
    for name, part in averaging.averages().items():
        parameter, mean = name.removeprefix("average/"), part.numpy()
        np.testing.assert_array_equal(seen[parameter], mean)
        np.testing.assert_array_equal(reader.get_tensor(name), mean)
        np.testing.assert_array_equal(reader.get_tensor(parameter), found[parameter])


def test_an_experiment_without_average_has_no_variables_of_one():
    assert EXPERIMENT.ema_decay == 0.0
    trainer = TinyTrainer()
    assert not [name for name in trainer.variables if name.startswith("average/")]
