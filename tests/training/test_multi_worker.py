"""Two processes that TF_CONFIG names train as one process with the same global batch."""

import pytest

from tfflows.devices.agreement import check_workers_agree, differences, gather_texts
from tfflows.devices.strategies import make_strategy


@pytest.mark.slow
def test_two_workers_stop_together_and_end_with_the_figures_of_one_process(interrupted_runs):
    """See interrupted_runs.py: one of the two is told to stop half-way."""
    interrupted_runs("two_workers")


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["other_settings", "lost_worker"])
def test_workers_that_cannot_train_together_say_why(interrupted_runs, scenario):
    """See interrupted_runs.py."""
    interrupted_runs(scenario)


def test_what_differs_is_named_for_each_worker():
    settings = [{"a": 1, "b": [1]}, {"a": 1, "b": [2]}, {"a": 2}]
    assert differences(settings) == (
        "a is 1 on worker 0, 1 on worker 1 and 2 on worker 2; b is [1] on worker 0, [2] on worker 1 and absent on worker 2"
    )
    strategy = make_strategy("one_device")
    check_workers_agree(strategy, {"a": 1})
    assert gather_texts(strategy, "text") == ["text"]
