"""Users trace the library with AutoGraph on, which must find nothing that it cannot convert."""

import ast
import pathlib

import pytest
import tensorflow as tf

import tfflows
from tfflows.bijectors import Chain

SOURCES = sorted(pathlib.Path(tfflows.__file__).parent.rglob("*.py"))


def is_docstring_alone(function):
    body = function.body
    return len(body) == 1 and isinstance(body[0], ast.Expr) and isinstance(getattr(body[0].value, "value", None), str)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.parent.name + "/" + path.name)
def test_no_body_is_a_docstring_alone(path):
    """AutoGraph removes docstrings, and warns of the empty body that is left."""
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    assert [function.name for function in functions if is_docstring_alone(function)] == []


def test_autograph_converts_a_check_without_a_body():
    assert tf.autograph.to_graph(Chain._check_event)(None, "inverse", tf.TensorShape([4])) is None
