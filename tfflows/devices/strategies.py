"""Strategies, the share of each replica of a batch, and the parts of a batch that the cores of a CPU compute side by side."""

import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import tensorflow as tf
from absl import logging

from tfflows.choices import AUTO
from tfflows.data import ImageSource, evaluation_batches, training_batches
from tfflows.devices.clusters import cluster_size, resolve_cluster
from tfflows.devices.cores import automatic_parts, check_side_by_side, set_threads
from tfflows.files import first_line

STEPS_PER_EXECUTION_ON_GPUS = 20
KINDS = ("auto", "one_device", "mirrored", "multi_worker")

LOST_WORKER = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)
"""What a step raises when another worker is gone."""


def make_strategy(kind: str = "auto", virtual_devices: int = 0, cluster: str = "tf_config") -> tf.distribute.Strategy:
    """The strategy under which a model is built and trained.

    - `one_device`: the first GPU, or the CPU.
    - `mirrored`: `MirroredStrategy` over all GPUs, or over the CPU if there is none.
    - `multi_worker`: `MultiWorkerMirroredStrategy` over the workers of the cluster.
    - `auto`: `multi_worker` if the cluster has more than one worker, otherwise `mirrored`.

    A worker that dies or can no longer be reached ends the others: TensorFlow's heartbeats notice it within about ten seconds,
    and the next step raises one of `LOST_WORKER`.

    Args:
      kind: One of these.
      virtual_devices: 0, or the number of logical devices that the CPU is split into and mirrored over, to try replication
        without GPUs. Must come before TensorFlow first uses its devices.
      cluster: Where the workers are named: `tf_config`, `slurm` or `none`, see `tfflows.devices.clusters`.

    Raises:
      ValueError: If the kind or the cluster is unknown, `virtual_devices` is negative or does not fit the kind, or TF_CONFIG or
        what SLURM says is missing or wrong where it is needed.
      RuntimeError: If the CPU can no longer be split.

    Example:
      >>> from tfflows.devices.strategies import is_chief, make_strategy, num_workers
      >>> strategy = make_strategy("one_device")
      >>> print(strategy.num_replicas_in_sync, num_workers(strategy), is_chief(strategy))
      1 1 True
    """
    if kind not in KINDS:
        raise ValueError(f"Unknown strategy {kind!r}; the valid ones are {', '.join(KINDS)}.")
    if virtual_devices < 0:
        raise ValueError(f"virtual_devices must be 0 or more, got {virtual_devices}.")
    workers = cluster_size(cluster)
    if kind == "auto":
        kind = "multi_worker" if workers > 1 else "mirrored"
    if virtual_devices and kind != "mirrored":
        raise ValueError(
            f"virtual_devices={virtual_devices} splits the CPU for the strategy 'mirrored'; with {kind!r} leave it 0."
        )
    if kind == "multi_worker":
        if not workers and cluster == "none":
            raise ValueError("The strategy 'multi_worker' needs a cluster: choose 'tf_config' or 'slurm', not 'none'.")
        if not workers:
            raise ValueError(
                "The strategy 'multi_worker' reads the workers from the environment variable "
                'TF_CONFIG, which is not set. Set it on each worker, such as {"cluster": '
                '{"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}.'
            )
        resolver, named_by = resolve_cluster(cluster), "SLURM" if cluster == "slurm" else "TF_CONFIG"
        if workers > 1:
            logging.info("Waiting for all %d workers of %s. They must share the working directory.", workers, named_by)
        try:
            return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
        except tf.errors.OpError as error:
            raise ValueError(
                f"This worker cannot start as {named_by} says: {first_line(error)}. Check that its address is this machine's, "
                "that its port is free, and that all workers have the same cluster."
            ) from error
        finally:
            _handle_sigterm_again()
    gpus = tf.config.list_physical_devices("GPU")
    if kind == "one_device":
        return tf.distribute.OneDeviceStrategy("/gpu:0" if gpus else "/cpu:0")
    if gpus and not virtual_devices:
        return tf.distribute.MirroredStrategy()
    number = _split_cpu(virtual_devices) if virtual_devices else 1
    return tf.distribute.MirroredStrategy(
        [f"/cpu:{index}" for index in range(number)],
        cross_device_ops=tf.distribute.ReductionToOneDevice(),
    )


def _handle_sigterm_again():
    """Gives SIGTERM back to Python: workers that meet take it for a listener of TensorFlow's own, and ignore it otherwise."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM) or signal.SIG_DFL)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes files; always true without a cluster."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    if "chief" in resolver.cluster_spec().jobs:
        return resolver.task_type == "chief"
    return resolver.task_type == "worker" and resolver.task_id == 0


def num_workers(strategy: tf.distribute.Strategy) -> int:
    """The number of processes that train together; 1 without a cluster."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return 1
    spec = resolver.cluster_spec()
    return sum(spec.num_tasks(job) for job in spec.jobs if job in ("chief", "worker"))


def worker_index(strategy: tf.distribute.Strategy) -> int:
    """The position of this process among `num_workers`, in the order of its replicas; 0 for the chief."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return 0
    has_chief = "chief" in resolver.cluster_spec().jobs
    return resolver.task_id + (1 if has_chief and resolver.task_type == "worker" else 0)


def num_local_replicas(strategy: tf.distribute.Strategy) -> int:
    """The number of replicas in this process."""
    return strategy.num_replicas_in_sync // num_workers(strategy)


def check_batch_divides(global_batch_size: int, strategy: tf.distribute.Strategy | int, accumulate: int = 1) -> int:
    """The number of images that one replica takes at once: `global_batch_size / (replicas * accumulate)`.

    Args:
      global_batch_size: Images per step, over all replicas and accumulated parts.
      strategy: The strategy, or a number of replicas.
      accumulate: Number of parts whose gradients are summed before an update.

    Raises:
      ValueError: If it does not divide; the message names the nearest sizes that do.

    Example:
      >>> from tfflows.devices.strategies import check_batch_divides
      >>> check_batch_divides(64, 2, accumulate=4)
      8
    """
    replicas = strategy if isinstance(strategy, int) else strategy.num_replicas_in_sync
    if accumulate < 1:
        raise ValueError(f"accumulate must be at least 1, got {accumulate}.")
    if global_batch_size < 1:
        raise ValueError(f"The batch size must be at least 1, got {global_batch_size}.")
    parts = replicas * accumulate
    size, rest = divmod(global_batch_size, parts)
    if rest:
        nearest = [n for n in (size * parts, (size + 1) * parts) if n]
        divisors = [n for n in range(1, global_batch_size + 1) if not global_batch_size % n]
        accumulates = [n // replicas for n in divisors if not n % replicas]
        message = (
            f"A batch of {global_batch_size} does not divide over {replicas} replicas times "
            f"{accumulate} accumulated parts; the nearest batch sizes that do are "
            f"{' and '.join(map(str, nearest))}."
        )
        if accumulates:
            message += f" With this batch, accumulate may be {', '.join(map(str, accumulates))}."
        raise ValueError(message)
    return size


def _split_cpu(number):
    cpu = tf.config.list_physical_devices("CPU")[0]
    configuration = tf.config.get_logical_device_configuration(cpu)
    if configuration is not None and len(configuration) >= number:
        return number  # split already, by an earlier call
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(number)])
    except RuntimeError as error:
        raise RuntimeError(
            f"Cannot split the CPU into {number} virtual devices: TensorFlow has used its devices "
            "already. Make the strategy first, before any tensor or model."
        ) from error
    return number


def distributed_training_batches(
    strategy: tf.distribute.Strategy,
    source: ImageSource,
    *,
    global_batch_size: int,
    seed: int,
    start_step: int,
    augmentation: str,
    accumulate: int = 1,
) -> Iterable:
    """Endless training batches from `start_step` on; see `tfflows.data.training_batches`.

    Args:
      strategy: The strategy whose replicas take the batches.
      source: The split.
      global_batch_size: Images per step, over all replicas and accumulated parts.
      seed: Integer in [0, 2**31).
      start_step: Step of the first batch.
      augmentation: One of `tfflows.data.AUGMENTATIONS`.
      accumulate: Number of parts into which each replica will cut its batch.

    Raises:
      ValueError: If the batch does not divide over replicas and parts.
    """
    replica_batch_size = check_batch_divides(global_batch_size, strategy, accumulate) * accumulate

    def dataset():
        return training_batches(
            source,
            global_batch_size=global_batch_size,
            seed=seed,
            start_step=start_step,
            augmentation=augmentation,
            **_share(strategy, replica_batch_size),
        )

    return _distribute(strategy, dataset)


def distributed_evaluation_batches(
    strategy: tf.distribute.Strategy, source: ImageSource, *, global_batch_size: int, seed: int = 0
) -> Iterable:
    """One pass over a split, the last batch padded; see `tfflows.data.evaluation_batches`.

    Raises:
      ValueError: If the batch does not divide over the replicas.
    """
    replica_batch_size = check_batch_divides(global_batch_size, strategy)

    def dataset():
        share = _share(strategy, replica_batch_size)
        return evaluation_batches(source, global_batch_size=global_batch_size, seed=seed, **share)

    return _distribute(strategy, dataset)


def round_up_to_replicas(batch_size: int, strategy: tf.distribute.Strategy) -> int:
    """The smallest batch of at least `batch_size` that divides over the replicas; for evaluation, where padding is free.

    Example:
      >>> from tfflows.devices.strategies import round_up_to_replicas
      >>> from tfflows.devices.strategies import make_strategy
      >>> round_up_to_replicas(5, make_strategy("one_device"))
      5
    """
    replicas = strategy.num_replicas_in_sync
    return -(-batch_size // replicas) * replicas


def _distribute(strategy, make_dataset):
    # One replica gets the data set itself: the iterators that tf.distribute wraps around it may take as long again to end.
    if strategy.num_replicas_in_sync == 1:
        return make_dataset()
    return strategy.distribute_datasets_from_function(lambda context: make_dataset())


def _share(strategy, replica_batch_size):
    rows_per_worker = replica_batch_size * num_local_replicas(strategy)
    first_row = rows_per_worker * worker_index(strategy) if num_workers(strategy) > 1 else 0
    return {"first_row": first_row, "num_rows": rows_per_worker, "batch_size": replica_batch_size}


def use_cores(count: int) -> None:
    """Lets TensorFlow run `count` operations at once, each on one thread.

    By default all cores share each operation. But the operations of a flow wait for one another, and many of them are too small
    to share. The call has to come before TensorFlow first uses its devices; afterwards it only warns.

    Raises:
      ValueError: If there is a GPU, which would not gain from it.
    """
    if tf.config.list_physical_devices("GPU"):
        raise ValueError(
            f"Computing {count} parts side by side is for machines without a GPU; leave side_by_side at 1."
        )
    if not set_threads(count):
        logging.warning(
            "TensorFlow has started already and keeps its threads: computing %d parts side by side may save no time.",
            count,
        )


def side_by_side(function: Callable[..., Any], rows: Sequence[tf.Tensor], num_parts: int) -> Any:
    """What `function` gives for the rows of a batch, computed for consecutive parts that do not wait for each other.

    Args:
      function: `(*rows) -> structure of tensors [B, ...]`, whose row i depends only on row i of its arguments.
      rows: Tensors `[B, ...]`, B known.
      num_parts: Number of parts; there are no more parts than rows.

    Returns:
      The structure for the whole batch.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.devices.strategies import side_by_side
      >>> side_by_side(tf.square, [tf.constant([1.0, 2.0, 3.0])], num_parts=2).numpy().tolist()
      [1.0, 4.0, 9.0]
    """
    batch_size = rows[0].shape[0]
    num_parts = min(num_parts, batch_size or 1)
    if num_parts == 1:
        return function(*rows)
    size, rest = divmod(batch_size, num_parts)
    sizes = [size + (number < rest) for number in range(num_parts)]
    parts = [function(*part) for part in zip(*(tf.split(x, sizes) for x in rows), strict=True)]
    return tf.nest.map_structure(lambda *values: tf.concat(values, axis=0), *parts)


def process_options(*, tf32: bool = False, side_by_side: int | str = AUTO) -> None:
    """Sets options that hold for the whole process, as the commands of the reproductions do; importing never sets them.

    - GPUs give memory as it is needed, so that several processes can share one.
    - TF32 is off unless asked for: by default, TensorFlow lets GPUs round the factors of float32 products to ten bits.
    - TensorFlow's graph optimizer is off if there is no GPU. It takes half of the time between tracing and the first step, and on
      CPU no step is faster for it. On GPU it chooses the layout of the convolutions, so there it stays on.
    - On a CPU, `side_by_side` operations run at once, each on one thread. `Trainer`, evaluations, samples and the models that
      `tfflows.load` gives then compute as many parts of a batch side by side, unless they are told a number.

    On CPU, results without this call differ only by rounding.

    Args:
      tf32: Whether GPUs may compute float32 products in TF32.
      side_by_side: Number of parts of a batch that are computed side by side. `auto`: as many as cores, unless there is a GPU.
        The call has to come before TensorFlow first uses its devices; later, `auto` changes nothing. Give 1 to train with small
        batches, or a model whose loss an image shares with others (batch norm, free bits): it would be left one thread.

    Raises:
      ValueError: If `side_by_side` is neither `auto` nor at least 1, or above 1 on a machine with a GPU.
    """
    check_side_by_side(side_by_side)
    tf.config.experimental.enable_tensor_float_32_execution(tf32)
    if side_by_side == AUTO:
        parts = automatic_parts()
        if parts > 1:
            set_threads(parts)
    elif side_by_side > 1:
        use_cores(side_by_side)
    _grow_gpu_memory()
    trim_graph_optimizer()


def default_steps_per_execution() -> int:
    """Number of training steps between which Python is not asked, unless told otherwise: 20 if there is a GPU, else 1.

    A GPU would wait for Python after each step; a CPU computes nothing while Python runs, whatever the number.
    """
    return STEPS_PER_EXECUTION_ON_GPUS if tf.config.list_physical_devices("GPU") else 1


def _grow_gpu_memory():
    try:
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
    except (RuntimeError, ValueError):
        pass  # TensorFlow has started already, or the caller has divided a GPU: what was chosen stays


def trim_graph_optimizer() -> None:
    """Turns off TensorFlow's graph optimizer where there is no GPU."""
    if not tf.config.list_physical_devices("GPU"):
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
