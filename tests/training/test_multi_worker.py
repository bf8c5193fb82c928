"""Processes that TF_CONFIG names train as one process with the same global batch."""

import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from reproductions.driver import main
from tests.training.conftest import run_scenarios
from tests.training.forked import cluster
from tfflows.data import array_source
from tfflows.devices import agreement
from tfflows.devices.agreement import check_workers_agree, differences, gather_texts
from tfflows.devices.strategies import make_strategy


def test_two_workers_train_glow_as_one_process(tmp_path):
    """See processes.py: the data-dependent initialization, averages, an epoch and a split that divide into no batches."""
    errors, output = run_scenarios("processes.py", tmp_path, "two_workers")
    assert errors == {"two_workers": ""}, errors["two_workers"] + output
    alone, together = (dict(np.load(tmp_path / "two_workers" / f"{number}.npz")) for number in (0, 1))
    assert together.keys() == alone.keys()
    assert together["bits"].shape == (7,) and np.isfinite(together["bits"]).all()
    for name, value in alone.items():
        np.testing.assert_allclose(together[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["two_workers", "four_workers", "workers_in_evaluation"])
def test_workers_stop_together_and_end_with_the_figures_of_one_process(interrupted_runs, scenario):
    """See interrupted_runs.py: one of them is told to stop half-way."""
    interrupted_runs(scenario)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["other_settings", "lost_worker", "lost_chief"])
def test_workers_that_cannot_train_together_say_why(interrupted_runs, scenario):
    """See interrupted_runs.py."""
    interrupted_runs(scenario)


# SEED, BATCH_SIZE and GREY_LEVEL of python_worker.py: those of the first worker, and of the second one by what differs.
FIRST = (0, 8, 100)
SECOND = {
    "nothing": (FIRST, None),
    "seed": ((1, 8, 100), r"do not agree: seed is 0 on worker 0 and 1 on worker 1\."),
    "batch_size": ((0, 4, 100), r"do not agree: batch_size is 8 on worker 0 and 4 on worker 1\."),
    "images": ((0, 8, 101), r'do not agree: the training images is "\w{12}" on worker 0 and "\w{12}" on worker 1\.'),
}


def run_python_workers(workdir, settings):
    """Runs python_worker.py once for each element of `settings`; returns the statuses and the standard errors."""
    root = pathlib.Path(__file__).parents[2]
    workers = [
        subprocess.Popen(
            [sys.executable, str(root / "tests/training/python_worker.py"), str(workdir), *map(str, own)],
            env={**os.environ, "PYTHONPATH": str(root), "TF_CONFIG": json.dumps(config)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for own, config in zip(settings, cluster(len(settings)), strict=True)
    ]
    try:
        errors = [worker.communicate(timeout=240)[1] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    return [worker.returncode for worker in workers], errors


@pytest.mark.slow
@pytest.mark.parametrize("field", SECOND)
def test_workers_whose_calls_of_fit_differ_end_before_anything_is_written(tmp_path, field):
    """Without the command line, which compares its flags by itself."""
    second, message = SECOND[field]
    statuses, errors = run_python_workers(tmp_path / "run", [FIRST, second])
    if message is None:
        assert statuses == [0, 0], errors
        assert (tmp_path / "run" / "checkpoints" / "step-3.index").exists()
        return
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").iterdir()), errors
    for status, error in zip(statuses, errors, strict=True):
        assert status == 1, error
        (line,) = [line for line in error.splitlines() if "WorkersDisagree: " in line]
        assert re.search(message, line), line


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ("Error reported from /job:worker/task:1: Unhealthy tasks:\n/job:worker/replica:0/task:1", "Worker 1"),
        ("/job:worker/replica:0/task:3 and /job:worker/task:0", "Worker 0 and 3"),
        ("Deadline Exceeded", "Another worker"),
    ],
)
def test_the_line_about_lost_workers_names_them(message, named):
    assert main._lost_workers(message) == named


def test_images_are_read_for_their_fingerprint_once(monkeypatch):
    """The command line and the Trainer that it calls both compare them."""
    source = array_source(np.zeros([2, 4, 4, 1], np.uint8))
    first = agreement.source_fingerprint(source)
    monkeypatch.setattr(agreement, "_compute_fingerprint", None)
    assert agreement.source_fingerprint(source) == first


def test_what_differs_is_named_for_each_worker():
    settings = [{"a": 1, "b": [1]}, {"a": 1, "b": [2]}, {"a": 2}]
    assert differences(settings) == (
        "a is 1 on worker 0, 1 on worker 1 and 2 on worker 2; b is [1] on worker 0, [2] on worker 1 and absent on worker 2"
    )
    strategy = make_strategy("one_device")
    check_workers_agree(strategy, {"a": 1})
    assert gather_texts(strategy, "text") == ["text"]


@pytest.mark.parametrize("texts", [("", ""), ("a", ""), ("straße", "{}")])
def test_texts_of_any_length_are_gathered(monkeypatch, texts):
    """TensorFlow crashes where workers sum a tensor without numbers, so there is never one."""
    monkeypatch.setattr(agreement, "num_workers", lambda strategy: len(texts))

    contributed = {0: [], 1: []}

    def record(strategy, value, index):
        assert value.size
        contributed[index].append(value)
        # The first sum is of the lengths.
        if len(contributed[index]) == 1:
            return np.array([len(text.encode()) for text in texts], np.float32)
        return value

    for index in (0, 1):
        monkeypatch.setattr(
            agreement, "_sum_over_workers", lambda strategy, value, index=index: record(strategy, value, index)
        )
        monkeypatch.setattr(agreement, "worker_index", lambda strategy, index=index: index)
        assert gather_texts(None, texts[index])[index] == texts[index]
    total = contributed[0][1] + contributed[1][1]
    assert [bytes(row.astype(np.uint8)).rstrip(b"\0").decode() for row in total] == list(texts)
