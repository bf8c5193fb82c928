"""How many parts of a batch the cores of a CPU compute side by side, where nobody says so."""

import os
import pathlib

import tensorflow as tf

from tfflows.choices import AUTO
from tfflows.devices.clusters import workers_on_this_machine

_MOST_PARTS = 16  # each part is traced for itself


def available_cores(cluster: str = "tf_config") -> int:
    """The number of cores that this process may use: those of its affinity and of its container, shared with other workers.

    Args:
      cluster: As for `tfflows.devices.make_strategy`.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _container_cores(cores)) // workers_on_this_machine(cluster))


def _container_cores(default):
    """Cores that the control group of a container grants, rounded up."""
    try:
        quota, period = pathlib.Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return -(-int(quota) // int(period))
    except (OSError, ValueError):  # no such group, or no limit
        return default


def automatic_parts(num_images: int | None = None, num_cores: int | None = None) -> int:
    """As many parts as cores; 1 with a GPU, with fewer images than cores, or where the parts would be too many.

    Args:
      num_images: Images of a batch on one device; None: enough.
      num_cores: Default: `available_cores()`.

    Example:
      >>> from tfflows.devices.cores import automatic_parts
      >>> [automatic_parts(num_images, num_cores=4) for num_images in (3, 4, 64)]
      [1, 4, 4]
    """
    cores = available_cores() if num_cores is None else num_cores
    too_few = num_images is not None and num_images < cores
    if too_few or cores > _MOST_PARTS or tf.config.list_physical_devices("GPU"):
        return 1
    return cores


def set_threads(count: int) -> bool:
    """Lets TensorFlow run `count` operations at once, each on one thread; False if it has started and keeps its threads."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(count)
    except RuntimeError:
        return False
    return True


def parts_of_process() -> int:
    """The number of parts that `process_options` has set this process up for; 1 if each operation takes all cores."""
    threads = tf.config.threading
    return max(1, threads.get_inter_op_parallelism_threads()) if threads.get_intra_op_parallelism_threads() == 1 else 1


def parts_of_batch(num_parts: int | None, num_images: int | None) -> int:
    """The number of parts of a batch: `num_parts`, or if it is None that of the process, as far as the batch is large enough.

    Example:
      >>> from tfflows.devices.cores import parts_of_batch
      >>> parts_of_batch(3, num_images=6)
      3
    """
    if num_parts is not None:
        return num_parts
    parts = parts_of_process()
    return 1 if num_images is not None and num_images < parts else parts


def check_side_by_side(side_by_side: int | str) -> None:
    """Raises ValueError if it is neither a positive integer nor `auto`."""
    if side_by_side != AUTO and (isinstance(side_by_side, str) or side_by_side < 1):
        raise ValueError(f"side_by_side must be at least 1, or 'auto', got {side_by_side}.")
