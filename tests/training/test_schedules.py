"""The released warm-up."""

import numpy as np
import pytest
import tensorflow as tf

from tfflows.training.schedules import LinearWarmup, warmup_constant_cooldown


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 0.0), (1, 1e-3 / 977), (488, 1e-3 * 488 / 977), (977, 1e-3), (10**6, 1e-3)]
)
def test_linear_warmup(step, expected):
    schedule = LinearWarmup(1e-3, 977)
    for value in (schedule(step), schedule(tf.constant(step, tf.int64)), tf.function(schedule)(tf.constant(step))):
        assert value.dtype == tf.float32
        np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_no_warmup():
    np.testing.assert_allclose(LinearWarmup(0.5, 0)(0), 0.5)


@pytest.mark.parametrize(("workers", "warmup_steps"), [(8, 977), (40, 196), (1, 7813)])
def test_warmup_of_the_experiments_is_that_of_the_released_code(workers, warmup_steps):
    # min(1, k * 64 * workers / (50000 * 10)) at step k.
    steps = np.arange(0, 2 * warmup_steps, 7)
    released = np.minimum(1.0, steps * 64 * workers / 500_000)
    np.testing.assert_allclose([LinearWarmup(1.0, warmup_steps)(int(k)) for k in steps[:60]], released[:60], rtol=5e-3)
    assert warmup_steps == int(np.ceil(500_000 / (64 * workers)))


def test_config_round_trip():
    schedule = LinearWarmup.from_config(LinearWarmup(0.5, 10).get_config())
    np.testing.assert_allclose(schedule(5), 0.25)


@pytest.mark.parametrize("warmup_steps", [0, 4])
@pytest.mark.parametrize("cooldown_steps", [1, 6, 16])
def test_warmup_constant_cooldown(warmup_steps, cooldown_steps):
    steps = np.arange(30)
    rising = steps / warmup_steps if warmup_steps else np.ones(30)
    expected = 0.5 * np.clip(np.minimum(rising, (20 - steps) / cooldown_steps), 0.0, 1.0)
    schedule = warmup_constant_cooldown(0.5, warmup_steps, cooldown_steps, num_steps=20)
    np.testing.assert_allclose([float(schedule(int(step))) for step in steps], expected, rtol=1e-6)


@pytest.mark.parametrize("lengths", [(5, 16, 20), (-1, 5, 20), (5, 0, 20)])
def test_warmup_and_cooldown_that_do_not_fit_are_refused(lengths):
    with pytest.raises(ValueError, match=f"decay over {lengths[1]} steps do not fit in 20"):
        warmup_constant_cooldown(0.5, *lengths)
