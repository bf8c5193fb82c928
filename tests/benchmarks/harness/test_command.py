"""What is read from a measured run of the command."""

import pytest

from benchmarks.harness.command import Run
from benchmarks.harness.start_up import LIMIT, start_up_rows

EVENTS = {"imports": 4.0, "data": 4.5, "model": 10.0, "optimizer": 12.0, "initialization": 21.0}
STEPS = ((1, 51.0), (2, 54.0), (3, 56.0), (4, 60.0))


def make_run(**changes):
    return Run(**{"events": EVENTS, "steps": STEPS, "peak_memory_mib": 700.0, "finished": True, **changes})


def test_seconds_per_step_leave_the_first_call_out():
    assert make_run().seconds_per_step(after=1) == 3.0
    assert make_run().first_step_seconds() == 30.0


def test_calls_of_several_steps_count_by_step():
    run = make_run(steps=((10, 50.0), (20, 60.0), (30, 80.0)))
    assert run.block_seconds(10) == [1.0, 2.0] and run.seconds_per_step(after=10) == 1.5


def test_blocks_are_means_so_that_a_slow_step_counts():
    run = make_run(steps=((1, 1.0), (2, 2.0), (3, 7.0), (4, 8.0), (5, 9.0), (6, 9.5)))
    assert run.block_seconds(2) == [3.0, 1.0]


def test_start_up_is_the_first_step_less_a_later_one_and_the_arithmetic_of_the_init():
    rows = {row.quantity: row for row in start_up_rows("x", make_run(forward_pass=2.0))}
    assert rows["start-up"].median == pytest.approx(51.0 - 3.0 - 2.0)
    parts = ["interpreter and imports", "data set", "model", "optimizer and train step", "data-dependent init"]
    parts += ["tracing and first step"]
    assert sum(rows[part].median for part in parts) == pytest.approx(51.0)
    assert rows["data-dependent init"].median == pytest.approx(9.0)


def test_a_stopped_start_up_says_so_and_how_far_it_came():
    rows = start_up_rows("x", make_run(events={"imports": 4.0, "data": 4.5}, steps=(), finished=False))
    assert rows[0].at_least and rows[0].median == LIMIT
    assert [row.quantity for row in rows[1:]] == ["interpreter and imports", "data set"]
