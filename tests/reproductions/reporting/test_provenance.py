"""Provenance: the commit, and that a run says truly whether its code is that commit's."""

import shlex
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from reproductions.reporting.provenance import collect_provenance, command_line, git_commit, short_commit


@pytest.fixture
def repository(tmp_path):
    """A repository with one commit and the layout of this one."""
    for name in ("tfflows/__init__.py", "tfflows/README.md", "results/table.md", "README.md"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("original\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    git(tmp_path, *identity, "commit", "--quiet", "-m", "first")
    return tmp_path


def git(directory, *arguments):
    done = subprocess.run(["git", *arguments], cwd=directory, check=True, capture_output=True)
    return done.stdout.decode().strip()


def test_a_clean_repository_gives_its_commit(repository):
    assert git_commit(repository / "tfflows") == git(repository, "rev-parse", "HEAD")


@pytest.mark.parametrize(
    ("changed", "dirty"),
    [
        ("tfflows/__init__.py", True),
        ("tfflows/new.py", True),
        ("reproductions/run.py", True),
        ("setup.cfg", True),
        ("results/table.md", False),
        ("results/new.json", False),
        ("README.md", False),
        ("tfflows/README.md", False),
    ],
)
def test_only_changed_code_makes_it_dirty(repository, changed, dirty):
    (repository / changed).parent.mkdir(exist_ok=True)
    (repository / changed).write_text("changed\n")
    assert git_commit(repository / "tfflows").endswith("-dirty") == dirty


def test_a_package_that_git_does_not_track_has_no_commit(repository, tmp_path_factory):
    installed = repository / ".venv" / "tfflows"
    installed.mkdir(parents=True)
    (installed / "__init__.py").touch()
    assert git_commit(installed) is None
    assert git_commit(tmp_path_factory.mktemp("elsewhere")) is None


def test_provenance_has_what_a_record_asks_for(make_record, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["run.py", "--set", "a b=1"])
    provenance = collect_provenance()
    record = make_record(**provenance)
    assert record.versions["tensorflow"] == tf.__version__
    assert record.versions["keras"] == keras.__version__
    assert record.versions["numpy"] == np.__version__
    assert shlex.split(record.command)[1:] == ["run.py", "--set", "a b=1"]
    assert record.hardware["cores"] >= 1 and record.hardware["cpu"]


@pytest.mark.parametrize(
    ("commit", "text"),
    [(None, "none"), ("0123456789abcdef", "0123456789"), ("0123456789ab-dirty", "0123456789-dirty")],
)
def test_short_commit(commit, text):
    assert short_commit(commit) == text


def test_the_installed_command_is_not_run_by_python(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["tfflows glow", "--set", "a b=1"])
    assert command_line() == "tfflows glow --set 'a b=1'"
    monkeypatch.setattr(sys, "argv", ["tfflows glow"])
    assert command_line() == "tfflows glow"
