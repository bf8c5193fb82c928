"""Where results go: into a checkout of the repository, or near the user where there is none."""

import pathlib
import sys

import pytest

from reproductions import checkout
from reproductions.claims import run as queue
from reproductions.vflow.toy import run as toy


def test_this_is_a_checkout(pytestconfig):
    assert checkout.in_checkout()
    assert checkout.results_directory() == pytestconfig.rootpath / "results"


@pytest.fixture
def installed(monkeypatch, tmp_path):
    monkeypatch.setattr(checkout, "ROOT", tmp_path)


@pytest.mark.usefixtures("installed")
def test_an_installed_package_has_no_results():
    assert not checkout.in_checkout()
    assert checkout.results_directory() == pathlib.Path("results")


def directories(*arguments):
    values = toy.define_flags()
    values(["run.py", *arguments])
    return [toy._directory(values, kind) for kind in ("results", "pictures")]


def test_results_of_the_toy_study_go_to_the_checkout():
    assert directories("--workdir=w") == ["results/obtained", "results/pictures"]


@pytest.mark.usefixtures("installed")
def test_results_of_the_toy_study_go_to_the_workdir():
    assert directories("--workdir=w") == ["w", "w"]
    assert directories("--workdir=w", "--results_dir=r", "--pictures_dir=p") == ["r", "p"]


@pytest.mark.usefixtures("installed")
def test_the_queue_needs_a_checkout(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run.py", "--list"])
    with pytest.raises(SystemExit) as caught:
        queue.main()
    assert caught.value.code == 2
    assert "the queue needs a checkout of the repository" in capsys.readouterr().err
