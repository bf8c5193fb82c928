"""A package that is not installed is one line that names its extra, in every command."""

import sys

import pytest

from reproductions import tables
from reproductions.reporting.plots import new_figure
from tests.reproductions.driver.running import TINY, exit_message
from tfflows.extras import MissingExtraError


def hide(monkeypatch, package):
    """As if a package were not installed, also where some of it was imported before."""
    for name in [package, *(name for name in sys.modules if name.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, name, None)


def said(package):
    return f"MissingExtraError: The package {package!r} is not installed: run pip install 'tfflows[reproductions]'."


def test_training_on_an_embedded_set_without_scikit_learn(monkeypatch, capsys, tmp_path):
    hide(monkeypatch, "sklearn")
    message = exit_message(capsys, *TINY, f"--workdir={tmp_path / 'run'}")
    assert message.splitlines()[-1] == said("sklearn")
    assert not (tmp_path / "run").exists()


def test_image_files_without_pillow(monkeypatch, capsys, tmp_path):
    hide(monkeypatch, "PIL")
    message = exit_message(capsys, *TINY, "--image_files", f"--workdir={tmp_path / 'run'}")
    assert message.splitlines()[-1] == said("PIL").replace("[reproductions]", "[images]")
    assert not (tmp_path / "run").exists()


def test_list_without_pandas(monkeypatch, capsys):
    hide(monkeypatch, "pandas")
    assert exit_message(capsys, "--list").splitlines()[-1] == said("pandas")


def test_tables_without_pandas(monkeypatch, capsys, results):
    hide(monkeypatch, "pandas")
    assert tables.main([str(results)]) == 1
    assert capsys.readouterr().err == said("pandas") + "\n"


def test_figures_without_matplotlib(monkeypatch):
    hide(monkeypatch, "matplotlib")
    with pytest.raises(MissingExtraError, match=r"'matplotlib' .*'tfflows\[reproductions\]'"):
        new_figure(1, 1)
