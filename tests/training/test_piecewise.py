"""Schedules made of pieces: boundaries, accuracy, graphs, XLA, what is refused."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfflows.training.schedules import Constant, GeometricDecay, Linear, Piecewise

PIECES = (
    Linear(10, 0.0, 0.5),
    Constant(20, 0.4),
    GeometricDecay(30, 0.4, 0.9),
    Linear(40, 1.0, 0.0),
    GeometricDecay(None, 0.3, 0.5, floor=0.05),
)


def expected(step):
    if step < 10:
        return 0.05 * step
    if step < 20:
        return 0.4
    if step < 30:
        return 0.4 * 0.9 ** (step - 20)
    if step < 40:
        return 1 - 0.1 * (step - 30)
    return 0.3 * 0.5 ** min(step - 40, 3)  # 0.0375 is the first that is not above 0.05


CALLS = {
    "eager": lambda schedule: schedule,
    "graph": tf.function,
    "xla": lambda schedule: tf.function(schedule, jit_compile=True),
}


@pytest.mark.parametrize("call", CALLS)
def test_every_step(call):
    schedule = CALLS[call](Piecewise(PIECES))
    for step in range(60):
        value = schedule(tf.constant(step, tf.int64))
        assert value.dtype == tf.float32 and value.shape == []
        np.testing.assert_allclose(value, expected(step), rtol=1e-6, atol=1e-9)


def test_python_steps_and_steps_beyond_float32():
    schedule = Piecewise([Linear(2**30, 0.0, 1.0), Constant(None, 0.25)])
    assert float(schedule(0)) == 0.0 and float(schedule(2**29)) == 0.5
    assert float(schedule(2**30)) == 0.25 and float(schedule(tf.constant(2**40, tf.int64))) == 0.25
    # In float32 the step before the boundary is the boundary.
    assert float(schedule(tf.constant(2**30 - 1, tf.int64))) == 1.0


@pytest.mark.parametrize("call", CALLS)
def test_a_long_decay_is_accurate(call):
    schedule = CALLS[call](Piecewise([GeometricDecay(None, 1e-3, 0.99995)]))
    for steps in (1, 1_000, 20_000, 100_000):
        exact = 1e-3 * math.exp(steps * math.log1p(-5e-5))
        np.testing.assert_allclose(schedule(tf.constant(steps, tf.int64)), exact, rtol=1e-7)


@pytest.mark.parametrize(("floor", "steps"), [(0.25, 2), (0.26, 2), (0.24, 3), (0.9, 1), (0.0, math.inf)])
def test_the_first_value_that_is_not_above_the_floor_stays(floor, steps):
    piece = GeometricDecay(None, 1.0, 0.5, floor)
    assert piece.steps_to_floor == steps
    schedule = Piecewise([piece])
    np.testing.assert_allclose(schedule(10), 0.5 ** min(steps, 10), rtol=1e-7)


def test_an_optimizer_takes_it():
    optimizer = keras.optimizers.SGD(Piecewise([Constant(1, 0.5), Constant(None, 0.25)]))
    weight = tf.Variable(1.0)
    optimizer.build([weight])
    step = tf.function(lambda: optimizer.apply([tf.constant(1.0)], [weight]))
    for value in (0.5, 0.25, 0.0):
        step()
        assert float(weight) == value


def test_config_round_trip():
    schedule = Piecewise(PIECES)
    copy = Piecewise.from_config(schedule.get_config())
    assert copy.pieces == schedule.pieces and copy.get_config() == schedule.get_config()


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ([], "last piece must be without end"),
        ([Constant(10, 1.0)], "last piece must be without end"),
        ([Linear(10, 0.0, 1.0), Constant(10, 1.0), Constant(None, 2.0)], "begins at step 10 must end after it"),
        ([Constant(None, 1.0), Constant(None, 2.0)], "begins at step 0 must end after it"),
        ([Linear(0, 0.0, 1.0), Constant(None, 1.0)], "begins at step 0 must end after it"),
        ([Linear(None, 0.0, 1.0)], "Linear piece must end"),
    ],
)
def test_pieces_that_do_not_follow_are_refused(pieces, message):
    with pytest.raises(ValueError, match=message):
        Piecewise(pieces)


@pytest.mark.parametrize("settings", [(1.0, 1.0), (1.0, 0.0), (1.0, 1.1), (1.0, 0.5, 1.0), (1.0, 0.5, -0.1)])
def test_decays_that_never_end_are_refused(settings):
    with pytest.raises(ValueError, match=r"factor in \(0, 1\)"):
        GeometricDecay(None, *settings)
