"""The released learning rates, at the numbers that their specification names."""

import types

import numpy as np
import pytest
import tensorflow as tf

from reproductions.flowpp.schedules import SCHEDULES, build_schedule
from tfflows.training.schedules import LinearWarmup


def schedule(name, **fields):
    return build_schedule(types.SimpleNamespace(schedule=name, **fields))


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_first_step_has_rate_zero_and_no_other(name):
    rate = schedule(name)
    assert float(rate(0)) == 0.0 and float(rate(tf.constant(0, tf.int64))) == 0.0
    ends = [piece.until for piece in SCHEDULES[name] if piece.until]
    zeros = {"imagenet64": [230_000, 280_000], "imagenet64_5bit": [110_000]}.get(name, [])  # ramps from 0
    for step in [1, *(end + offset for end in ends for offset in (-1, 0, 1)), 10**7]:
        value = float(rate(step))
        assert np.isfinite(value) and (value > 0) == (step not in zeros)


# Steps with their rates; linear pieces and decays between.
POINTS = {
    "cifar10": {1: 1.5e-7, 1_000: 1.5e-4, 1_999: 3e-4 * 0.9995, 2_000: 3e-4, 10**6: 3e-4},
    "imagenet32": {1: 2e-7, 4_999: 9.998e-4, 5_000: 9.998e-4, 50_000: 9.998e-4, 50_001: 9.998e-4 * 0.99995},
    "imagenet64": {
        1: 4e-8,
        9_999: 4e-4 * 0.9999,
        10_000: 4e-4,
        50_000: 4e-4,
        50_001: 4e-4 * 0.99995,
        54_999: 4e-4 * 0.99995**4_999,
        55_000: 3e-4,
        229_999: 3e-4,
        230_000: 0.0,
        235_000: 5e-6,
        240_000: 1e-5,
        279_999: 1e-5,
        280_000: 0.0,
        285_000: 5e-7,
        290_000: 1e-6,
        10**6: 1e-6,
    },
    "imagenet64_5bit": {
        10_000: 4e-4,
        50_001: 4e-4 * 0.9995,
        50_575: 4e-4 * 0.9995**575,
        50_576: 3e-4,
        109_999: 3e-4,
        110_000: 0.0,
        120_000: 5e-6,
        130_000: 1e-5,
        10**6: 1e-5,
    },
    "celeba64": {10_000: 2e-5, 20_000: 4e-5, 50_000: 4e-5, 50_001: 4e-5 * 0.9995},
    "celeba128": {1: 2e-10, 25_000: 5e-6, 50_000: 1e-5, 10**6: 1e-5},
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_published_rates(name):
    rate = tf.function(schedule(name), jit_compile=True)
    for step, value in POINTS[name].items():
        np.testing.assert_allclose(rate(tf.constant(step, tf.int64)), value, rtol=1e-6, err_msg=str(step))


@pytest.mark.parametrize(
    ("name", "threshold", "start", "steps", "margin"),
    [
        # "Until at most 3e-4, at step 74,080 or so": 24,079 decays from 1e-3, 24,075 from what is kept of it.
        ("imagenet32", 3e-4, 50_000, 24_075, 5),
        ("imagenet64_5bit", 3e-4, 50_000, 576, 0),
        ("celeba64", 1e-5, 50_000, 2_772, 0),
    ],
)
def test_where_the_decays_end(name, threshold, start, steps, margin):
    rate = schedule(name)
    below = [
        step for step in range(start + steps - 10, start + steps + 10) if float(rate(step)) <= threshold * (1 + 1e-7)
    ]
    assert below[0] == start + steps
    if name == "imagenet32":
        assert abs(below[0] - 74_080) <= margin
    if name != "imagenet64_5bit":
        assert float(rate(below[0])) == float(rate(10**6)) > threshold * 0.9995
        assert float(rate(below[0] - 1)) > threshold


def test_the_decay_of_imagenet64_does_not_reach_its_goal():
    np.testing.assert_allclose(float(schedule("imagenet64")(54_999)) * 0.99995, 3.115e-4, rtol=2e-4)


def test_without_a_name_it_is_a_warm_up():
    rate = schedule("", learning_rate=0.5, warmup_steps=10)
    assert isinstance(rate, LinearWarmup)
    np.testing.assert_allclose([float(rate(step)) for step in (0, 5, 10, 100)], [0.0, 0.25, 0.5, 0.5])


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="Unknown schedule 'cifar'; the valid ones are cifar10, imagenet32"):
        schedule("cifar")
