"""Who trains together: the workers that TF_CONFIG lists, or the tasks that srun has started."""

import json
import os

import tensorflow as tf

from tfflows.choices import CLUSTERS

_SLURM_VARIABLES = (
    "SLURM_PROCID",
    "SLURM_LOCALID",
    "SLURM_STEP_NUM_TASKS",
    "SLURM_STEP_NODELIST",
    "SLURM_STEP_TASKS_PER_NODE",
    "SLURMD_NODENAME",
)
# Below the ports that Linux gives to outgoing connections. Jobs that share a node have other numbers, so other ports.
_FIRST_PORT, _PORTS_PER_JOB, _NUM_JOBS = 12_000, 16, 1_000


def cluster_size(cluster: str = "tf_config") -> int:
    """The number of workers that train together; 0 without a cluster.

    Args:
      cluster: Where they are named. `tf_config`: in the variable TF_CONFIG, if it is set. `slurm`: by srun, each of whose tasks
        is a worker. `none`: nowhere.

    Raises:
      ValueError: If the name is unknown, TF_CONFIG is not valid JSON of a cluster, or SLURM has not started this process.
    """
    _check_name(cluster)
    if cluster == "slurm":
        return int(_slurm("SLURM_STEP_NUM_TASKS"))
    if cluster == "none":
        return 0
    text = os.environ.get("TF_CONFIG", "").strip()
    if not text:
        return 0
    try:
        jobs = json.loads(text).get("cluster", {})
        return sum(len(jobs.get(job, ())) for job in ("chief", "worker"))
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"The environment variable TF_CONFIG is not valid JSON: {text}") from error


def resolve_cluster(cluster: str = "tf_config") -> tf.distribute.cluster_resolver.ClusterResolver:
    """What `tf.distribute.MultiWorkerMirroredStrategy` needs to know: all addresses, and which of them is this process.

    Under SLURM each task of the step is a worker, the first one on the first host (in the order of their names) the chief. GPUs
    that SLURM has not bound to tasks, but shows to all tasks of a node, are shared out in equal parts.

    Args:
      cluster: `tf_config` or `slurm`; `cluster_size` must not be 0.

    Raises:
      ValueError: If TF_CONFIG has an address that is not `host:port` or a task that its cluster does not have, or what SLURM
        says cannot be understood.
    """
    if cluster == "slurm":
        return _resolve_slurm()
    _check_addresses()
    return tf.distribute.cluster_resolver.TFConfigClusterResolver()


def workers_on_this_machine(cluster: str = "tf_config") -> int:
    """The number of workers that share the cores of this machine, this process among them; 1 without a cluster.

    Raises:
      ValueError: As for `cluster_size`.
    """
    if not cluster_size(cluster):
        return 1
    if cluster == "slurm":
        own = f"{_slurm('SLURMD_NODENAME')}:"
        return sum(address.startswith(own) for address in _slurm_addresses())
    config = json.loads(os.environ["TF_CONFIG"])
    task = config.get("task") or {}
    addresses = [*config["cluster"].get("chief", ()), *config["cluster"].get("worker", ())]
    hosts = [str(address).rpartition(":")[0] for address in addresses]
    try:
        own = str(config["cluster"][task["type"]][int(task.get("index", 0))]).rpartition(":")[0]
    except (KeyError, IndexError, TypeError, ValueError):
        return 1  # no worker; `resolve_cluster` says what is wrong
    return max(1, hosts.count(own))


def _check_name(cluster):
    if cluster not in CLUSTERS:
        raise ValueError(f"Unknown cluster {cluster!r}; the valid ones are {', '.join(CLUSTERS)}.")


def _check_addresses():
    config = json.loads(os.environ["TF_CONFIG"])
    cluster, task = config["cluster"], config.get("task", {})
    for job in ("chief", "worker"):
        for address in cluster.get(job, ()):
            host, _, port = str(address).rpartition(":")
            if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
                raise ValueError(f"TF_CONFIG needs addresses host:port with a port from 1 to 65535, got {address!r}.")
    if task:
        kind, index = task.get("type"), task.get("index", 0)
        if kind in ("chief", "worker") and not 0 <= int(index) < len(cluster.get(kind, ())):
            raise ValueError(
                f"TF_CONFIG says that this is {kind} {index}, but its cluster has {len(cluster.get(kind, ()))}."
            )


def _slurm(name):
    try:
        return os.environ[name]
    except KeyError:
        raise ValueError(
            f"The cluster 'slurm' needs a process that srun has started, and {name} is not set here: start the command with srun."
        ) from None


def _slurm_addresses():
    """The addresses of all tasks of the step, in an order that is the same on every node."""
    job, tasks = int(os.environ.get("SLURM_JOB_ID", 0)), int(_slurm("SLURM_STEP_NUM_TASKS"))
    for name in _SLURM_VARIABLES:
        _slurm(name)
    try:
        # By itself it asks nvidia-smi for GPUs, and lists no task on a node without. So each task counts as one device here,
        # and what it really has is told to the strategy below.
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=_FIRST_PORT + _PORTS_PER_JOB * (job % _NUM_JOBS),
            gpus_per_node=tasks,
            gpus_per_task=1,
            auto_set_gpu=False,
        )
        return resolver.cluster_spec().as_dict()["worker"]
    except (RuntimeError, ValueError, KeyError) as error:
        raise ValueError(
            f"Cannot understand what SLURM says of this step: {str(error).rstrip('.')}. Use --cluster=tf_config."
        ) from error


def _resolve_slurm():
    addresses = _slurm_addresses()
    # Not the rank: it follows the node list, the addresses are sorted, and tasks may be dealt out to nodes in turn.
    node, local = _slurm("SLURMD_NODENAME"), int(_slurm("SLURM_LOCALID"))
    on_node = [index for index, address in enumerate(addresses) if address.rpartition(":")[0] == node]
    if local >= len(on_node):
        raise ValueError(
            f"SLURM says that this is task {local} of the node {node}, and that {len(on_node)} tasks run there. Use "
            "--cluster=tf_config."
        )
    return tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": addresses}),
        task_type="worker",
        task_id=on_node[local],
        num_accelerators={"GPU": _take_gpus(local, len(on_node))},
        rpc_layer="grpc",
    )


def _take_gpus(local_index, num_local):
    """Leaves to this task its part of the GPUs that it sees; returns their number."""
    gpus = tf.config.list_physical_devices("GPU")
    are_bound = "SLURM_GPUS_PER_TASK" in os.environ or len(gpus) < num_local
    if num_local == 1 or are_bound or not gpus:
        return len(gpus)
    count = len(gpus) // num_local
    tf.config.set_visible_devices(gpus[local_index * count : (local_index + 1) * count], "GPU")
    return count
