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


def limit_to_parts(num_images: int, num_parts: int | None = None) -> int:
    """Fixes the thread pools as the flag --side_by_side does, and returns the number of parts of a batch.

    Args:
      num_images: Images of a batch.
      num_parts: Number of parts; None: that of --side_by_side=auto, on `THREADS` cores.
    """
    from tfflows.devices.cores import automatic_parts

    parts = automatic_parts(num_images, THREADS) if num_parts is None else num_parts
    limit_tensorflow(1 if parts > 1 else THREADS)
    return parts
