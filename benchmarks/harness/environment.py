"""The environment of every process of a benchmark: two threads per library, on the CPU alone."""

import os
import pathlib

ROOT = pathlib.Path(__file__).parents[2]
# Number of threads per library, in this process and those that it starts.
THREADS_VARIABLE = "BENCHMARK_THREADS"
THREADS = int(os.environ.get(THREADS_VARIABLE, "2"))

# TensorFlow reads none of these for its own thread pools: see `limit_tensorflow`.
VARIABLES = {
    "OMP_NUM_THREADS": str(THREADS),
    "MKL_NUM_THREADS": str(THREADS),
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "-1",
}


def limit_tensorflow(threads_an_operation: int = THREADS) -> None:
    """Fixes the size of TensorFlow's thread pools; must be called before TensorFlow runs anything."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads_an_operation)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
