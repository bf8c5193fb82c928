"""Runs that hold training images out: what is trained on, measured on the way and at the end, and what the record says."""

import numpy as np

from reproductions.driver.session import Session
from reproductions.reporting.records import load_records
from tests.reproductions.driver.running import TINY, run
from tfflows.data import load_dataset
from tfflows.training.logs import read_metrics

STEPS = ("--steps=4", "--log_every=1", "--set=evaluate_every=2", "--holdout=37")


def test_images_held_out_are_measured_and_not_trained_on(tmp_path, monkeypatch, capsys):
    sessions = []
    monkeypatch.setattr(
        "reproductions.driver.session.Session", lambda *rest: sessions.append(Session(*rest)) or sessions[-1]
    )
    run(*TINY, *STEPS, f"--workdir={tmp_path}", "--select=best_test")
    (session,) = sessions
    whole = load_dataset("digits", "train")
    np.testing.assert_array_equal(session.data.train_source.images, whole.images[:-37])
    np.testing.assert_array_equal(session.data.validation_source.images, whole.images[-37:])

    (record,) = load_records(tmp_path / "results")
    assert record.split == "test" and record.num_images == 360 and record.overrides["holdout"] == 37
    held_out = np.load(tmp_path / "validation_bits_per_dim.npy")
    assert held_out.shape == (37,)
    expected = {"value": held_out.mean(), "standard_error": held_out.std(ddof=1) / np.sqrt(37), "num_images": 37}
    assert record.validation.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(record.validation[name], value, rtol=1e-9)
    assert record.value != record.validation["value"]

    # The curves: of the images held out, and of training.
    lines = read_metrics(tmp_path / "metrics.jsonl")
    measured = {line["step"]: line["validation_bits_per_dim"] for line in lines if "validation_bits_per_dim" in line}
    assert list(measured) == [2, 4] and not any("test_bits_per_dim" in line for line in lines)
    best = min(measured, key=measured.get)
    assert record.steps == best
    assert [list(point) for point in record.curve] == [[step, measured[step]] for step in (2, 4) if step <= best]
    assert [step for step, _ in record.train_curve] == [step for step in (2, 4) if step <= best]
    printed = capsys.readouterr().out
    assert "37 held-out training images" in printed
