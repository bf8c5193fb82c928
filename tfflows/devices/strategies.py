"""Devices: the strategy of a run, which process is its chief, and how a batch divides."""

import json
import os

import tensorflow as tf

KINDS = ("auto", "one_device", "mirrored", "multi_worker")


def make_strategy(kind: str = "auto", virtual_devices: int = 0) -> tf.distribute.Strategy:
    """The strategy under which a model is built and trained.

    - `one_device`: the first GPU, or the CPU.
    - `mirrored`: `MirroredStrategy` over all GPUs, or over the CPU if there is none.
    - `multi_worker`: `MultiWorkerMirroredStrategy` over the workers that TF_CONFIG lists.
    - `auto`: `multi_worker` if TF_CONFIG lists more than one worker, otherwise `mirrored`.

    Args:
      kind: One of these.
      virtual_devices: 0, or the number of logical devices that the CPU is split into and mirrored over, to try replication
        without GPUs. Must come before TensorFlow first uses its devices.

    Raises:
      ValueError: If the kind is unknown, `virtual_devices` is negative or does not fit the kind, or TF_CONFIG is missing or wrong
        where it is needed.
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
    cluster_size = _cluster_size()
    if kind == "auto":
        kind = "multi_worker" if cluster_size > 1 else "mirrored"
    if virtual_devices and kind != "mirrored":
        raise ValueError(
            f"virtual_devices={virtual_devices} splits the CPU for the strategy 'mirrored'; with {kind!r} leave it 0."
        )
    if kind == "multi_worker":
        if not cluster_size:
            raise ValueError(
                "The strategy 'multi_worker' reads the workers from the environment variable "
                'TF_CONFIG, which is not set. Set it on each worker, such as {"cluster": '
                '{"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}.'
            )
        return tf.distribute.MultiWorkerMirroredStrategy()
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


def _cluster_size():
    """The number of workers in TF_CONFIG; 0 without one."""
    text = os.environ.get("TF_CONFIG", "").strip()
    if not text:
        return 0
    try:
        cluster = json.loads(text).get("cluster", {})
        return sum(len(cluster.get(job, ())) for job in ("chief", "worker"))
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"The environment variable TF_CONFIG is not valid JSON: {text}") from error
