"""`--importance_samples` and `--evaluation_images`: results, records, what is refused."""

import shutil

import numpy as np
import pytest

from reproductions.driver import evaluate
from reproductions.reporting.records import load_records
from tests.reproductions.driver.running import TINY, exit_message, run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The workdir of a run of two steps, and the arguments that made it."""
    workdir = tmp_path_factory.mktemp("importance") / "workdir"
    arguments = (*TINY, "--steps=2", f"--workdir={workdir}")
    run(*arguments)
    return workdir, arguments


@pytest.fixture
def copied(trained, tmp_path):
    workdir, arguments = trained
    shutil.copytree(workdir, tmp_path / "copied")
    return tmp_path / "copied", (*arguments, f"--workdir={tmp_path / 'copied'}", "--mode=evaluate")


def test_the_bound_is_recorded_beside_the_plain_result(copied, capsys):
    workdir, arguments = copied
    run(*arguments, "--importance_samples=5", "--evaluation_images=20", f"--results_dir={workdir / 'kept'}")
    importance, plain = sorted(load_records(workdir / "results"), key=lambda record: record.num_images)
    assert plain.is_plain and plain.curve and plain.num_images > 20
    assert load_records(workdir / "kept") == (importance,)
    assert not importance.is_plain and importance.curve is None and importance.train_curve is None
    assert importance.num_images == importance.evaluation_images == 20 and importance.importance["samples"] == 5
    assert importance.name.endswith("test-bits_per_dim-samples5-images20")
    values = np.load(workdir / "test_bits_per_dim-samples5-images20.npy")
    np.testing.assert_allclose(importance.value, values.mean())
    assert importance.value < importance.importance["elbo"]
    assert 1 <= importance.importance["effective_samples"] <= 5
    lines = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    first = lines.index("verdict")
    assert lines[first : first + 4] == ["verdict", "samples", "noise", "ELBO"]


def test_fewer_images_with_one_draw_each(copied):
    workdir, arguments = copied
    run(*arguments, "--evaluation_images=20")
    record = min(load_records(workdir / "results"), key=lambda record: record.num_images)
    assert record.importance is None and record.evaluation_images == 20 and record.curve is None
    whole = np.load(workdir / "test_bits_per_dim.npy")
    np.testing.assert_allclose(np.load(workdir / "test_bits_per_dim-images20.npy"), whole[:20], rtol=1e-5)


def test_a_stop_keeps_the_sums_and_the_same_command_goes_on(copied, monkeypatch):
    workdir, arguments = copied
    arguments = (*arguments, "--importance_samples=40", "--evaluation_images=20")
    monkeypatch.setattr(evaluate, "make_any_worker", lambda strategy: lambda flag: True)
    run(*arguments)
    assert (workdir / "test_bits_per_dim-samples40-images20-sums.npz").exists()
    assert len(load_records(workdir / "results")) == 1
    monkeypatch.undo()
    run(*arguments)
    assert len(load_records(workdir / "results")) == 2


def test_sums_of_other_parameters_are_refused(copied, capsys):
    workdir, arguments = copied
    arguments = (*arguments, "--importance_samples=2", "--evaluation_images=20")
    run(*arguments)
    shutil.rmtree(workdir / "checkpoints")
    other = workdir.parent / "other"
    run(*arguments[:-3], f"--workdir={other}", "--mode=train", "--seed=1")
    shutil.copytree(other / "checkpoints", workdir / "checkpoints")
    assert "parameters" in exit_message(capsys, *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--evaluation_images=100000",), "remove the flag"),
        (("--importance_samples=2", "--evaluate_train"), "remove --evaluate_train"),
        (("--importance_samples=2", "--mode=train"), "needs --mode=evaluate"),
        (("--evaluation_images=2", "--mode=sample"), "needs --mode=train or --mode=evaluate"),
    ],
)
def test_what_cannot_be_measured_is_said(copied, capsys, arguments, message):
    assert message in exit_message(capsys, *copied[1], *arguments)
