"""Training steps of a model with batch norm: one global batch, however it is split; what no split can give is refused."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.reproductions.steps import BATCH, TrainingStep, images
from tests.slow import slow_but
from tfflows.bijectors import ActNorm, AffineCoupling, BatchNorm, Chain, CheckerboardAffineCoupling, Squeeze
from tfflows.devices.strategies import make_strategy
from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.distributions.penalized_flow import PenalizedFlow
from tfflows.math.random import row_keys
from tfflows.networks import ShiftedBatchNorm, UnitNormConv2D
from tfflows.tracing.batch_statistics import has_batch_statistics
from tfflows.tracing.memory import memory_scope
from tfflows.tracing.variables import named_variables
from tfflows.training import Execution, LoopSettings, Trainer
from tfflows.training.optimizers import Adam

tfd = tfp.distributions
STEPS = 2


def network(filters, channels):
    layers = [ShiftedBatchNorm(), UnitNormConv2D(4, 3), keras.layers.ReLU(), UnitNormConv2D(filters, 1)]
    made = keras.Sequential(layers)
    made.build([None, 4, 4, channels])
    return made


def build(rescaling=0.3):
    checkerboard = CheckerboardAffineCoupling(network(6, 3), initial_rescaling=rescaling)
    channel = AffineCoupling(network(12, 6), scale="rescaled_tanh", parameter_order="contiguous")
    step = Chain([checkerboard, BatchNorm(3, part="odd")])
    flow = Chain([step, Squeeze(), channel, BatchNorm(12, part="second")])
    base = tfd.Sample(tfd.Normal(0.0, 1.0), [4, 4, 12])
    return PenalizedFlow(tfd.TransformedDistribution(base, flow), penalized=[checkerboard.rescaling])


@functools.cache
def steps(**options):
    """Metrics of each of two steps, and all variables after them."""
    step = TrainingStep(build, lambda rate: Adam(rate, global_clipnorm=100.0), learning_rate=1e-4, **options)
    metrics = [step(number) for number in range(STEPS)]
    variables = named_variables(step.model)
    for name, variable in variables.items():
        first, *others = step.strategy.experimental_local_results(variable)
        for other in others:
            np.testing.assert_array_equal(other, first, name)
    return metrics, {name: variable.numpy() for name, variable in variables.items()}


WAYS = {
    "two replicas": {"replicas": 2},
    "accumulated": {"accumulate": 2},
    "side by side": {"num_side_by_side": 2},
    "recomputed": {"memory": "recompute"},
    "compiled": {"jit_compile": True},
    "two replicas, accumulated": {"replicas": 2, "accumulate": 2},
}


@pytest.mark.parametrize("way", slow_but(["two replicas"], WAYS))
def test_one_global_batch_however_it_is_split(way):
    expected, found = steps(), steps(**WAYS[way])
    for ours, theirs in zip(found[0], expected[0], strict=True):
        for name in theirs:
            np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-4, err_msg=name)
    for name, value in expected[1].items():
        # Adam's step is of the size of the rate, whatever the gradient.
        tolerance = 1e-4 if name.rpartition("/")[2] in ("mean", "variance") else 2 * STEPS * 1e-4
        np.testing.assert_allclose(found[1][name], value, rtol=1e-3, atol=tolerance, err_msg=name)


def test_the_running_statistics_move_and_the_penalty_counts():
    metrics, variables = steps()
    moved = [v for name, v in variables.items() if name.rpartition("/")[2] == "mean"]
    assert len(moved) == 4 and all(np.abs(value).max() > 0 for value in moved)
    # In nats per image, with 5e-5 of the squared scale, which is not in bits/dim.
    nats = metrics[0]["bits_per_dim"] * 192 * np.log(2)
    assert metrics[0]["loss"] - nats == pytest.approx(5e-5 * 0.3**2, abs=1e-3)


def test_a_step_that_is_not_finite_leaves_the_running_statistics():
    step = TrainingStep(lambda: build(rescaling=np.nan), Adam)
    variables = named_variables(step.model)
    before = {name: variable.numpy() for name, variable in variables.items()}
    assert not np.isfinite(step()["loss"])
    for name, value in before.items():
        np.testing.assert_array_equal(variables[name], value, name)


@pytest.mark.slow
def test_a_run_goes_on_bit_for_bit(tmp_path):
    source = images(count=16).numpy()

    def trainer(workdir):
        settings = LoopSettings(checkpoint_every=2, evaluation_batch_size=4)
        return Trainer(build(), Adam(1e-3), workdir=workdir, settings=settings)

    def fit(trainer, num_steps):
        trainer.fit(source, num_steps, batch_size=4, init_batch_size=0)
        return {name: variable.numpy() for name, variable in trainer.parameters.variables.items()}

    whole = fit(trainer(tmp_path / "whole"), 3)
    fit(trainer(tmp_path / "parts"), 2)
    resumed = trainer(tmp_path / "parts")
    parts = fit(resumed, 3)
    assert sum(name.endswith("/mean") for name in whole) == 4
    for name, value in whole.items():
        np.testing.assert_array_equal(parts[name], value, name)
    # Evaluation is frozen: each image has its own value, whatever the batch.
    alone = resumed.evaluate(source[:3]).per_image
    together = resumed.evaluate(source).per_image[:3]
    np.testing.assert_allclose(alone, together, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"execution": Execution(memory="reversible")}, r"cannot be rebuilt from its latents.*'recompute'"),
        ({"ema_decay": 0.9}, "takes no averages: set ema_decay to 0, got 0.9"),
    ],
)
def test_what_cannot_be_right_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Trainer(build(), Adam(), **options)


def test_what_several_replicas_cannot_do():
    with pytest.raises(ValueError, match=r"all 2 replicas.*in jit_compile: leave it off"):
        Execution(jit_compile=True).with_batch_statistics(2)
    with pytest.raises(ValueError, match=r"all 2 replicas.*in the memory mode 'recompute': leave it off"):
        Execution(memory="recompute").with_batch_statistics(2)
    assert Execution(jit_compile=True).with_batch_statistics(1).jit_compile
    assert Execution(accumulate=4, num_side_by_side=2).with_batch_statistics(1) == Execution(memory="recompute")
    assert Execution(accumulate=4, num_side_by_side=2).with_batch_statistics(8) == Execution()
    strategy = make_strategy("mirrored", 2)
    with strategy.scope():
        model = build()

    def run():
        with memory_scope("recompute"), model.training_pass():
            return model.training_loss(images(), tf.zeros([BATCH], tf.int32), row_keys(0))

    with pytest.raises(
        ValueError, match="belongs to a model with batch norm, which needs the statistics of all 2 replicas"
    ):
        tf.function(strategy.run, autograph=False)(run)


def test_a_loss_of_its_own_loop_updates_once():
    model = build()
    norm = model.flow.bijector.bijectors[-1]
    model.training_loss(images(), tf.zeros([BATCH], tf.int32), row_keys(0))
    once = norm.mean.numpy()
    assert np.abs(once).max() > 0
    with model.training_pass(update=False):
        model.training_loss(images(), tf.zeros([BATCH], tf.int32), row_keys(0))
    np.testing.assert_array_equal(norm.mean, once)
    model.elbo(images(), row_keys(0))
    np.testing.assert_array_equal(norm.mean, once)


def test_models_without_batch_norm_open_no_pass():
    base = tfd.Sample(tfd.Normal(0.0, 1.0), [8, 8, 3])
    model = DequantizedFlow(tfd.TransformedDistribution(base, ActNorm([3])))
    assert not model.has_batch_statistics and not has_batch_statistics(model) and build().has_batch_statistics
