"""The released learning rates, at the numbers that their specification names."""

import types

import numpy as np
import pytest

from reproductions.flowpp import schedules as flowpp
from reproductions.vflow.experiments import EXPERIMENTS
from reproductions.vflow.schedules import SCHEDULES, build_schedule


def schedule(name):
    return build_schedule(types.SimpleNamespace(schedule=name))


@pytest.mark.parametrize(
    ("step", "value"),
    [
        (0, 0.0),
        (1, 6e-7),
        (1_000, 6e-4),
        (1_999, 1.2e-3 * 0.9995),
        (2_000, 1.2e-3),
        (50_000, 1.2e-3),
        (50_001, 1.2e-3 * 0.99999),
        (150_000, 1.2e-3 * 0.99999**100_000),
    ],
)
def test_published_rates_of_cifar10(step, value):
    np.testing.assert_allclose(float(schedule("cifar10")(step)), value, rtol=1e-5)


def test_where_the_decay_ends():
    """At step 188,629 or so, four times lower than the peak."""
    rate = schedule("cifar10")
    below = [step for step in range(188_600, 188_660) if float(rate(step)) <= 3e-4 * (1 + 1e-7)]
    assert abs(below[0] - 188_629) <= 2
    assert float(rate(below[0])) == float(rate(10**7)) > 3e-4 * 0.9999


def test_those_of_imagenet_are_flowpps():
    for name in ("imagenet32", "imagenet64"):
        assert SCHEDULES[name] is flowpp.SCHEDULES[name]
    published = [experiment for experiment in EXPERIMENTS.values() if experiment.scale == "paper"]
    assert {experiment.schedule for experiment in published} == set(SCHEDULES)


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="Unknown schedule 'cifar'; the valid ones are cifar10, imagenet32"):
        schedule("cifar")
