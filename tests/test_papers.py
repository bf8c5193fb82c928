"""Reproductions are found by what packages register, and imported only when one is asked for."""

import configparser
import importlib
import sys

import pytest

from tfflows import papers


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts a package with a reproduction on the path, as pip would."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(distribution, name, value):
        (tmp_path / "paper_of_test.py").write_text("PAPER = {'paper': 'ours'}\n")
        metadata = tmp_path / f"{distribution}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[{papers.GROUP}]\n{name} = {value}\n")
        importlib.invalidate_caches()

    yield install
    sys.modules.pop("paper_of_test", None)


def test_an_installed_paper_is_listed_and_loaded(install):
    install("first", "ours", "paper_of_test:PAPER")
    assert "ours" in papers.list_papers()
    assert "paper_of_test" not in sys.modules
    assert papers.package_of("glow") == "reproductions.glow"
    assert papers.load_paper("ours") == {"paper": "ours"}


def test_the_same_entry_twice_counts_once(install):
    install("first", "ours", "paper_of_test:PAPER")
    install("second", "ours", "paper_of_test:PAPER")
    assert papers.list_papers().count("ours") == 1
    assert papers.load_paper("ours") == {"paper": "ours"}


def test_an_unknown_name_is_an_error_that_lists_those_there_are(install):
    install("first", "ours", "paper_of_test:PAPER")
    with pytest.raises(ValueError, match=r"by the name 'theirs'; installed are: .*ours"):
        papers.load_paper("theirs")
    with pytest.raises(ValueError, match=r"by the name 'theirs'; installed are: .*ours"):
        papers.package_of("theirs")


def test_two_different_papers_of_one_name_are_an_error(install):
    install("first", "ours", "paper_of_test:PAPER")
    install("second", "ours", "paper_of_test:OTHER")
    with pytest.raises(ValueError, match="Several packages have a reproduction 'ours'"):
        papers.load_paper("ours")


def test_every_paper_of_this_repository_is_registered(pytestconfig):
    """What setup.cfg registers is a `Reproduction` whose name is that of the entry, and no paper is left out."""
    setup = configparser.ConfigParser()
    setup.read(pytestconfig.rootpath / "setup.cfg")
    lines = setup["options.entry_points"][papers.GROUP].strip().splitlines()
    entries = dict(line.split(" = ") for line in lines)
    folders = {path.parent.name for path in (pytestconfig.rootpath / "reproductions").glob("*/reproduction.py")}
    assert set(entries) == folders == {"agave", "flowpp", "glow", "macow", "realnvp", "vflow"}
    for name, value in entries.items():
        module, attribute = value.split(":")
        assert getattr(importlib.import_module(module), attribute).paper == name
