"""Runs that are interrupted end as if they had not been."""

import json
import math
import os
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf

from tests.slow import slow_but
from tests.training.tiny_runs import TinyTrainer, assert_close, assert_equal
from tfflows.evaluation.bits_per_dim import BitsPerDim
from tfflows.training.checkpoints import CheckpointError
from tfflows.training.logs import METRICS_FILE, LogError, read_metrics
from tfflows.training.loop import TrainingDiverged

NUM_STEPS = 8
# What may differ between two runs that computed the same.
TIMES = ("seconds", "images_per_second")


@pytest.fixture(scope="module")
def trainer():
    return TinyTrainer()


@pytest.fixture(scope="module")
def unbroken(trainer, tmp_path_factory):
    """The variables and the log of a run without interruption."""
    workdir = tmp_path_factory.mktemp("unbroken")
    state = trainer.run(workdir, NUM_STEPS)
    assert state.step == NUM_STEPS
    return trainer.values(), log_of(workdir)


def log_of(workdir):
    """The lines of the log without times, in which each line must be whole."""
    lines = [json.loads(line) for line in (workdir / METRICS_FILE).read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in TIMES} for line in lines]


def tensorboard_of(workdir):
    """`[(step, tag, value)]` of all event files, sorted, without times."""
    found = []
    for path in (workdir / "tensorboard").glob("events.out.tfevents.*"):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                if value.tag not in TIMES:
                    found.append((event.step, value.tag, tf.make_ndarray(value.tensor).tolist()))
    return sorted(found)


def steps_in(workdir):
    return sorted(int(path.name[5:-6]) for path in (workdir / "checkpoints").glob("step-*.index"))


class Crash(Exception):
    """Stands for what kills a process."""


def crash_before(step):
    def before_step(number):
        if number == step:
            raise Crash

    return before_step


def terminate_before(step):
    def before_step(number):
        if number == step:
            os.kill(os.getpid(), signal.SIGTERM)

    return before_step


def test_the_log_of_a_run(trainer, unbroken, tmp_path):
    values, log = unbroken
    assert [line["step"] for line in log] == [2, 4, 6, 8]
    names = {"step", "loss", "bits_per_dim", "gradient_norm", "learning_rate"}
    assert all(set(line) == names for line in log)
    # The rate of the last step of each line: step n is taken at the schedule's n - 1.
    np.testing.assert_allclose([line["learning_rate"] for line in log], np.float32([0.0025, 0.0075, 0.01, 0.01]))
    trainer.run(tmp_path, NUM_STEPS, log_every=1)
    fine = log_of(tmp_path)
    for line in log:  # the mean over the steps since the last line
        pair = [fine[line["step"] - 2], fine[line["step"] - 1]]
        np.testing.assert_allclose(line["bits_per_dim"], np.mean([step["bits_per_dim"] for step in pair]), rtol=1e-6)
    times = read_metrics(tmp_path / METRICS_FILE)
    seconds = [line["seconds"] for line in times]
    assert seconds == sorted(seconds) and seconds[0] > 0
    assert all(line["images_per_second"] > 0 for line in times)
    assert_equal(trainer.values(), values)
    assert not np.any(np.isnan(np.concatenate([value.ravel() for value in values.values()])))


@pytest.mark.parametrize("step", [1, 2, 4, 5, 8])
def test_terminated_and_run_again_ends_bit_for_bit_the_same(trainer, unbroken, tmp_path, step):
    state = trainer.run(tmp_path, NUM_STEPS, before_step=terminate_before(step))
    assert state.step == step  # the step that was begun is ended
    assert steps_in(tmp_path)[-1] == step
    trainer.run(tmp_path, NUM_STEPS)
    assert_equal(trainer.values(), unbroken[0])
    assert log_of(tmp_path) == unbroken[1]


@pytest.mark.parametrize("steps", [(5,), (1, 3, 7, 7, 8)])
def test_crashed_and_run_again_ends_bit_for_bit_the_same(trainer, unbroken, tmp_path, steps):
    for step in steps:
        with pytest.raises(Crash):
            trainer.run(tmp_path, NUM_STEPS, before_step=crash_before(step))
        saved = 3 * ((step - 1) // 3)
        assert steps_in(tmp_path)[-1:] == ([saved] if saved else [])
    trainer.run(tmp_path, NUM_STEPS)
    assert_equal(trainer.values(), unbroken[0])
    assert log_of(tmp_path) == unbroken[1]
    alone = tmp_path / "alone"
    trainer.run(alone, NUM_STEPS)
    assert tensorboard_of(tmp_path) == tensorboard_of(alone)


def test_other_settings_of_watching_change_nothing(trainer, unbroken, tmp_path):
    trainer.run(tmp_path, NUM_STEPS, log_every=3, checkpoint_every=100, evaluate_every=2, keep_best=True)
    assert_equal(trainer.values(), unbroken[0])


@pytest.mark.parametrize("steps_per_execution", slow_but([3], [2, 3, 100]))
def test_several_steps_a_call_change_nothing(trainer, unbroken, tmp_path, steps_per_execution):
    trainer.run(tmp_path, NUM_STEPS, steps_per_execution=steps_per_execution)
    assert_equal(trainer.values(), unbroken[0])
    assert log_of(tmp_path) == unbroken[1]
    lines = read_metrics(tmp_path / METRICS_FILE)
    assert all(line["images_per_second"] > 0 for line in lines)
    trainer.run(tmp_path / "single", NUM_STEPS)
    assert tensorboard_of(tmp_path) == tensorboard_of(tmp_path / "single")
    assert steps_in(tmp_path) == steps_in(tmp_path / "single")


@pytest.mark.slow
def test_several_steps_a_call_of_two_replicas(tmp_path):
    runner = TinyTrainer(2)
    runner.run(tmp_path / "single", NUM_STEPS)
    values = runner.values()
    runner.run(tmp_path / "several", NUM_STEPS, steps_per_execution=4)
    assert_equal(runner.values(), values)
    assert log_of(tmp_path / "several") == log_of(tmp_path / "single")


def test_calls_end_where_evaluations_are_due(trainer, unbroken, tmp_path):
    evaluate, begun, seen = Scripted(4.0, 3.0), [], []

    def evaluate_and_look():
        seen.append(begun[-1])
        return evaluate()

    watching = {"evaluate": evaluate_and_look, "evaluate_every": 3, "checkpoint_every": 100, "log_every": 100}
    trainer.run(tmp_path, NUM_STEPS, before_step=begun.append, steps_per_execution=5, **watching)
    assert begun == list(range(1, NUM_STEPS + 1)) and seen == [3, 6]
    assert_equal(trainer.values(), unbroken[0])


def test_terminated_within_a_call_ends_with_the_call(trainer, unbroken, tmp_path):
    settings = {"checkpoint_every": 7, "steps_per_execution": 4}
    state = trainer.run(tmp_path, NUM_STEPS, before_step=terminate_before(1), **settings)
    assert state.step == 2 and steps_in(tmp_path) == [2]  # where a line is logged
    trainer.run(tmp_path, NUM_STEPS, **settings)
    assert_equal(trainer.values(), unbroken[0])
    assert log_of(tmp_path) == unbroken[1]


def test_prolonged(trainer, unbroken, tmp_path):
    trainer.run(tmp_path, 4)
    assert trainer.run(tmp_path, NUM_STEPS).step == NUM_STEPS
    assert_equal(trainer.values(), unbroken[0])
    assert log_of(tmp_path) == unbroken[1]


def test_the_means_of_a_run_that_is_prolonged_between_two_lines(trainer, tmp_path):
    trainer.run(tmp_path / "single", NUM_STEPS, log_every=1)
    single = {line["step"]: line["loss"] for line in log_of(tmp_path / "single")}
    trainer.run(tmp_path, 5, log_every=4)
    trainer.run(tmp_path, NUM_STEPS, log_every=4)
    means = {line["step"]: line["loss"] for line in log_of(tmp_path)}
    expected = {4: [1, 2, 3, 4], 5: [5], 8: [6, 7, 8]}  # of the steps since the line before
    assert means.keys() == expected.keys()
    for step, steps in expected.items():
        np.testing.assert_allclose(means[step], np.mean([single[number] for number in steps]), rtol=1e-6)


def test_a_finished_run_is_left_as_it_is(trainer, unbroken, tmp_path):
    trainer.run(tmp_path, NUM_STEPS)
    before = {path: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()}
    state = trainer.run(tmp_path, NUM_STEPS, before_step=crash_before(NUM_STEPS + 1))
    assert state.step == NUM_STEPS
    assert {path: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()} == before
    assert_equal(trainer.values(), unbroken[0])
    assert log_of(tmp_path) == unbroken[1]


def test_a_truncated_newest_checkpoint_falls_back_with_a_warning(trainer, unbroken, tmp_path, monkeypatch):
    with pytest.raises(Crash):
        trainer.run(tmp_path, NUM_STEPS, before_step=crash_before(8))
    (data,) = (tmp_path / "checkpoints").glob("step-6.data-*")
    os.truncate(data, data.stat().st_size // 2)
    warnings = []
    monkeypatch.setattr("absl.logging.warning", lambda text, *arguments: warnings.append(text % arguments))
    trainer.run(tmp_path, NUM_STEPS)
    assert len(warnings) == 1 and "step-6" in warnings[0] and "step-3" in warnings[0]
    assert_equal(trainer.values(), unbroken[0])
    assert log_of(tmp_path) == unbroken[1]


@pytest.mark.parametrize(
    ("value", "steps_per_execution"),
    slow_but([(math.inf, 1), (math.nan, 3)], [(math.nan, 1), (math.inf, 1), (math.nan, 3)], rows=True),
)
def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint_before(
    trainer, unbroken, tmp_path, value, steps_per_execution
):
    spoiled = next(name for name in trainer.variables if name.startswith("model/"))
    variable = trainer.variables[spoiled]
    layer = spoiled.removeprefix("model/").rpartition("/")[0]

    def spoil(step):
        if step == 5:
            variable.assign(tf.fill(variable.shape, value))
            trainer.flat.gather()

    with pytest.raises(
        TrainingDiverged,
        match=rf"loss.* not finite at step 5.*is that of ActNorm '.*' \({layer}\)\. The newest checkpoint is from step 3, .*-3\.",
    ):
        trainer.run(tmp_path, NUM_STEPS, before_step=spoil, steps_per_execution=steps_per_execution)
    # The step was not taken.
    assert [name for name, values in trainer.values().items() if not np.isfinite(values).all()] == [spoiled]
    assert steps_in(tmp_path) == [3]
    assert [line["step"] for line in log_of(tmp_path)] == [2, 4]
    trainer.run(tmp_path, NUM_STEPS)
    assert_equal(trainer.values(), unbroken[0])
    assert log_of(tmp_path) == unbroken[1]


def test_a_singular_matrix_is_named(trainer, tmp_path):
    name = next(name for name, variable in trainer.variables.items() if name.startswith("model/") and "/weight" in name)
    variable, layer = trainer.variables[name], name.removeprefix("model/").rpartition("/")[0]

    def spoil(step):
        if step == 5:
            variable.assign(tf.zeros_like(variable))
            trainer.flat.gather()

    with pytest.raises(
        TrainingDiverged, match=rf"After step 4, a matrix became singular.*InvertibleConv '.*' \({layer}\)\. The newest"
    ):
        trainer.run(tmp_path, NUM_STEPS, before_step=spoil)


def test_a_loss_that_is_not_finite_without_a_checkpoint(trainer, tmp_path):
    variable = trainer.variables[next(name for name in trainer.variables if name.startswith("model/"))]
    with pytest.raises(TrainingDiverged, match="There is no checkpoint yet"):
        trainer.run(tmp_path, 2, before_step=lambda step: variable.assign(tf.fill(variable.shape, math.nan)))


@pytest.mark.parametrize("replaced", [False, True])
def test_a_workdir_that_is_deleted_in_mid_run_is_an_error(trainer, tmp_path, replaced):
    workdir = tmp_path / "workdir"

    def delete(step):
        if step == 2:
            shutil.rmtree(workdir)
            if replaced:
                (workdir / "checkpoints").mkdir(parents=True)
                (workdir / METRICS_FILE).touch()

    with pytest.raises(LogError, match="was deleted or moved while the run was going on"):
        trainer.run(workdir, NUM_STEPS, before_step=delete)
    assert not list(tmp_path.rglob("step-*"))


@pytest.mark.parametrize("replicas", slow_but([], [4, 8]))
def test_a_run_moves_between_numbers_of_devices(trainer, unbroken, tmp_path, replicas):
    two, more = TinyTrainer(2), TinyTrainer(replicas)
    for number, (runner, last) in enumerate([(two, 2), (more, 4), (trainer, 6), (two, 8)]):
        state = runner.run(tmp_path, NUM_STEPS, before_step=terminate_before(last))
        assert state.step == last, number
    assert_close(two.values(), unbroken[0], rtol=1e-3, atol=1e-5)
    for line, expected in zip(log_of(tmp_path), unbroken[1], strict=True):
        assert_close(line, expected, rtol=1e-4)


def test_the_directory_of_a_later_run_is_refused(trainer, tmp_path):
    trainer.run(tmp_path, 4)
    other = TinyTrainer(experiment=trainer.experiment.__class__(**{**vars(trainer.experiment), "width": 5}))
    with pytest.raises(CheckpointError, match="belongs to another model"):
        other.run(tmp_path, NUM_STEPS)


class Scripted:
    """Evaluations that give the values of a list, one after the other."""

    def __init__(self, *values):
        self.values = list(values)

    def __call__(self):
        return BitsPerDim(np.full([4], self.values.pop(0)))


def test_evaluations_are_logged_and_the_best_is_kept(trainer, tmp_path):
    parameters = {}

    def remember(step):
        parameters[step - 1] = trainer.values()

    evaluate = Scripted(4.0, 3.0, 3.5, 3.25)
    trainer.run(tmp_path, NUM_STEPS, before_step=remember, evaluate=evaluate, evaluate_every=2, keep_best=True)
    tests = {line["step"]: line["test_bits_per_dim"] for line in log_of(tmp_path) if "test_bits_per_dim" in line}
    assert tests == {2: 4.0, 4: 3.0, 6: 3.5, 8: 3.25}
    (path,) = (tmp_path / "best").glob("step-*.index")
    reader = tf.train.load_checkpoint(str(path.with_suffix("")))
    assert path.name == "step-4.index" and reader.get_tensor("metadata/value") == 3.0
    for name, value in parameters[4].items():
        np.testing.assert_array_equal(reader.get_tensor(name), value, name)


def test_the_best_is_known_after_a_crash(trainer, tmp_path):
    settings = {"evaluate_every": 2, "keep_best": True}
    with pytest.raises(Crash):
        trainer.run(tmp_path, NUM_STEPS, before_step=crash_before(5), evaluate=Scripted(4.0, 3.0), **settings)
    trainer.run(tmp_path, NUM_STEPS, evaluate=Scripted(3.0, 3.5, 3.25), **settings)
    tests = {line["step"]: line["test_bits_per_dim"] for line in log_of(tmp_path) if "test_bits_per_dim" in line}
    assert tests == {2: 4.0, 4: 3.0, 6: 3.5, 8: 3.25}
    assert [path.name for path in (tmp_path / "best").glob("step-*.index")] == ["step-4.index"]


def test_without_best_the_last_step_is_not_evaluated_twice(trainer, tmp_path):
    evaluate = Scripted(4.0, 3.0, 3.5)
    trainer.run(tmp_path, NUM_STEPS, evaluate=evaluate, evaluate_every=2)
    assert not evaluate.values
    assert not (tmp_path / "best").exists()
