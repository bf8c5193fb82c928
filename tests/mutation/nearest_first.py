"""pytest plugin for mutants: tests that name what is mutated run first, and the session ends when its time is over.

Takes the names of file and function from `MUTATION_NAMES`, the seconds from `MUTATION_SECONDS`; leaves in the file
`MUTATION_REPORT` a JSON object of what failed first, how many tests ran and how many there were. The seconds are of CPU time,
child processes included: a busy machine then runs as many tests as an idle one.
"""

import collections
import itertools
import json
import os
import pathlib
import re

import pytest

# Fewer would make the fixtures of a file too often.
_AT_A_TIME = 8
_state = {"failed": None, "ran": 0, "selected": 0}


def pytest_collection_modifyitems(items):
    """Tests that name the file or the function before the others; of equally near ones, some of each file in turn."""
    words = [word for word in re.split(r"[_\W]+", os.environ["MUTATION_NAMES"].lower()) if len(word) > 2]
    numbers = collections.defaultdict(itertools.count)
    turns = {item: next(numbers[item.path]) // _AT_A_TIME for item in items}
    items.sort(key=lambda item: (-sum(word in item.nodeid.lower() for word in words), turns[item]))
    _state["selected"] = len(items)


def pytest_runtestloop(session):
    """The clock starts when collecting is over."""
    session.config.stash[_DEADLINE] = _cpu_seconds() + float(os.environ["MUTATION_SECONDS"])


def pytest_runtest_logreport(report):
    """Remembers the first failure."""
    if report.when == "call":
        _state["ran"] += 1
    if report.failed and _state["failed"] is None:
        _state["failed"] = report.nodeid


def pytest_runtest_teardown(item):
    """Ends the session after the last test that its time is enough for."""
    if _cpu_seconds() > item.config.stash[_DEADLINE]:
        item.session.shouldstop = "The time for this mutant is over."


def pytest_sessionfinish():
    """Writes the report."""
    pathlib.Path(os.environ["MUTATION_REPORT"]).write_text(json.dumps(_state))


def _cpu_seconds():
    """CPU time of this process and of its children that have ended."""
    return sum(os.times()[:4])


_DEADLINE = pytest.StashKey()
