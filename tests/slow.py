"""Which cases of a test run by default, and which in the slow run alone."""

import pytest


def slow_but(kept, values, *, rows=False):
    """Cases for `pytest.mark.parametrize`: all of `values`, those that are not `kept` marked slow.

    Args:
      kept: Those that run by default.
      values: All of them.
      rows: Whether each is a tuple of the values of several arguments.
    """
    missing = set(kept) - set(values)
    assert not missing, f"there is no {missing}"
    cases = [value if rows else (value,) for value in values]
    return [
        pytest.param(*case, marks=[] if value in kept else [pytest.mark.slow])
        for case, value in zip(cases, values, strict=True)
    ]
