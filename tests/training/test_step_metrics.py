"""What a run logs of its steps: means over the steps since the last line, and times."""

import types

import numpy as np
import pytest
import tensorflow as tf

from tfflows.training import loop
from tfflows.training.loop import StepMetrics, TrainingDiverged, TrainingState


@pytest.fixture
def clock(monkeypatch):
    """A clock that only the test moves."""
    time = types.SimpleNamespace(now=100.0)
    monkeypatch.setattr(loop.time, "monotonic", lambda: time.now)
    return time


class Lines(list):
    """Stands in for the logger and the progress."""

    def log(self, step, line):
        self.append((step, line))

    def update(self, step, **values):
        self.shown = step, values


def made(state, lines, num_steps=7, log_every=3):
    return StepMetrics(
        state,
        lines,
        lines,
        ["bits_per_dim", "norm"],
        lambda step: 0.1 * step,
        4,
        num_steps=num_steps,
        log_every=log_every,
    )


def rows(*values):
    return tf.constant([[value, 10 * value] for value in values], tf.float64)


def test_lines_are_means_and_times_since_the_line_before(clock):
    state, lines = TrainingState(), Lines()
    metrics = made(state, lines)
    for values, seconds in (((1.0, 2.0), 3.0), ((3.0, 4.0), 1.0), ((5.0, 6.0, 7.0), 6.0)):
        clock.now += seconds
        metrics.add(rows(*values))
    assert [step for step, _ in lines] == [3, 6, 7] and lines.shown == (7, {"bits_per_dim": 7.0})
    # Steps that come together are given equal times: 1.5, 1.5, 0.5, 0.5, 2, 2, 2 seconds.
    expected = {
        3: {"bits_per_dim": 2.0, "norm": 20.0, "learning_rate": 0.2, "seconds": 3.5, "images_per_second": 12 / 3.5},
        6: {"bits_per_dim": 5.0, "norm": 50.0, "learning_rate": 0.5, "seconds": 8.0, "images_per_second": 12 / 4.5},
        7: {"bits_per_dim": 7.0, "norm": 70.0, "learning_rate": 0.6, "seconds": 10.0, "images_per_second": 4 / 2.0},
    }
    for step, line in lines:
        assert line == pytest.approx(expected[step]), step
    assert metrics.last_line == lines[-1][1]
    assert state.step == 7 and state.seconds == pytest.approx(10.0) and state.window == {}


def test_a_window_that_a_checkpoint_holds_goes_on(clock):
    state, lines = TrainingState(step=5, seconds=50.0, window={"bits_per_dim": 9.0, "norm": 90.0}), Lines()
    metrics = made(state, lines)
    clock.now += 2.0
    metrics.add(rows(6.0))
    ((step, line),) = lines
    assert step == 6 and line["bits_per_dim"] == pytest.approx(5.0)  # steps 4, 5 and 6
    assert line["seconds"] == pytest.approx(52.0) and line["images_per_second"] == pytest.approx(2.0)


def test_time_that_is_paused_does_not_count(clock):
    state, lines = TrainingState(), Lines()
    metrics = made(state, lines)
    clock.now += 1.0
    with metrics.paused():
        clock.now += 100.0
    metrics.add(rows(1.0))
    assert state.seconds == pytest.approx(1.0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_names_the_step_and_is_not_counted(clock, value):
    state, lines = TrainingState(), Lines()
    clock.now += 1.0
    with pytest.raises(TrainingDiverged, match="not finite at step 2"):
        made(state, lines).add(rows(1.0, value))
    assert state.step == 1 and state.window == {"bits_per_dim": 1.0, "norm": 10.0}
