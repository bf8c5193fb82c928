"""How much of the machine others take."""

import os

import pytest

from benchmarks.harness import machine
from benchmarks.harness.machine import Others, Patience, process_seconds


@pytest.fixture
def clock(monkeypatch):
    """Two cores whose time goes on as the test says: `wall` seconds, of which all processes took `busy`, this one `own`."""
    now = {"wall": 100.0, "busy": 50.0, "own": 5.0}
    monkeypatch.setattr(machine.time, "monotonic", lambda: now["wall"])
    monkeypatch.setattr(machine.time, "sleep", lambda seconds: now.update(wall=now["wall"] + seconds))
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda process: {0, 1})
    monkeypatch.setattr(machine, "busy_seconds", lambda: now["busy"])
    monkeypatch.setattr(machine, "own_seconds", lambda: now["own"])
    return now


def test_others_take_what_is_busy_beside_oneself(clock):
    others = Others(lambda: clock["own"])
    clock.update(wall=110.0, busy=65.0, own=15.0)
    assert others.share() == pytest.approx(5.0 / 20.0)


def test_nothing_is_known_without_the_kernel_s_count(clock, monkeypatch):
    monkeypatch.setattr(machine, "busy_seconds", lambda: None)
    assert Others().share() is None and Patience([]).watch()() is False


def test_patience_repeats_disturbed_turns_until_it_ends(clock):
    patience = Patience([], seconds=8.0, limit=0.1)
    disturbed = patience.watch()
    clock.update(wall=105.0, busy=51.0)  # a tenth of the two cores
    assert not disturbed()
    disturbed = patience.watch()
    clock.update(wall=110.0, busy=56.0)
    assert disturbed()  # 5 seconds, and one of waiting
    disturbed = patience.watch()
    clock.update(wall=clock["wall"] + 5.0, busy=61.0)
    assert disturbed()
    disturbed = patience.watch()
    clock.update(wall=clock["wall"] + 5.0, busy=66.0)
    assert not disturbed()  # no more patience


def test_the_kernel_s_counts():
    """On Linux, where the benchmarks run."""
    assert machine.busy_seconds() > 0
    assert 0 < process_seconds(os.getpid()) < machine.busy_seconds()
