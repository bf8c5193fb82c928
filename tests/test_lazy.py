"""Packages that import their names when they are asked for offer what they say, and no more is loaded than that."""

import ast
import collections
import importlib
import pathlib
import pkgutil
import subprocess
import sys

import pytest

import tfflows

PACKAGES = [f"tfflows.{each.name}" for each in pkgutil.iter_modules(tfflows.__path__) if each.ispkg]


def public_names(package):
    """`{class or function without an underscore: modules of the package that define it}`."""
    found = collections.defaultdict(list)
    for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        module = importlib.import_module(each.name)
        for name, value in vars(module).items():
            own = (getattr(value, "__module__", None), getattr(value, "__name__", None)) == (module.__name__, name)
            if own and callable(value) and not name.startswith("_"):
                found[name].append(module.__name__)
    return found


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_is_exported(name):
    """Except for those that more than one module has, and those that a module has; `python tools/write_exports.py` adds them."""
    package = importlib.import_module(name)
    modules = {each.name for each in pkgutil.iter_modules(package.__path__)}
    unique = {each for each, homes in public_names(package).items() if len(homes) == 1 and each not in modules}
    assert unique - set(package.__all__) == set()
    assert set(package.__all__).isdisjoint(modules)


@pytest.mark.parametrize("name", PACKAGES)
def test_every_name_is_there(name):
    package = importlib.import_module(name)
    modules = {each.name for each in pkgutil.iter_modules(package.__path__)}
    assert set(dir(package)) == {*package.__all__, *modules}
    for offered in package.__all__:
        assert offered.isupper() or getattr(package, offered).__name__ == offered
    for module in modules:
        assert getattr(package, module) is importlib.import_module(f"{name}.{module}")


@pytest.mark.parametrize("name", PACKAGES)
def test_what_readers_see_is_what_runs(name):
    package = importlib.import_module(name)
    tree = ast.parse(pathlib.Path(package.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    shown = {alias.name: node.module for node in block.body for alias in node.names}
    assert sorted(shown) == package.__all__
    for offered, module in shown.items():
        assert getattr(importlib.import_module(module), offered) is getattr(package, offered)


@pytest.mark.parametrize("name", ["tfflows", *PACKAGES])
def test_unknown_names(name):
    for unknown in ("Nothing", "_nothing"):
        with pytest.raises(AttributeError, match=f"module '{name}' has no attribute '{unknown}'"):
            getattr(importlib.import_module(name), unknown)


def test_the_library_offers_its_folders():
    assert {name.rpartition(".")[2] for name in PACKAGES} <= set(dir(tfflows))
    for name in PACKAGES:
        assert getattr(tfflows, name.rpartition(".")[2]) is importlib.import_module(name)


def test_importing_the_library_imports_nothing_else():
    code = (
        "import sys; import tfflows; before = sorted(sys.modules); import tfflows.bijectors, tfflows.training;"
        "from tfflows import distributions;"
        "print(*(name for name in before if name.startswith('tfflows')), '|',"
        "*(name for name in sys.modules if name.partition('.')[0] in ('keras', 'numpy', 'tensorflow')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["tfflows", "tfflows.lazy", "|"]


@pytest.mark.slow
def test_one_bijector_loads_no_other():
    code = (
        "import sys; from tfflows.bijectors import Logit;"
        "print(*(name for name in sys.modules if name.startswith('tfflows.bijectors.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    loaded = set(done.stdout.split())
    assert "tfflows.bijectors.logit" in loaded and "tfflows.bijectors.coupling" not in loaded
