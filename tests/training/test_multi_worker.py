"""Two processes that TF_CONFIG names train as one process with the same global batch."""

import numpy as np
import pytest

from tfflows.data import array_source
from tfflows.devices import agreement
from tfflows.devices.agreement import check_workers_agree, differences, gather_texts
from tfflows.devices.strategies import make_strategy


def test_two_workers_stop_together_and_end_with_the_figures_of_one_process(interrupted_runs):
    """See interrupted_runs.py: one of the two is told to stop half-way."""
    interrupted_runs("two_workers")


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["other_settings", "lost_worker"])
def test_workers_that_cannot_train_together_say_why(interrupted_runs, scenario):
    """See interrupted_runs.py."""
    interrupted_runs(scenario)


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
