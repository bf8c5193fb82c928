"""Which cases of a test run by default, and which in the slow run alone."""

import pytest


def slow_but(kept, values):
    """Cases for `pytest.mark.parametrize`: all of `values`, those that are not `kept` marked slow."""
    missing = set(kept) - set(values)
    assert not missing, f"there is no {missing}"
    return [value if value in kept else pytest.param(value, marks=pytest.mark.slow) for value in values]
