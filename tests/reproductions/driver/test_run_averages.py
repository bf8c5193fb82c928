"""Runs whose parameters are averaged: what is evaluated, selected, drawn and saved."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.reproductions.driver.running import TINY, exit_message, record_of, run
from tfflows.training.logs import read_metrics

DATA = ("--set=ema_decay=0.8", "--set=warmup_steps=2", "--set=learning_rate=0.01")
STEPS = ("--steps=6", "--log_every=2", "--checkpoint_every=3")


def arguments_of(workdir, *more):
    return (*TINY, *DATA, *STEPS, f"--workdir={workdir}", *more)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The workdir of a run of six steps that averages, and the arguments that made it."""
    workdir = tmp_path_factory.mktemp("averaged") / "workdir"
    arguments = arguments_of(workdir, "--set=evaluate_every=2")
    run(*arguments)
    return workdir, arguments


def picture(workdir):
    (path,) = (workdir / "pictures").glob("samples*.png")
    return np.asarray(Image.open(path))


def tensors(path):
    reader = tf.train.load_checkpoint(str(path))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def test_the_checkpoint_holds_parameters_and_averages(trained):
    workdir, _ = trained
    saved = tensors(workdir / "checkpoints" / "step-6")
    means = {name for name in saved if name.startswith("average/")}
    assert means and all(name.removeprefix("average/model/") in _names(saved, "model/") for name in means)
    momentums = _names(saved, "optimizer/momentums/model/")
    assert {name.removeprefix("average/model/") for name in means} == momentums
    assert all(np.any(saved[name] != saved[name.removeprefix("average/")]) for name in means)


def _names(saved, prefix):
    return {name.removeprefix(prefix) for name in saved if name.startswith(prefix)}


def test_the_averages_are_what_is_evaluated_and_drawn(trained, copied):
    """The modes that read a checkpoint give what the run gave at its end, from averages that were never read back."""
    workdir, arguments = copied
    record, sampled = record_of(workdir), picture(workdir)
    for path in [*(workdir / "results" / "glow").glob("*.json"), *(workdir / "pictures").glob("*.png")]:
        path.unlink()
    run(*arguments, "--mode=evaluate")
    assert record_of(workdir)["value"] == record["value"]
    run(*arguments, "--mode=sample")
    np.testing.assert_array_equal(picture(workdir), sampled)


def test_the_parameters_evaluate_otherwise(trained, copied):
    """The same with parameters in the place of the averages: so the test above can tell them apart."""
    workdir, arguments = copied
    before = record_of(workdir)["value"]
    _overwrite_averages(workdir / "checkpoints" / "step-6")
    run(*arguments, "--mode=evaluate")
    assert abs(record_of(workdir)["value"] - before) > 1e-4


def _overwrite_averages(prefix):
    saved = tensors(prefix)
    names = sorted(saved)
    values = [saved[name.removeprefix("average/")] for name in names]
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=list(map(tf.constant, values)),
    )


def test_evaluations_on_the_way_change_nothing(trained, tmp_path):
    workdir, _ = trained
    run(*arguments_of(tmp_path))
    expected = tensors(workdir / "checkpoints" / "step-6")
    for name, value in tensors(tmp_path / "checkpoints" / "step-6").items():
        if name != "loop/seconds":
            np.testing.assert_array_equal(value, expected[name], name)


def test_the_best_checkpoint_is_reported_by_its_averages(tmp_path):
    arguments = arguments_of(tmp_path, "--set=evaluate_every=2", "--select=best_test")
    run(*arguments)
    lines = read_metrics(tmp_path / "metrics.jsonl")
    tests = {line["step"]: line["test_bits_per_dim"] for line in lines if "test_bits_per_dim" in line}
    record = record_of(tmp_path)
    assert record["steps"] == min(tests, key=tests.get) and record["value"] == min(tests.values())
    run(*arguments, "--mode=evaluate")
    assert record_of(tmp_path)["value"] == record["value"]


def test_a_run_that_was_finished_reports_the_same(copied):
    workdir, arguments = copied
    before = record_of(workdir)
    run(*arguments)
    assert record_of(workdir)["value"] == before["value"]


@pytest.mark.slow
def test_replicas_give_the_same(trained, tmp_path):
    workdir, _ = trained
    several = ("--strategy=mirrored", "--virtual_devices=2", "--steps_per_execution=2", "--set=evaluate_every=2")
    run(*arguments_of(tmp_path, *several))
    np.testing.assert_allclose(record_of(tmp_path)["value"], record_of(workdir)["value"], rtol=1e-5)


@pytest.mark.parametrize("decay", ["0.9", "0"])
def test_another_decay_is_refused(trained, capsys, decay):
    _, arguments = trained
    message = exit_message(capsys, *arguments, f"--set=ema_decay={decay}")
    assert f"ema_decay: 0.8 there, {float(decay)} now" in message


@pytest.mark.slow
def test_a_workdir_of_before_there_were_averages_goes_on(tmp_path):
    arguments = (*TINY, *STEPS, f"--workdir={tmp_path}")
    run(*arguments)
    stored = json.loads((tmp_path / "experiment.json").read_text())
    assert stored.pop("ema_decay") == 0.0
    (tmp_path / "experiment.json").write_text(json.dumps(stored))
    assert not [name for name in tensors(tmp_path / "checkpoints" / "step-6") if "average" in name]
    run(*arguments, "--mode=evaluate")
    assert "ema_decay" not in record_of(tmp_path)["overrides"]
