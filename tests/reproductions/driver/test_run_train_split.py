"""Runs that measure the images that they train on, and what the record says of training."""

import json
import shutil

import numpy as np
import pytest

from reproductions.reporting.records import load_records
from tests.reproductions.driver.running import TINY, record_of, run
from tfflows.training.logs import read_metrics

STEPS = ("--steps=6", "--log_every=1", "--set=evaluate_every=2", "--set=train_images=50")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The workdir of a run that measures its 50 training images at its end, and the arguments that made it."""
    workdir = tmp_path_factory.mktemp("trained") / "workdir"
    arguments = (*TINY, *STEPS, f"--workdir={workdir}")
    run(*arguments, "--set=evaluate_train=true")
    return workdir, arguments


def check_train(workdir):
    """The record's training side follows from the values of the images."""
    (record,) = load_records(workdir / "results")
    test, train = (np.load(workdir / f"{split}_bits_per_dim.npy") for split in ("test", "train"))
    assert train.shape == (50,) and record.train["num_images"] == 50 and np.all(np.isfinite(train))
    errors = [values.std(ddof=1) / np.sqrt(len(values)) for values in (test, train)]
    expected = {
        "value": train.mean(),
        "standard_error": errors[1],
        "num_images": 50,
        "gap": test.mean() - train.mean(),
        "gap_standard_error": np.hypot(*errors),
    }
    assert record.train.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(record.train[name], value, rtol=1e-9)
    return record


def test_the_end_of_a_run_measures_both(trained):
    workdir, _ = trained
    record = check_train(workdir)
    assert not {"evaluate_train"} & set(record.overrides)


def test_evaluate_measures_both_and_prints_the_gap(copied, capsys):
    workdir, arguments = copied
    expected = np.load(workdir / "train_bits_per_dim.npy")
    shutil.rmtree(workdir / "results")
    (workdir / "train_bits_per_dim.npy").unlink()
    run(*arguments, "--mode=evaluate", "--evaluate_train", "--set=evaluation_batch_size=60")
    record = check_train(workdir)
    np.testing.assert_allclose(np.load(workdir / "train_bits_per_dim.npy"), expected, rtol=1e-5)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["verdict", "train", "gap"]
    assert f"{record.train['value']:.4f}" in lines[3] and "50 training images" in lines[3]
    assert f"{record.train['gap']:+.4f}" in lines[4]


def test_nothing_is_measured_that_was_not_asked_for(copied, capsys):
    workdir, arguments = copied
    shutil.rmtree(workdir / "results")
    run(*arguments, "--mode=evaluate")
    assert record_of(workdir)["train"] is None
    assert "gap" not in capsys.readouterr().out


def test_a_workdir_of_before_this_field_goes_on(copied):
    workdir, arguments = copied
    stored = json.loads((workdir / "experiment.json").read_text())
    del stored["evaluate_train"]
    (workdir / "experiment.json").write_text(json.dumps(stored))
    run(*arguments, "--mode=sample", "--samples=1")


def test_the_record_has_the_curves_of_test_and_training(trained):
    workdir, _ = trained
    record = record_of(workdir)
    steps = {line["step"]: line["bits_per_dim"] for line in read_metrics(workdir / "metrics.jsonl") if "loss" in line}
    assert list(steps) == [1, 2, 3, 4, 5, 6]
    assert [step for step, _ in record["curve"]] == [2, 4, 6]
    expected = [[step, (steps[step - 1] + steps[step]) / 2] for step in (2, 4, 6)]
    np.testing.assert_allclose(record["train_curve"], expected, rtol=1e-9)
