"""Packages that import their names when they are asked for offer what they say, and no more is loaded than that."""

import ast
import importlib
import pathlib
import subprocess
import sys

import pytest

PACKAGES = ["tfflows.bijectors", "tfflows.networks"]


@pytest.mark.parametrize("name", PACKAGES)
def test_every_name_is_there(name):
    package = importlib.import_module(name)
    assert package.__all__ == dir(package)
    for offered in package.__all__:
        assert getattr(package, offered).__name__ == offered


@pytest.mark.parametrize("name", PACKAGES)
def test_what_readers_see_is_what_runs(name):
    package = importlib.import_module(name)
    tree = ast.parse(pathlib.Path(package.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    shown = {alias.name: node.module for node in block.body for alias in node.names}
    assert sorted(shown) == package.__all__
    for offered, module in shown.items():
        assert getattr(importlib.import_module(module), offered) is getattr(package, offered)


@pytest.mark.parametrize("name", PACKAGES)
def test_unknown_names(name):
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'Nothing'"):
        importlib.import_module(name).Nothing  # noqa: B018


@pytest.mark.slow
def test_one_bijector_loads_no_other():
    code = (
        "import sys; from tfflows.bijectors import Logit;"
        "print(*(name for name in sys.modules if name.startswith('tfflows.bijectors.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    loaded = set(done.stdout.split())
    assert "tfflows.bijectors.logit" in loaded and "tfflows.bijectors.coupling" not in loaded
