"""Several steps in a call: which ones, traced how often; that nothing else changes is tested with the loop."""

import numpy as np
import pytest
import tensorflow as tf

from tfflows.training.train_step import make_several_steps, steps_before


@pytest.mark.parametrize("steps_per_execution", [4, 1])
def test_each_step_takes_its_batch_and_gives_its_row(steps_per_execution):
    total, traces = tf.Variable(0.0), []

    @tf.function
    def train_step(batch):
        traces.append(batch)
        total.assign_add(batch)
        return {"batch": batch, "total": total.read_value(), "other": -batch}

    take = make_several_steps(train_step, ["total", "batch"], steps_per_execution)
    batches = iter(tf.data.Dataset.range(100).map(lambda number: tf.cast(number, tf.float32)))
    counts = [1, 3, 4, 1, 2] if steps_per_execution > 1 else [1] * 11
    rows = np.concatenate([take(batches, count).numpy() for count in counts])
    np.testing.assert_array_equal(rows, np.stack([np.cumsum(np.arange(11.0)), np.arange(11.0)], axis=1))
    assert len(traces) == 1
    for count in (0, steps_per_execution + 1):
        with pytest.raises(ValueError, match=f"num_steps must be 1 to {steps_per_execution}, got {count}"):
            take(batches, count)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nothing_is_taken_after_a_step_that_is_not_finite(value):
    take = make_several_steps(lambda batch: {"batch": batch, "other": 0.0}, ["other", "batch"], 10)
    batches = iter(tf.data.Dataset.from_tensor_slices([1.0, 2.0, value, 4.0, 5.0]))
    np.testing.assert_array_equal(take(batches, 5), [[0.0, 1.0], [0.0, 2.0], [0.0, value]])
    np.testing.assert_array_equal(take(batches, 2), [[0.0, 4.0], [0.0, 5.0]])


@pytest.mark.parametrize(
    ("steps_per_execution", "periods", "ends"),
    [
        (1, (4, 6), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        (100, (4, 6), [4, 6, 8, 10]),
        (3, (4, 0), [3, 4, 7, 8, 10]),
        (100, (100, 0), [10]),
    ],
)
def test_calls_end_at_each_multiple_of_a_period_and_at_the_end(steps_per_execution, periods, ends):
    step, found = 0, []
    while step < 10:
        step += steps_before(step, 10, steps_per_execution, *periods)
        found.append(step)
    assert found == ends
