import io

import numpy as np
import pytest
import tensorflow as tf

from tfflows import progress
from tfflows.networks import PixelCNN
from tfflows.networks.pixelcnn.sampling import cached_sample
from tfflows.tracing.reports import reporting


def loop(x):
    """A loop whose every turn reports; made anew each time."""

    @tf.function(autograph=False)
    def run(x):
        def body(number, x):
            x = tf.tanh(2 * x + 0.1)
            reporting(x, number, 5, 3)
            return number + 1, x

        return tf.while_loop(lambda number, _: number < 5, body, (tf.constant(0), x))[1]

    return run(x).numpy()


@pytest.fixture
def parts(monkeypatch):
    """What the innermost task is told."""
    told = []
    monkeypatch.setattr(progress.Task, "part", lambda self, fraction, size: told.append((fraction, size)))
    return told


def test_each_turn_of_a_loop_reports_in_order(parts):
    x = tf.constant([0.3, -0.7])
    silent = loop(x)
    assert parts == []
    with progress.shown(stream=io.StringIO()), progress.Task("loop", total=3):
        told = loop(x)
    assert parts == [(0.2, 3), (0.4, 3), (0.6, 3), (0.8, 3), (1.0, 3)]
    np.testing.assert_array_equal(told, silent)


@pytest.mark.slow
def test_rows_of_pixels_report_and_are_the_same(parts):
    network = PixelCNN(4, 10 * 2, 1, seed=0)
    uniforms = np.random.default_rng(0).uniform(0.01, 0.99, [3, 8, 8, 5]).astype(np.float32)
    arguments = network, 2, tf.constant(uniforms[..., :2]), tf.constant(uniforms[..., 2:])
    silent = cached_sample(*arguments).numpy()
    with progress.shown(stream=io.StringIO()), progress.Task("sampling", total=3):
        told = cached_sample(*arguments).numpy()
    assert parts == [((row + 1) / 8, 3) for row in range(8)]
    np.testing.assert_array_equal(told, silent)
