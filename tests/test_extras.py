"""Optional packages: the library imports without them, and says which extra has the one that is missing."""

import ast
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import tfflows
from tfflows.data import load_dataset
from tfflows.extras import MissingExtraError, require
from tfflows.interop.sources import read_source
from tfflows.progress import Progress

OPTIONAL = ["PIL", "lmdb", "matplotlib", "pandas", "safetensors", "sklearn", "tensorboard", "tqdm"]


def test_gives_the_module():
    import json.decoder

    assert require("json.decoder", "anything") is json.decoder


def test_a_missing_package_is_named_with_its_extra():
    with pytest.raises(
        MissingExtraError, match=r"^The package 'no_such' is not installed: run pip install 'tfflows\[x\]'\.$"
    ):
        require("no_such.module", "x")


def test_what_is_missing_inside_of_a_package_is_another_error(tmp_path, monkeypatch):
    (tmp_path / "broken_package.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency") as error:
        require("broken_package", "x")
    assert not isinstance(error.value, MissingExtraError)


@pytest.mark.parametrize(
    ("package", "extra", "use"),
    [
        ("sklearn", "reproductions", lambda path: load_dataset("digits", "train")),
        ("sklearn", "reproductions", lambda path: load_dataset("photographs", "train")),
        ("PIL", "reproductions", lambda path: load_dataset("photographs", "train")),
        ("PIL", "images", lambda path: load_dataset(f"folder:{path}", "train")),
        ("safetensors", "checkpoints", lambda path: read_source(path / "weights.safetensors")),
    ],
)
def test_each_use_names_its_extra(package, extra, use, tmp_path, monkeypatch):
    (tmp_path / "train").mkdir()
    for name in ("1.png", "2.png"):
        (tmp_path / "train" / name).write_bytes(b"")
    (tmp_path / "weights.safetensors").write_bytes(b"")
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"'tfflows\[{extra}\]'"):
        use(tmp_path)


def test_progress_on_a_terminal_without_tqdm_writes_lines(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress(total=2, seconds_between_lines=0.0) as progress:
        progress.update(1, bits_per_dim=np.float32(3.5))
        progress.update(2)
    assert capsys.readouterr().err.startswith("train 1/2, bits/dim 3.5")


def imported_with(module):
    """Names of the packages that are imported when the module is, from its source."""
    statements = list(ast.parse(module.read_text(encoding="utf-8")).body)
    for statement in statements:
        if isinstance(statement, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            yield statement.module.partition(".")[0]
        elif isinstance(statement, ast.Try | ast.With | ast.ClassDef) or (
            isinstance(statement, ast.If) and "TYPE_CHECKING" not in ast.dump(statement.test)
        ):
            statements += [child for child in ast.walk(statement) if isinstance(child, ast.Import | ast.ImportFrom)]


def test_no_module_of_the_library_imports_an_extra_first_thing():
    modules = list(pathlib.Path(tfflows.__file__).parent.rglob("*.py"))
    found = {(module.name, name) for module in modules for name in imported_with(module)}
    assert len(modules) > 100 and ("base.py", "tensorflow") in found
    assert [(module, name) for module, name in found if name in OPTIONAL] == []


IMPORT_ALL = f"""
import sys
sys.modules.update(dict.fromkeys({OPTIONAL}))
import importlib, pkgutil
import tfflows
for module in pkgutil.walk_packages(tfflows.__path__, "tfflows."):
    importlib.import_module(module.name)
"""


@pytest.mark.slow
def test_no_module_of_the_library_needs_an_extra_to_be_imported():
    # tensorflow-datasets brings tqdm itself: it is hidden after that import.
    code = "import tensorflow_datasets\n" + IMPORT_ALL
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
