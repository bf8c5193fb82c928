import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from absl import logging as absl_logging

from tfflows.training import checkpoints as checkpoints_module
from tfflows.training.checkpoints import CheckpointError, Checkpoints

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]


def make_variables(seed=0, **shapes):
    generator = np.random.default_rng(seed)
    shapes = shapes or {
        "model/a.b/0/kernel": (3, 4),
        "model/bias": (5,),
        "optimizer/model/bias": (),
    }
    return {name: tf.Variable(generator.standard_normal(shape).astype(np.float32)) for name, shape in shapes.items()}


def set_all(variables, value):
    for variable in variables.values():
        variable.assign(tf.fill(variable.shape, tf.cast(value, variable.dtype)))


def values_of(variables):
    return {name: v.numpy().copy() for name, v in variables.items()}


def assert_all(variables, value):
    for name, variable in variables.items():
        np.testing.assert_array_equal(variable.numpy(), np.full(variable.shape, value), name)


@pytest.fixture
def three(tmp_path):
    """A directory with the checkpoints of steps 10, 20 and 30; a variable's value is the step."""
    variables = make_variables()
    checkpoints = Checkpoints(tmp_path / "checkpoints", variables)
    for step in (10, 20, 30):
        set_all(variables, step)
        checkpoints.save(step)
    return tmp_path / "checkpoints"


@pytest.fixture
def warnings(monkeypatch):
    """The texts of absl's warnings."""
    texts = []
    monkeypatch.setattr(absl_logging, "warning", lambda text, *args: texts.append(text % args))
    return texts


def flip(file, position):
    data = bytearray(file.read_bytes())
    data[position] ^= 0x10
    file.write_bytes(data)


def test_names_shapes_and_dtypes_come_back(tmp_path):
    def make(value):
        return {
            "model/a.b/c": tf.Variable(tf.fill([2, 3], tf.cast(value, tf.float64))),
            "name with spaces/ü": tf.Variable(tf.cast(value, tf.int64)),
            "a": tf.Variable(tf.fill([0, 4], float(value))),
            "a/b": tf.Variable(tf.fill([7], tf.cast(value, tf.bfloat16))),
            "save_counter": tf.Variable(value > 0),
        }

    saved, restored = make(3), make(0)
    Checkpoints(tmp_path / "checkpoints", saved).save(5)
    assert Checkpoints(tmp_path / "checkpoints", restored).restore_latest() == 5
    for name, variable in saved.items():
        assert restored[name].dtype == variable.dtype
        np.testing.assert_array_equal(restored[name].numpy(), variable.numpy(), name)


def test_tensorflow_reads_it_by_the_same_names(three):
    path = tf.train.latest_checkpoint(str(three))
    assert path == str(three / "step-30")
    stored = dict(tf.train.list_variables(path))
    assert stored == {name: list(v.shape) for name, v in make_variables().items()} | {"metadata/step": []}
    assert tf.train.load_variable(path, "model/bias")[0] == 30


def test_nothing_to_restore(tmp_path):
    variables = make_variables()
    before = values_of(variables)
    checkpoints = Checkpoints(tmp_path / "checkpoints", variables)
    assert checkpoints.restore_latest() is None and checkpoints.restore_best() is None
    assert checkpoints.steps == [] and checkpoints.best is None
    assert not list(tmp_path.iterdir())
    np.testing.assert_equal(values_of(variables), before)


@pytest.mark.parametrize(("max_to_keep", "kept"), [(1, [100]), (2, [9, 100]), (9, [7, 8, 9, 100])])
def test_the_newest_are_kept(tmp_path, max_to_keep, kept):
    checkpoints = Checkpoints(tmp_path / "checkpoints", make_variables(), max_to_keep=max_to_keep)
    for step in (7, 8, 9, 100):
        checkpoints.save(step)
    assert checkpoints.steps == kept
    files = {f"step-{s}{end}" for s in kept for end in (".index", ".data-00000-of-00001")}
    assert set(os.listdir(tmp_path / "checkpoints")) == files | {"checkpoint"}


@pytest.mark.parametrize("max_to_keep", [0, -1])
def test_none_to_keep(tmp_path, max_to_keep):
    with pytest.raises(ValueError, match=f"max_to_keep must be at least 1, got {max_to_keep}"):
        Checkpoints(tmp_path, make_variables(), max_to_keep=max_to_keep)


@pytest.mark.parametrize("name", ["", "metadata/step"])
def test_reserved_names(tmp_path, name):
    with pytest.raises(ValueError, match="cannot be saved under the name"):
        Checkpoints(tmp_path, {name: tf.Variable(0)})


def test_saving_a_step_again_does_not_write(three):
    variables = make_variables()
    checkpoints = Checkpoints(three, variables)
    before = (three / "step-30.data-00000-of-00001").read_bytes()
    checkpoints.save(30)
    assert (three / "step-30.data-00000-of-00001").read_bytes() == before


def test_saving_behind_a_checkpoint_that_was_not_restored(three):
    with pytest.raises(CheckpointError, match=r"Cannot save step 5.*step 30.*Restore it first"):
        Checkpoints(three, make_variables()).save(5)
    assert Checkpoints(three, make_variables()).steps == [10, 20, 30]


def damage_truncate(file):
    os.truncate(file, file.stat().st_size // 2)


def damage_empty(file):
    os.truncate(file, 0)


def damage_flip(file):
    flip(file, 40)  # in the first tensor, or the first block of the index


def damage_remove_data(file):
    file.with_name("step-30.data-00000-of-00001").unlink()


@pytest.mark.parametrize("end", ["data-00000-of-00001", "index"])
@pytest.mark.parametrize("damage", [damage_truncate, damage_empty, damage_flip, damage_remove_data])
def test_a_damaged_newest_falls_back_with_a_warning(three, warnings, damage, end):
    damage(three / f"step-30.{end}")
    variables = make_variables()
    checkpoints = Checkpoints(three, variables)
    assert checkpoints.restore_latest() == 20
    assert_all(variables, 20)
    assert len(warnings) == 1 and "step-30" in warnings[0] and "step-20" in warnings[0]
    # Restoring alone changes nothing; the next save clears the damaged one away.
    assert checkpoints.steps == [10, 20, 30]
    set_all(variables, 25)
    checkpoints.save(25)
    assert checkpoints.steps == [10, 20, 25]
    assert Checkpoints(three, variables).restore_latest() == 25


def test_every_byte_of_every_tensor_is_guarded(three):
    file = three / "step-30.data-00000-of-00001"
    for position in range(file.stat().st_size):
        flip(file, position)
        variables = make_variables()
        assert Checkpoints(three, variables).restore_latest() == 20, position
        assert_all(variables, 20)
        flip(file, position)
    assert Checkpoints(three, make_variables()).restore_latest() == 30


def test_a_flipped_byte_of_the_index_never_gives_other_values(three):
    file = three / "step-30.index"
    seen = set()
    for position in range(file.stat().st_size):
        flip(file, position)
        variables = make_variables()
        step = Checkpoints(three, variables).restore_latest()
        assert_all(variables, step)
        seen.add(step)
        flip(file, position)
    assert seen == {20, 30}  # padding of the format is not guarded, and does no harm


def test_the_damaged_step_can_be_saved_again(three):
    damage_truncate(three / "step-30.data-00000-of-00001")
    variables = make_variables()
    checkpoints = Checkpoints(three, variables, max_to_keep=2)
    assert checkpoints.restore_latest() == 20
    set_all(variables, 31)
    checkpoints.save(30)
    assert checkpoints.steps == [20, 30]
    set_all(variables, 0)
    assert Checkpoints(three, variables).restore_latest() == 30
    assert_all(variables, 31)


def test_two_damaged_fall_back_to_the_third(three, warnings):
    damage_empty(three / "step-30.index")
    damage_truncate(three / "step-20.data-00000-of-00001")
    assert Checkpoints(three, make_variables()).restore_latest() == 10
    assert all(f"step-{step}" in warnings[0] for step in (10, 20, 30))


def test_all_damaged_says_what_to_do(three):
    variables = make_variables()
    before = values_of(variables)
    for file in three.glob("*.data-*"):
        damage_truncate(file)
    with pytest.raises(CheckpointError, match=r"step-30.*step-20.*step-10.*Put back a copy"):
        Checkpoints(three, variables).restore_latest()
    np.testing.assert_equal(values_of(variables), before)


FOREIGN = {
    "missing": ({"model/new": (1,)}, (), r"lacks model/new\."),
    "extra": ({}, ("model/bias",), "holds model/bias, which are not variables of this run"),
    "misshapen": (
        {"model/bias": (6,)},
        (),
        r"model/bias \(float32\[5\] there, float32\[6\] here\)",
    ),
    "many": ({f"new/{i}": () for i in range(9)}, (), "new/0, .*new/4 and 4 more"),
}


@pytest.mark.parametrize(("added", "removed", "message"), FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_checkpoint_names_what_differs(three, added, removed, message):
    shapes = {n: tuple(v.shape) for n, v in make_variables().items() if n not in removed} | added
    variables = make_variables(**shapes)
    before = values_of(variables)
    with pytest.raises(CheckpointError, match=message) as caught:
        Checkpoints(three, variables).restore_latest()
    assert "step-30" in str(caught.value)
    np.testing.assert_equal(values_of(variables), before)


def test_another_dtype_is_foreign(three):
    variables = make_variables()
    variables["model/bias"] = tf.Variable(tf.zeros([5], tf.float64))
    with pytest.raises(CheckpointError, match=r"float32\[5\] there, float64\[5\] here"):
        Checkpoints(three, variables).restore_latest()


def test_a_partial_restore_takes_the_model_alone(three):
    variables = make_variables()
    model = {name: v for name, v in variables.items() if name.startswith("model/")}
    checkpoints = Checkpoints(three, model)
    with pytest.raises(CheckpointError, match="optimizer/model/bias"):
        checkpoints.restore_latest()
    assert checkpoints.restore_latest(partial=True) == 30
    assert_all(model, 30)
    with pytest.raises(CheckpointError, match="lacks model/new"):
        Checkpoints(three, model | {"model/new": tf.Variable(0.0)}).restore_latest(partial=True)


def test_the_best_is_the_lowest(tmp_path):
    variables = make_variables()
    checkpoints = Checkpoints(tmp_path / "checkpoints", variables)
    saved = {}
    for step, value in [(1, 3.0), (2, 2.5), (3, 2.5), (4, float("nan")), (5, 2.75)]:
        set_all(variables, step)
        saved[step] = checkpoints.save_best(step, value)
    assert saved == {1: True, 2: True, 3: False, 4: False, 5: False}
    assert checkpoints.best == (2, 2.5)
    again = Checkpoints(tmp_path / "checkpoints", variables)
    assert again.best == (2, 2.5)
    assert not again.save_best(6, 2.6)
    assert again.restore_best() == 2
    assert_all(variables, 2)
    assert again.save_best(7, 2.4)
    assert sorted(f for f in os.listdir(tmp_path / "best") if f.startswith("step")) == [
        "step-7.data-00000-of-00001",
        "step-7.index",
    ]


def test_the_best_of_the_same_step_is_replaced(tmp_path):
    variables = make_variables()
    checkpoints = Checkpoints(tmp_path / "checkpoints", variables)
    set_all(variables, 1)
    checkpoints.save_best(1, 3.0)
    set_all(variables, 2)
    assert checkpoints.save_best(1, 2.0)
    assert checkpoints.restore_best() == 1
    assert_all(variables, 2)


def test_a_damaged_best(tmp_path, warnings):
    variables = make_variables()
    Checkpoints(tmp_path / "checkpoints", variables).save_best(1, 3.0)
    damage_truncate(tmp_path / "best" / "step-1.data-00000-of-00001")
    checkpoints = Checkpoints(tmp_path / "checkpoints", variables)
    assert "best checkpoint" in warnings[0]
    with pytest.raises(CheckpointError, match=r"is damaged.*Select the last"):
        checkpoints.restore_best()
    assert checkpoints.save_best(2, 4.0)
    assert checkpoints.restore_best() == 2


def test_a_checkpoint_moves_between_1_2_and_8_devices(tmp_path):
    def make(devices, value):
        strategy = tf.distribute.MirroredStrategy([f"/cpu:{i}" for i in range(devices)])
        with strategy.scope():
            return strategy, {
                "kernel": tf.Variable(tf.fill([3, 4], float(value))),
                "mean": tf.Variable(
                    float(value),
                    trainable=False,
                    synchronization=tf.VariableSynchronization.ON_READ,
                    aggregation=tf.VariableAggregation.MEAN,
                ),
                "steps": tf.Variable(
                    value,
                    trainable=False,
                    dtype=tf.int64,
                    aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
                ),
            }

    for saved_on in (1, 2, 8):
        directory = tmp_path / str(saved_on)
        Checkpoints(directory, make(saved_on, saved_on + 10)[1]).save(saved_on)
        for restored_on in (1, 2, 8):
            strategy, variables = make(restored_on, 0)
            assert Checkpoints(directory, variables).restore_latest() == saved_on
            for name, variable in variables.items():
                replicas = strategy.experimental_local_results(variable)
                assert len(replicas) == restored_on
                for replica in replicas:
                    np.testing.assert_array_equal(replica.numpy(), np.full(variable.shape, saved_on + 10), name)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["killed_anywhere", "killed_at_each_call", "full_disk"])
def test_faults(scenarios, scenario):
    """See processes.py for each scenario, and for what is checked in it."""
    scenarios(scenario)


TWO_WORKERS = """
import os, sys
from tfflows.devices.strategies import is_chief, make_strategy, num_workers, worker_index
strategy = make_strategy("auto")
import tensorflow as tf
from tfflows.training.checkpoints import Checkpoints
from tfflows.training.logs import MetricLogger
def make(value):
    with strategy.scope():
        return {
            "kernel": tf.Variable(tf.fill([3], value)),
            "mean": tf.Variable(
                value,
                trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.SUM,
            ),
        }
chief = is_chief(strategy)
variables = make(2.0)
checkpoints = Checkpoints(sys.argv[1] + "/checkpoints", variables, chief=chief)
with MetricLogger(sys.argv[1], None, chief=chief) as logger:
    logger.log(4, {"bits_per_dim": 3.0})
checkpoints.save(4)
best = checkpoints.save_best(4, 3.0)
strategy.run(lambda: [v.assign_add(tf.ones_like(v)) for v in variables.values()])
# A collective, before which the chief's files are written.
strategy.reduce("SUM", strategy.run(lambda: tf.constant(1.0)), axis=None)
restored = make(0.0)
step = Checkpoints(sys.argv[1] + "/checkpoints", restored, chief=chief).restore_latest()
print(
    worker_index(strategy), num_workers(strategy), chief, best, step,
    restored["kernel"].numpy().tolist(), float(restored["mean"].read_value()),
)
"""


@pytest.mark.slow
def test_two_workers_save_once_and_restore_the_same(tmp_path):
    sockets = [socket.create_server(("localhost", 0)) for _ in range(2)]
    hosts = [f"localhost:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    processes = []
    try:
        for index in range(2):
            config = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-c", TWO_WORKERS, str(tmp_path)],
                    cwd=ROOT,
                    env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CONFIG": json.dumps(config)},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        results = [process.communicate(timeout=120) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    for index, (output, errors) in enumerate(results):
        assert output.split("\n")[0] == (f"{index} 2 {index == 0} True 4 [2.0, 2.0, 2.0] 4.0"), errors[-3000:]
    assert sorted(os.listdir(tmp_path / "checkpoints")) == [
        "checkpoint",
        "step-4.data-00000-of-00001",
        "step-4.index",
    ]
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 1
    assert len(os.listdir(tmp_path / "tensorboard")) == 1


@pytest.mark.parametrize("name", ["a [1]", "b]", "*", "what?", "back\\slash", "new\nline", "é ~+,()@=", "{a,b}"])
def test_any_directory_is_written_and_read(tmp_path, name):
    variable = tf.Variable([1.0, 2.0])
    directory = tmp_path / name / "checkpoints"
    checkpoints = Checkpoints(directory, {"model/v": variable})
    checkpoints.save(3)
    assert checkpoints.save_best(3, 1.5)
    variable.assign([0.0, 0.0])
    again = Checkpoints(directory, {"model/v": variable})
    assert again.best == (3, 1.5)
    assert again.restore_latest() == 3
    np.testing.assert_array_equal(variable, [1.0, 2.0])
    assert again.restore_best() == 3
    (directory / "step-3.data-00000-of-00001").write_bytes(b"")
    with pytest.raises(CheckpointError, match="is damaged"):
        again.restore_latest()


def test_a_pattern_reads_no_other_directory(tmp_path):
    """`run[1]` as a pattern is `run1`."""
    for number, name in enumerate(("run1", "run[1]")):
        Checkpoints(tmp_path / name, {"model/v": tf.Variable(float(number))}).save(1)
    variable = tf.Variable(9.0)
    Checkpoints(tmp_path / "run[1]", {"model/v": variable}).restore_latest()
    assert variable.numpy() == 1.0


def test_every_file_is_on_disk_before_a_checkpoint_counts(tmp_path, monkeypatch):
    synced, fsync = set(), os.fsync

    def watched(descriptor):
        synced.add(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    Checkpoints(tmp_path / "checkpoints", make_variables()).save(10)
    names = {path.name for path in (tmp_path / "checkpoints").glob("step-*")}
    assert len(names) >= 2 and {name.partition(".")[2] for name in names} <= {name.partition(".")[2] for name in synced}


def test_what_a_killed_save_leaves_is_removed_by_the_next(tmp_path, monkeypatch):
    """Whatever its name: a kill leaves no time to clean up."""
    directory, left = tmp_path / "checkpoints", []
    checkpoints = Checkpoints(directory, make_variables())
    with monkeypatch.context() as patch:
        write = checkpoints_module._write_bundle

        def copied(prefix, tensors):
            write(prefix, tensors)
            left.append(prefix.parent.name)
            shutil.copytree(prefix.parent, tmp_path / "left")

        patch.setattr(checkpoints_module, "_write_bundle", copied)
        checkpoints.save(10)
    (tmp_path / "left").rename(directory / left[0])
    Checkpoints(directory, make_variables()).save(20)
    assert not (directory / left[0]).exists()
    assert Checkpoints(directory, make_variables()).steps == [10, 20]
