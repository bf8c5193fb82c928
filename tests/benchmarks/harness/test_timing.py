"""Samples in turn and their summaries; no test here depends on how fast anything is."""

import pytest

from benchmarks.harness.timing import Samples, in_turn, milliseconds, ratio, summary, timed


def scripted(log, name, seconds):
    """A task as `timed` makes it, whose calls take what `seconds` says, one after the other."""
    remaining = iter(seconds)

    def call(times):
        log.append((name, times))
        return [next(remaining) for _ in range(times)]

    return call


def test_tasks_take_turns_and_each_turn_warms_up_once():
    log = []
    a = scripted(log, "a", [9.0, 5.0, 1.0, 3.0, 5.0, 2.0, 4.0])
    b = scripted(log, "b", [8.0, 5.0, 10.0, 10.0, 5.0, 20.0, 20.0])
    samples = in_turn({"a": a, "b": b}, rounds=2, calls=2)
    assert log == [("a", 1), ("b", 1), ("a", 3), ("b", 3), ("b", 3), ("a", 3)]
    # The first call of all and the first of each turn count in no sample.
    assert samples == {"a": Samples(9.0, (2.0, 3.0)), "b": Samples(8.0, (10.0, 20.0))}


def test_a_disturbed_turn_is_repeated():
    log, verdicts = [], iter([False, True, False])
    samples = in_turn(
        {"a": scripted(log, "a", [1.0, 1.0, 2.0, 1.0, 9.0, 1.0, 4.0])}, 2, 1, watch=lambda: lambda: next(verdicts)
    )
    assert samples["a"].turns == (2.0, 4.0)


def test_timed_calls_as_often_as_asked():
    calls = []
    seconds = timed(lambda: calls.append(None))(3)
    assert len(calls) == len(seconds) == 3 and all(value >= 0 for value in seconds)


def test_summary_is_median_and_quartiles():
    assert summary([5.0, 1.0, 3.0, 2.0, 4.0]) == {
        "median": 3.0,
        "lower_quartile": 2.0,
        "upper_quartile": 4.0,
        "count": 5,
    }


def test_a_ratio_is_taken_pair_by_pair():
    """A machine that is ten times slower in one round is so for both: the ratio does not see it, that of medians would."""
    samples = {"a": [1.0, 20.0, 4.0], "b": [2.0, 40.0, 2.0]}
    row = ratio("case", "step", "a", "b", samples, goal=1.0)
    assert (row.numerator, row.denominator, row.median, row.count, row.goal) == ("a", "b", 0.5, 3, 1.0)
    with pytest.raises(ValueError, match="zip"):
        ratio("case", "step", "a", "b", {"a": [1.0], "b": [1.0, 2.0]})


def test_milliseconds_keep_the_first_call_apart():
    row = milliseconds("case", "step", "a", Samples(7.0, (0.001, 0.002, 0.003)), parameters=5)
    assert (row.unit, row.first_call, row.parameters, row.count) == ("ms", 7.0, 5, 3)
    assert row.median == pytest.approx(2.0) and row.lower_quartile == pytest.approx(1.5)
