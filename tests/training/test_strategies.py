import json
import re

import pytest
import tensorflow as tf

from tfflows.devices import strategies
from tfflows.devices.strategies import check_batch_divides, make_strategy

TWO_WORKERS = {
    "cluster": {"worker": ["localhost:1", "localhost:2"]},
    "task": {"type": "worker", "index": 0},
}


@pytest.mark.parametrize(
    ("kind", "virtual_devices", "replicas", "name"),
    [
        ("auto", 0, 1, "MirroredStrategy"),
        ("mirrored", 0, 1, "MirroredStrategy"),
        ("one_device", 0, 1, "OneDeviceStrategy"),
        ("auto", 2, 2, "MirroredStrategy"),
        ("mirrored", 8, 8, "MirroredStrategy"),
    ],
)
def test_kinds(monkeypatch, kind, virtual_devices, replicas, name):
    monkeypatch.setattr(tf.config, "list_physical_devices", _without_gpus)
    strategy = make_strategy(kind, virtual_devices)
    assert type(strategy).__name__ == name
    assert strategy.num_replicas_in_sync == strategies.num_local_replicas(strategy) == replicas
    assert strategies.is_chief(strategy)
    assert strategies.worker_index(strategy) == 0
    assert strategies.num_workers(strategy) == 1
    results = strategy.run(lambda: tf.distribute.get_replica_context().replica_id_in_sync_group + 0)
    assert sorted(int(r) for r in strategy.experimental_local_results(results)) == list(range(replicas))


def test_an_unknown_kind_names_the_valid_ones():
    with pytest.raises(ValueError, match=r"'tpu'.*auto, one_device, mirrored, multi_worker"):
        make_strategy("tpu")


@pytest.mark.parametrize("kind", ["one_device", "multi_worker"])
def test_virtual_devices_need_mirroring(kind):
    with pytest.raises(ValueError, match="virtual_devices=2"):
        make_strategy(kind, virtual_devices=2)


def test_negative_virtual_devices():
    with pytest.raises(ValueError, match="-1"):
        make_strategy("mirrored", -1)


def test_too_late_to_split():
    tf.constant(0) + 1  # the devices are in use
    with pytest.raises(RuntimeError, match=r"into 99 virtual devices.*Make the strategy first"):
        make_strategy("mirrored", 99)


@pytest.mark.slow
def test_splits_a_fresh_process(scenarios):
    scenarios("fresh_process_splits_the_cpu")


@pytest.mark.parametrize(("text", "message"), [(None, "TF_CONFIG, which is not set"), ("{", "JSON")])
def test_multi_worker_needs_a_cluster(monkeypatch, text, message):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match=message):
        make_strategy("multi_worker")


@pytest.mark.parametrize(
    ("config", "made"),
    [
        (TWO_WORKERS, True),
        ({"cluster": {"chief": ["a:1"], "worker": ["b:1"]}}, True),
        ({"cluster": {"worker": ["localhost:1"]}}, False),
        ({}, False),
    ],
)
def test_auto_takes_all_workers_of_a_cluster(monkeypatch, config, made):
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", lambda cluster_resolver: "multi worker")
    assert (make_strategy("auto") == "multi worker") == made


@pytest.mark.parametrize(
    ("workers", "index", "message"),
    [
        (["a:1", "b:0"], 0, "port from 1 to 65535, got 'b:0'"),
        (["a:1", "b:65536"], 0, "port from 1 to 65535, got 'b:65536'"),
        (["a:1", "b:x"], 0, "port from 1 to 65535, got 'b:x'"),
        (["a:1", "b"], 0, "port from 1 to 65535, got 'b'"),
        (["a:1", "b:2"], 2, "this is worker 2, but its cluster has 2"),
    ],
)
def test_a_wrong_address_or_task_is_named(monkeypatch, workers, index, message):
    config = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    with pytest.raises(ValueError, match=message):
        make_strategy("auto")


def test_a_worker_that_cannot_start(monkeypatch):
    def refuse(cluster_resolver):
        raise tf.errors.UnknownError(None, None, "Could not start gRPC server")

    monkeypatch.setenv("TF_CONFIG", json.dumps(TWO_WORKERS))
    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", refuse)
    with pytest.raises(ValueError, match=r"Could not start gRPC server\. Check that its address"):
        make_strategy("multi_worker")


@pytest.mark.parametrize(
    ("jobs", "task", "chief", "index"),
    [
        ({"worker": 3}, ("worker", 0), True, 0),
        ({"worker": 3}, ("worker", 2), False, 2),
        ({"chief": 1, "worker": 2}, ("chief", 0), True, 0),
        ({"chief": 1, "worker": 2}, ("worker", 0), False, 1),
        ({"chief": 1, "worker": 2, "evaluator": 1}, ("worker", 1), False, 2),
    ],
)
def test_roles_in_a_cluster(jobs, task, chief, index):
    class Strategy:
        cluster_resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec({job: [f"{job}{i}:1" for i in range(n)] for job, n in jobs.items()}),
            task_type=task[0],
            task_id=task[1],
        )
        num_replicas_in_sync = 6

    assert strategies.is_chief(Strategy()) == chief
    assert strategies.worker_index(Strategy()) == index
    assert strategies.num_workers(Strategy()) == 3
    assert strategies.num_local_replicas(Strategy()) == 2


@pytest.mark.parametrize(
    ("batch", "replicas", "accumulate", "expected"),
    [(64, 1, 1, 64), (64, 8, 1, 8), (64, 8, 4, 2), (512, 2, 16, 16)],
)
def test_batch_divides(batch, replicas, accumulate, expected):
    assert check_batch_divides(batch, replicas, accumulate) == expected
    strategy = tf.distribute.MirroredStrategy([f"/cpu:{i}" for i in range(replicas)])
    assert check_batch_divides(batch, strategy, accumulate) == expected


@pytest.mark.parametrize(
    ("batch", "replicas", "accumulate", "message"),
    [
        (65, 8, 1, "nearest batch sizes that do are 64 and 72."),
        (64, 8, 3, "are 48 and 72. With this batch, accumulate may be 1, 2, 4, 8."),
        (3, 8, 1, "nearest batch sizes that do are 8."),
        (64, 8, 0, "accumulate must be at least 1, got 0"),
        (0, 1, 1, "at least 1, got 0"),
    ],
)
def test_batch_that_does_not_divide(batch, replicas, accumulate, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check_batch_divides(batch, replicas, accumulate)


def _without_gpus(kind):
    return [] if kind == "GPU" else [tf.config.PhysicalDevice("/physical_device:CPU:0", "CPU")]
