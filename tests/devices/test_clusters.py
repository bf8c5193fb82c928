"""Who trains together, as TF_CONFIG or the variables of a SLURM step say."""

import json

import pytest
import tensorflow as tf

from tests.training.forked import slurm_step
from tfflows.devices import clusters, strategies
from tfflows.devices.clusters import cluster_size, resolve_cluster, workers_on_this_machine
from tfflows.devices.strategies import make_strategy

# Ten nodes, whose names sort otherwise than they count, with two tasks each but for the last.
STEP = {
    "SLURM_JOB_ID": "4001",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_STEP_NUM_TASKS": "5",
    "SLURM_STEP_NODELIST": "gpu[9-11]",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
    "SLURMD_NODENAME": "gpu9",
}
ADDRESSES = ["gpu10:12016", "gpu10:12017", "gpu11:12016", "gpu9:12016", "gpu9:12017"]


@pytest.fixture
def in_step(monkeypatch):
    """Gives a function that puts this process into a task of STEP, on a node with some GPUs."""

    def put(*without, gpus=0, **changes):
        for name, value in {**STEP, **changes}.items():
            monkeypatch.setenv(name, value)
        for name in ("SLURM_GPUS_PER_TASK", *without):
            monkeypatch.delenv(name, raising=False)
        if "SLURM_GPUS_PER_TASK" in changes:
            monkeypatch.setenv("SLURM_GPUS_PER_TASK", changes["SLURM_GPUS_PER_TASK"])
        visible = [f"gpu {number}" for number in range(gpus)]
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: visible)
        monkeypatch.setattr(
            tf.config, "set_visible_devices", lambda devices, kind: visible.__setitem__(slice(None), devices)
        )
        return visible

    return put


@pytest.mark.parametrize(
    ("node", "local", "rank", "index"),
    [
        ("gpu10", 0, 2, 0),
        ("gpu10", 1, 3, 1),
        ("gpu11", 0, 4, 2),
        ("gpu9", 0, 0, 3),
        ("gpu9", 1, 1, 4),
        ("gpu9", 1, 3, 4),
    ],
)
def test_each_task_of_a_step_finds_its_own_address(in_step, node, local, rank, index):
    """Whatever the order of nodes and ranks: the last case deals tasks out to the nodes in turn."""
    in_step(SLURMD_NODENAME=node, SLURM_LOCALID=str(local), SLURM_PROCID=str(rank))
    resolver = resolve_cluster("slurm")
    assert resolver.cluster_spec().as_dict() == {"worker": ADDRESSES}
    assert (resolver.task_type, resolver.task_id) == ("worker", index)
    assert resolver.num_accelerators() == {"GPU": 0}
    assert cluster_size("slurm") == 5
    assert workers_on_this_machine("slurm") == (1 if node == "gpu11" else 2)


@pytest.mark.parametrize(
    ("local", "gpus", "changes", "taken"),
    [
        (0, 4, {}, ["gpu 0", "gpu 1"]),
        (1, 4, {}, ["gpu 2", "gpu 3"]),
        (1, 2, {"SLURM_GPUS_PER_TASK": "2"}, ["gpu 0", "gpu 1"]),
        (1, 1, {}, ["gpu 0"]),  # bound by SLURM
        (0, 8, {"SLURMD_NODENAME": "gpu11"}, [f"gpu {number}" for number in range(8)]),
    ],
)
def test_tasks_of_a_node_share_its_gpus(in_step, local, gpus, changes, taken):
    visible = in_step(gpus=gpus, SLURM_LOCALID=str(local), **changes)
    assert resolve_cluster("slurm").num_accelerators() == {"GPU": len(taken)}
    assert visible == taken


@pytest.mark.parametrize("name", [name for name in STEP if name != "SLURM_JOB_ID"])
def test_outside_a_step_the_missing_variable_is_named(in_step, name):
    in_step(name)
    with pytest.raises(ValueError, match=f"{name} is not set here: start the command with srun"):
        make_strategy("multi_worker", cluster="slurm")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"SLURM_STEP_NODELIST": "gpu[9"}, "Cannot understand what SLURM says of this step: Invalid hostlist"),
        ({"SLURM_STEP_TASKS_PER_NODE": "1"}, "Requested 5 tasks but only 1 were assigned. Use --cluster=tf_config"),
        ({"SLURM_LOCALID": "2"}, "task 2 of the node gpu9, and that 2 tasks run there"),
    ],
)
def test_a_step_that_cannot_be_understood(in_step, changes, message):
    in_step(**changes)
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        resolve_cluster("slurm")


def test_the_strategy_is_that_of_the_cluster(monkeypatch, in_step):
    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", lambda cluster_resolver: cluster_resolver)
    config = {"cluster": {"worker": ["localhost:1", "localhost:2"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    in_step()
    assert make_strategy(cluster="slurm").task_id == 3
    assert make_strategy(cluster="tf_config").task_id == 1
    assert workers_on_this_machine("tf_config") == 2
    assert make_strategy(cluster="none").num_replicas_in_sync == 1
    assert workers_on_this_machine("none") == 1
    with pytest.raises(ValueError, match="needs a cluster: choose 'tf_config' or 'slurm', not 'none'"):
        make_strategy("multi_worker", cluster="none")
    with pytest.raises(ValueError, match="Unknown cluster 'k8s'; the valid ones are tf_config, slurm, none"):
        make_strategy(cluster="k8s")
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    assert make_strategy(cluster="slurm").num_replicas_in_sync == 1


def test_the_variables_of_the_local_checks_are_understood(monkeypatch):
    for index, variables in enumerate(slurm_step(3)):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert strategies.worker_index(_Strategy(clusters.resolve_cluster("slurm"))) == index


class _Strategy:
    def __init__(self, resolver):
        self.cluster_resolver = resolver
