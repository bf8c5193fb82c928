"""The parameter counts that `--list` prints: one for each experiment and size, each in one file, each that of the built model."""

import dataclasses

import pytest

from reproductions.driver import counts
from reproductions.driver.counts import all_sizes, built_parameters, published_counts, stored_counts
from reproductions.driver.listing import experiment_table
from reproductions.glow.reproduction import GLOW
from tfflows.papers import list_papers, load_paper


def keys_of(reproduction):
    return {
        (reproduction.paper, experiment.name, experiment.scale): experiment for experiment in all_sizes(reproduction)
    }


def test_every_experiment_has_a_count_and_no_other():
    """`python -m reproductions.driver.counts` brings them up to date."""
    assert set().union(*(keys_of(load_paper(paper)) for paper in list_papers())) == set(stored_counts())


@pytest.mark.parametrize(
    ("paper", "name", "scale"),
    [("glow", "demo", "small"), ("glow", "claims_augmented", "claims"), ("macow", "cifar10_var", "small")],
)
def test_counts_are_those_of_the_built_models(paper, name, scale):
    reproduction = load_paper(paper)
    experiment = keys_of(reproduction)[paper, name, scale]
    assert stored_counts()[paper, name, scale] == built_parameters(reproduction, experiment)


@pytest.mark.slow
@pytest.mark.parametrize("paper", list_papers())
def test_all_counts_are_those_of_the_built_models(paper):
    reproduction = load_paper(paper)
    built = {key: built_parameters(reproduction, experiment) for key, experiment in keys_of(reproduction).items()}
    assert built == {key: count for key, count in stored_counts().items() if key[0] == paper}


def test_a_count_stands_in_one_file(tmp_path, monkeypatch):
    path = tmp_path / "counts.csv"
    path.write_text("paper,experiment,scale,parameters\nglow,cifar10,paper,7\n")
    monkeypatch.setattr(counts, "COUNTS", path)
    with pytest.raises(ValueError, match=r"counts\.csv:2: glow cifar10 paper has a count already"):
        stored_counts.__wrapped__()


def test_what_is_written_is_what_is_stored(tmp_path, monkeypatch):
    """Of one paper, whose models are not built, which would take long."""
    stored = stored_counts()
    monkeypatch.setattr(counts, "COUNTS", tmp_path / "counts.csv")
    monkeypatch.setattr(counts, "list_papers", lambda: ["macow"])
    monkeypatch.setattr(
        counts, "built_parameters", lambda reproduction, each: stored[reproduction.paper, each.name, each.scale]
    )
    assert counts.main() == 0
    kept = {key: count for key, count in stored.items() if key[0] == "macow"}
    assert len(kept) > 50 and stored_counts.__wrapped__() == published_counts() | kept


def test_the_table_counts_what_is_not_stored():
    few = {name: GLOW.experiments[name] for name in ("cifar10", "demo")}
    reproduction = dataclasses.replace(GLOW, paper="ours", experiments=few)
    lines = experiment_table(reproduction).splitlines()
    assert "44,603,604" in lines[1] and "356,964" in lines[2]
