import json
import math
import os
import sys
import warnings

import numpy as np
import pytest
import tensorflow as tf
from absl import logging
from tensorboard.plugins.hparams import plugin_data_pb2

from tfflows.training.logs import MetricLogger, read_metrics


def log_steps(workdir, start_step, last, close=True):
    logger = MetricLogger(workdir, start_step)
    for step in range((start_step or 0) + 1, last + 1):
        logger.log(step, {"bits_per_dim": 8 / step, "learning_rate": 1e-3})
    if close:
        logger.close()
    return logger


def tensorboard_records(workdir):
    """All summaries in the order of the files, without wall times."""
    found = []
    for path in sorted((workdir / "tensorboard").iterdir()):
        assert path.name.startswith("events.out.tfevents."), path
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                found.append((event.step, value.tag, tf.make_ndarray(value.tensor).tolist()))
    # Files that one process opened within a second sort by a counter in their names, 10 before 9.
    return sorted(found, key=lambda record: record[0])


def test_a_line_a_step_and_the_same_in_tensorboard(tmp_path):
    with MetricLogger(tmp_path, None) as logger:
        logger.log(
            3,
            {
                "bits_per_dim": tf.constant(3.5),
                "gradient_norm": np.float32(0.5),
                "images_per_second": 64,
                "split": "test",
                "infinite": float("inf"),
            },
        )
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {
            "step": 3,
            "bits_per_dim": 3.5,
            "gradient_norm": 0.5,
            "images_per_second": 64,
            "split": "test",
            "infinite": None,
        }
    ]
    assert next(iter(json.loads(lines[0]))) == "step"
    assert [(step, tag) for step, tag, _ in tensorboard_records(tmp_path)] == [
        (3, "bits_per_dim"),
        (3, "gradient_norm"),
        (3, "images_per_second"),
    ]


@pytest.mark.parametrize(("killed_after", "restored"), [(9, 6), (6, 6), (9, 1), (3, None)])
def test_a_restart_leaves_what_an_unbroken_run_leaves(tmp_path, killed_after, restored):
    log_steps(tmp_path / "unbroken", None, 12)
    log_steps(tmp_path / "broken", None, killed_after)
    log_steps(tmp_path / "broken", restored, 12)
    texts = [(tmp_path / run / "metrics.jsonl").read_text() for run in ("unbroken", "broken")]
    assert texts[0] == texts[1]
    assert len(texts[0].splitlines()) == 12
    unbroken, broken = (tensorboard_records(tmp_path / run) for run in ("unbroken", "broken"))
    assert broken == unbroken
    assert len(unbroken) == 12 * 2


def test_a_start_from_nothing_keeps_nothing_and_a_start_at_0_keeps_0(tmp_path):
    for start_step, kept in [(None, 0), (0, 1)]:
        workdir = tmp_path / str(start_step)
        with MetricLogger(workdir, None) as logger:
            logger.log(0, {"bits_per_dim": 8.0})
        MetricLogger(workdir, start_step).close()
        assert len(read_metrics(workdir / "metrics.jsonl")) == kept
        assert len(tensorboard_records(workdir)) == kept


@pytest.mark.parametrize("cut", [1, 10, 40])
def test_files_that_a_kill_cut_short(tmp_path, cut):
    log_steps(tmp_path, None, 5)
    (events,) = (tmp_path / "tensorboard").iterdir()
    for file in (tmp_path / "metrics.jsonl", events):
        os.truncate(file, file.stat().st_size - cut)
    assert [r["step"] for r in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2, 3, 4]
    log_steps(tmp_path, 4, 6)
    assert [r["step"] for r in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2, 3, 4, 5, 6]
    records = tensorboard_records(tmp_path)
    assert [step for step, tag, _ in records if tag == "bits_per_dim"] == [1, 2, 3, 4, 5, 6]
    assert len(records) == 6 * 2


@pytest.mark.slow
def test_what_was_flushed_survives_kill_9(scenarios):
    workdir = scenarios("flushed_logs")
    assert [r["step"] for r in read_metrics(workdir / "metrics.jsonl")] == list(range(1, 101))
    assert [step for step, _, _ in tensorboard_records(workdir)] == list(range(1, 101))


@pytest.mark.slow
def test_a_full_disk_stops_with_a_clear_error_and_keeps_what_was_logged(scenarios):
    workdir = scenarios("full_disk_of_logs")
    assert read_metrics(workdir / "metrics.jsonl")[0]["step"] == 1
    log_steps(workdir, 1, 3)  # there is space again
    assert [r["step"] for r in read_metrics(workdir / "metrics.jsonl")] == [1, 2, 3]
    steps = [step for step, tag, _ in tensorboard_records(workdir) if tag == "bits_per_dim"]
    assert steps == [1, 2, 3]


def test_lines_are_in_the_file_before_a_flush(tmp_path):
    logger = log_steps(tmp_path, None, 3, close=False)
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == 3
    logger.close()


def test_cutting_nothing_rewrites_nothing(tmp_path):
    log_steps(tmp_path, None, 4)
    files = [tmp_path / "metrics.jsonl", *(tmp_path / "tensorboard").iterdir()]
    before = [file.stat().st_ino for file in files]
    MetricLogger(tmp_path, 4).close()
    assert [file.stat().st_ino for file in files] == before


def test_other_workers_write_nothing(tmp_path):
    with MetricLogger(tmp_path, None, chief=False) as logger:
        logger.log(1, {"bits_per_dim": 3.0})
        logger.flush()
    assert not list(tmp_path.iterdir())


def test_without_tensorboard_metrics_jsonl_alone_is_written(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "tensorboard"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    lines = []
    monkeypatch.setattr("absl.logging.info", lambda text, *arguments: lines.append(text % arguments))
    log_steps(tmp_path, None, 3)
    log_steps(tmp_path, 2, 4)
    with MetricLogger(tmp_path, 4, hyperparameters={"width": 4}, is_end=True) as logger:
        logger.log_histograms(4, lambda: pytest.fail("nobody sees them"))
        logger.log_final(4, {"test_bits_per_dim": 3.5})
        logger.log_pictures(4, {"grid": tmp_path / "grid.png"})
    assert [record["step"] for record in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2, 3, 4, 4]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]
    assert lines == ["TensorBoard is not installed: metrics go to metrics.jsonl alone."] * 3


def test_callbacks_get_what_is_logged(tmp_path):
    seen = []
    for workdir, chief in ((tmp_path, True), (None, True), (None, False)):
        with MetricLogger(workdir, None, chief, [lambda step, scalars: seen.append((step, scalars))]) as logger:
            logger.log(tf.constant(3), {"bits_per_dim": tf.constant(3.5), "split": "test", "infinite": math.inf})
    assert seen == [(3, {"bits_per_dim": 3.5, "split": "test", "infinite": None})] * 2


@pytest.mark.parametrize(
    "line", [b"[" * 100_000, b"\xff\xfe", b'{"step": 4.5}', b'{"step": 4, "loss": [1]}', b"[4]", b"{}"]
)
def test_a_line_that_is_no_record_is_left_out_and_named(tmp_path, monkeypatch, line):
    said = []
    monkeypatch.setattr(logging, "warning", lambda text, *arguments: said.append(text % arguments))
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 3}\n' + line + b'\n{"step": 5}\n')
    assert [record["step"] for record in read_metrics(path)] == [3, 5]
    assert said == [f"Line 2 of {path} is not a whole record and is left out."]


def test_close_leaves_no_file_to_the_garbage_collector(tmp_path):
    logger = MetricLogger(tmp_path, None)
    logger.log(1, {"bits_per_dim": 8.0})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        logger.close()
    assert [str(warning.message) for warning in caught if "metrics.jsonl" in str(warning.message)] == []


def summaries(workdir):
    """`{(step, tag): [value]}` of all files, of each plugin's events as they are stored."""
    found = {}
    for path in (workdir / "tensorboard").iterdir():
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                found.setdefault((event.step, value.tag), []).append(value)
    return found


def test_hyperparameters_are_those_of_the_last_start(tmp_path):
    for start_step, width in ((None, 4), (2, 8)):
        with MetricLogger(
            tmp_path, start_step, hyperparameters={"width": width, "paper": "glow", "lu": True}
        ) as logger:
            logger.log((start_step or 0) + 2, {"bits_per_dim": 3.5})
    (value,) = summaries(tmp_path)[0, "_hparams_/session_start_info"]
    data = plugin_data_pb2.HParamsPluginData.FromString(value.metadata.plugin_data.content)
    given = data.session_start_info.hparams
    assert (given["width"].number_value, given["paper"].string_value, given["lu"].bool_value) == (8, "glow", True)
    assert [record["step"] for record in read_metrics(tmp_path / "metrics.jsonl")] == [2, 4]


def test_histograms_are_cut_as_scalars_are(tmp_path):
    for start_step in (None, 2):
        with MetricLogger(tmp_path, start_step) as logger:
            for step in range((start_step or 0) + 2, 7, 2):
                logger.log_histograms(step, lambda: {"scale": np.array([[0.0, 1.0, 1.0]])})
                logger.log_histograms(step, dict)
    found = summaries(tmp_path)
    assert {key: len(values) for key, values in found.items()} == {(step, "scale"): 1 for step in (2, 4, 6)}
    buckets = tf.make_ndarray(found[2, "scale"][0].tensor)
    assert buckets[:, 2].sum() == 3 and buckets[0, 2] == 1 and buckets[-1, 1] == 1.0


def test_what_ends_a_run_is_there_once(tmp_path):
    """However often it ends, and after it was prolonged."""
    picture = tmp_path / "grid.png"
    picture.write_bytes(tf.io.encode_png(np.zeros([3, 5, 1], np.uint8)).numpy())
    for start_step, last in ((None, 2), (2, 2), (2, 4)):
        log_steps(tmp_path, start_step, last)
        for _ in range(2):
            with MetricLogger(tmp_path, last, is_end=True) as logger:
                logger.log_final(last, {"test_bits_per_dim": 3.5})
                logger.log_pictures(last, {"grid": picture})
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 4] and lines[-1] == {
        "step": 4,
        "final_test_bits_per_dim": 3.5,
    }
    found = {
        key: values for key, values in summaries(tmp_path).items() if key[1] not in ("bits_per_dim", "learning_rate")
    }
    assert sorted(found) == [(0, "_hparams_/session_end_info"), (4, "final_test_bits_per_dim"), (4, "pictures/grid")]
    assert all(len(values) == 1 for values in found.values())
    width, height, png = found[4, "pictures/grid"][0].tensor.string_val
    assert (width, height, png) == (b"5", b"3", picture.read_bytes())
