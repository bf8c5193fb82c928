"""Parts of a batch side by side: the same values, whatever their number; threads of operations."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tfflows.devices import strategies as module
from tfflows.devices.strategies import side_by_side, use_cores


@pytest.mark.parametrize(("num_parts", "sizes"), [(1, [5]), (2, [3, 2]), (3, [2, 2, 1]), (8, [1] * 5)])
def test_rows_come_back_in_order_from_parts_of_about_equal_sizes(num_parts, sizes):
    seen = []

    def function(x, index):
        seen.append(x.shape[0])
        return x + tf.cast(index, x.dtype)[:, tf.newaxis], {"index": index}

    x, index = tf.reshape(tf.range(10.0), [5, 2]), tf.range(5, dtype=tf.int64)
    values, others = side_by_side(function, (x, index), num_parts)
    assert seen == sizes
    np.testing.assert_array_equal(values, x + tf.cast(index, tf.float32)[:, tf.newaxis])
    np.testing.assert_array_equal(others["index"], index)


def test_a_batch_of_unknown_size_is_one_part():
    calls = []

    @tf.function(input_signature=[tf.TensorSpec([None, 2])])
    def run(x):
        return side_by_side(lambda x: calls.append(x.shape) or 2 * x, (x,), 4)

    np.testing.assert_array_equal(run(tf.ones([3, 2])), 2 * np.ones([3, 2]))
    assert [shape.as_list() for shape in calls] == [[None, 2]]


@pytest.mark.slow
def test_operations_get_one_thread_each_unless_tensorflow_is_at_work():
    code = (
        "import tensorflow as tf; from tfflows.devices.strategies import use_cores; use_cores(3); t = tf.config.threading; "
        "print(t.get_intra_op_parallelism_threads(), t.get_inter_op_parallelism_threads()); tf.ones([]); use_cores(2); "
        "print(t.get_intra_op_parallelism_threads(), t.get_inter_op_parallelism_threads())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "3", "1", "3"]
    assert "computing 2 parts side by side may save no time" in done.stderr


def test_a_gpu_is_refused(monkeypatch):
    monkeypatch.setattr(module.tf.config, "list_physical_devices", lambda kind: ["a GPU"])
    with pytest.raises(ValueError, match="Computing 2 parts side by side is for machines without a GPU"):
        use_cores(2)
