"""Noise that is popped has its distribution whatever is on the stack, and is taken back."""

import types

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tfflows.compression.coder import Stack, random_masks, seeds_of
from tfflows.compression.maps.base import Run
from tfflows.compression.maps.plan import Plan
from tfflows.compression.network import Networks
from tfflows.compression.noise import GaussianNoise, NormalNoise, UniformNoise

SHAPE, SPREAD = (8, 8, 3), 2.0**12


def gaussian():
    """Noise of mean 1 and scale 1 / 2."""

    def network(data):
        return tf.concat([tf.ones_like(data), tf.fill(tf.shape(data), -np.log(2.0))], axis=-1)

    return GaussianNoise(types.SimpleNamespace(network=network), SHAPE, Plan(Networks(), SPREAD, []))


KINDS = {
    "uniform": (lambda: UniformNoise(SHAPE, 5), stats.uniform(0, 1)),
    "normal": (lambda: NormalNoise(SHAPE, SPREAD), stats.norm()),
    "gaussian": (gaussian, stats.norm(1, 0.5)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_noise_has_its_distribution_whatever_is_on_the_stack(kind):
    make, distribution = KINDS[kind]
    noise, data = make(), np.random.default_rng(0).normal(size=[20, *SHAPE])
    # What is there is what a pop of the same noise would give back: one value again and again.
    stack, same = Stack(), np.zeros(data.shape)
    run = Run(stack, len(data))
    values = np.full(data.shape, int(distribution.mean() / noise.grid.flat[0]) + 3)
    noise.take_back(values, same, run)
    before = stack.words()
    drawn = noise.draw(data, run)
    within = np.random.default_rng(1).uniform(0, 1, data.shape)
    assert stats.kstest(((drawn + within) * noise.grid).ravel(), distribution.cdf).pvalue > 1e-3
    assert abs(np.corrcoef(drawn[:10].ravel(), drawn[10:].ravel())[0, 1]) < 0.06
    noise.take_back(drawn, data, run)
    np.testing.assert_array_equal(stack.words()[-len(before) :], before)
    np.testing.assert_array_equal(noise.draw(same, run), values)


def test_masks_follow_from_each_event_alone():
    events = np.random.default_rng(0).integers(0, 256, [3, *SHAPE], np.uint8)
    seeds = seeds_of(events)
    assert len(set(seeds.tolist())) == 3
    np.testing.assert_array_equal(seeds_of(events[1:2]), seeds[1:2])
    np.testing.assert_array_equal(seeds_of(events.astype(">f8")), seeds_of(events.astype("<f8")))
    masks = random_masks(seeds, SHAPE, 18)
    np.testing.assert_array_equal(random_masks(seeds[2:], SHAPE, 18), masks[2:])


def test_no_bits_are_no_noise():
    stack, data = Stack(), np.zeros([2, *SHAPE])
    noise = UniformNoise(SHAPE, 0)
    assert not noise.draw(data, Run(stack, 2)).any()
    noise.take_back(np.zeros(data.shape, np.int64), data, Run(stack, 2))
    assert stack.holds_noise_alone()
