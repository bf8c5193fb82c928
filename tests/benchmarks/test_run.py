"""Topics: that all are declared and stand on the page, and that each still runs."""

import csv
import os
import re
import subprocess
import sys

import pytest

from benchmarks import run
from benchmarks.harness.topic import Findings, Topic
from reproductions.reporting.benchmarks import Measurement, load_benchmarks

TOPICS = {name: topic for topics in run.declared_topics().values() for name, topic in topics.items()}
ROW = Measurement("a case", "a quantity", "ours", "ms", 1.0, 1.0, 1.0, 1)


@pytest.fixture
def declared(monkeypatch):
    """Two topics alone, the second of which fails; gives the list of whether they were measured quickly."""
    quick = []

    def measure(findings: Findings):
        quick.append(findings.quick)
        findings.measurements.append(ROW)
        findings.notes.append("Of the run.")

    def fail(findings: Findings):
        raise RuntimeError("no luck")

    topics = [Topic("fine", "Fine", ("Of the topic.",), measure), Topic("failing", "Failing", (), fail)]
    monkeypatch.setattr(run, "declared_topics", lambda: {"glow": {topic.name: topic for topic in topics}})
    monkeypatch.setattr(run, "VARIABLES", {})
    return quick


def test_the_page_has_the_declared_topics_in_their_order(pytestconfig):
    with open(pytestconfig.rootpath / "results" / "benchmarks.csv", newline="", encoding="utf-8") as stream:
        rows = [(row["paper"], row["topic"]) for row in csv.DictReader(stream)]
    assert rows == [(paper, name) for paper, topics in run.declared_topics().items() for name in topics]
    assert len(set(TOPICS)) == len(rows)  # no name twice


def test_every_record_is_of_a_declared_topic(pytestconfig):
    assert set(load_benchmarks(pytestconfig.rootpath / "results" / "benchmarks")) <= set(TOPICS)


def test_a_topic_is_recorded(declared, tmp_path, capsys):
    assert run.main(["fine", f"--results={tmp_path}"]) == 0
    (benchmark,) = load_benchmarks(tmp_path / "benchmarks").values()
    assert declared == [False] and benchmark.measurements == (ROW,)
    assert (benchmark.topic, benchmark.title) == ("fine", "Fine")
    assert list(benchmark.notes) == ["Of the topic.", "Of the run."]
    assert benchmark.command == "python -m benchmarks.run fine"
    assert capsys.readouterr().out.strip() == str(tmp_path / "benchmarks" / "fine.json")


def test_a_quick_run_is_not_recorded(declared, tmp_path, capsys):
    assert run.main(["fine", "--quick", f"--results={tmp_path}"]) == 0
    assert declared == [True] and list(tmp_path.iterdir()) == []
    assert "1 measurements and 0 ratios, not recorded" in capsys.readouterr().out


@pytest.mark.parametrize(("statuses", "expected"), [([0, 0], 0), ([0, 1], 1), ([1, 0], 1), ([1, 1], 1)])
def test_several_topics_run_in_a_process_each_and_one_that_fails_is_named(
    declared, monkeypatch, capsys, statuses, expected
):
    commands = []

    def started(command, **_):
        commands.append(command[1:])
        return subprocess.CompletedProcess(command, statuses[len(commands) - 1])

    monkeypatch.setattr(run.subprocess, "run", started)
    assert run.main(["--results=somewhere"]) == expected  # all of a paper
    assert commands == [["-m", "benchmarks.run", name, "--results=somewhere"] for name in ("fine", "failing")]
    failed = ", ".join(name for name, status in zip(("fine", "failing"), statuses, strict=True) if status)
    assert capsys.readouterr().err.partition(".")[0] == (f"Failed: {failed}" if failed else "")
    assert declared == []  # nothing in this process


def test_an_unknown_topic_is_named_with_those_that_there_are(declared, capsys):
    with pytest.raises(SystemExit):
        run.main(["fien"])
    assert "There are no topics fien. Choose from fine, failing." in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", TOPICS)
def test_a_topic_runs_at_the_smallest_sizes(name, pytestconfig, tmp_path):
    """Packages of other libraries may be missing; theirs are then the subjects left out."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("TF_NUM_", "XLA_FLAGS"))}
    command = [sys.executable, "-m", "benchmarks.run", name, "--quick", f"--results={tmp_path}"]
    result = subprocess.run(command, cwd=pytestconfig.rootpath, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert f"{name}: " in result.stdout and "not recorded" in result.stdout


@pytest.mark.parametrize("name", TOPICS)
def test_files_that_notes_name_exist(name, pytestconfig):
    named = re.findall(r"\b(?:tests|tfflows|reproductions|benchmarks)/[\w/]+\.py", " ".join(TOPICS[name].notes))
    assert [path for path in named if not (pytestconfig.rootpath / path).is_file()] == []
    assert named or name != "drift"
