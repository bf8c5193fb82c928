"""The examples of the documentation run and give what they print."""

import doctest
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["README.md"])
def test_examples(name):
    failures, tried = doctest.testfile(str(ROOT / name), module_relative=False)
    assert tried and not failures
