import json
import os
import stat
import subprocess
import sys

import pytest

from tfflows.training import workdir as workdir_module
from tfflows.training.workdir import (
    WorkdirError,
    atomic_write,
    described_workdir,
    lock_workdir,
    prepare_workdir,
    read_experiment,
)

EXPERIMENT = {"name": "cifar10", "levels": 3, "learning_rate": 1e-3, "sides": (32, 32), "steps": 9}


@pytest.mark.parametrize("content", ["text with ü\n", b"\x00bytes", ""])
def test_atomic_write_replaces_all_and_leaves_nothing_else(tmp_path, content):
    path = tmp_path / "file"
    path.write_text("old")
    atomic_write(path, content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert os.listdir(tmp_path) == ["file"]


def test_atomic_write_gives_the_permissions_of_an_ordinary_file(tmp_path):
    atomic_write(tmp_path / "atomic", "a")
    (tmp_path / "ordinary").write_text("a")
    modes = {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert len(modes) == 1


def test_a_failed_atomic_write_keeps_the_old_content(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        atomic_write(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_new_workdir_holds_the_whole_experiment_sorted(tmp_path):
    workdir = tmp_path / "new" / "deep"
    prepare_workdir(workdir, EXPERIMENT)
    text = (workdir / "experiment.json").read_text()
    assert list(json.loads(text)) == sorted(EXPERIMENT)
    assert read_experiment(workdir) == {**EXPERIMENT, "sides": [32, 32]}
    prepare_workdir(workdir, EXPERIMENT)  # the same again is accepted and changes nothing
    assert (workdir / "experiment.json").read_text() == text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "imagenet32"}, 'name: "cifar10" there, "imagenet32" now'),
        ({"levels": 2}, "levels: 3 there, 2 now"),
        ({"learning_rate": 1.0000001e-3}, "learning_rate: 0.001 there, 0.0010000001 now"),
        ({"sides": (32, 16)}, r"sides: \[32, 32\] there, \[32, 16\] now"),
        ({"added": None}, "added: absent there, null now"),
    ],
)
def test_another_experiment_is_refused_by_field(tmp_path, change, message):
    prepare_workdir(tmp_path, EXPERIMENT)
    before = read_experiment(tmp_path)
    with pytest.raises(WorkdirError, match=message) as caught:
        prepare_workdir(tmp_path, EXPERIMENT | change)
    assert str(caught.value).count(" there, ") == 1
    assert "another workdir" in str(caught.value) and str(tmp_path) in str(caught.value)
    assert read_experiment(tmp_path) == before


def test_fields_that_came_later(tmp_path):
    prepare_workdir(tmp_path, EXPERIMENT)
    text = (tmp_path / "experiment.json").read_text()
    added = {"upgrade": lambda stored: {"later": 1, **stored}}
    prepare_workdir(tmp_path, EXPERIMENT | {"later": 1}, **added)
    assert (tmp_path / "experiment.json").read_text() == text
    with pytest.raises(WorkdirError, match="later: 1 there, 2 now"):
        prepare_workdir(tmp_path, EXPERIMENT | {"later": 2}, **added)


def test_a_directory_is_not_made_where_that_is_not_wanted(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty"):
        prepare_workdir(tmp_path / name, EXPERIMENT, create=False)
    assert list(tmp_path.rglob("*")) == [tmp_path / "empty"]
    prepare_workdir(tmp_path / "new", EXPERIMENT)
    with pytest.raises(WorkdirError, match="levels"):
        prepare_workdir(tmp_path / "new", EXPERIMENT | {"levels": 2}, create=False)


def test_every_differing_field_is_named(tmp_path):
    prepare_workdir(tmp_path, EXPERIMENT)
    changed = {name: value for name, value in EXPERIMENT.items() if name != "levels"}
    with pytest.raises(WorkdirError) as caught:
        prepare_workdir(tmp_path, changed | {"name": "other"})
    assert "levels: 3 there, absent now" in str(caught.value)
    assert 'name: "cifar10" there' in str(caught.value)


def test_free_fields_are_updated(tmp_path):
    prepare_workdir(tmp_path, EXPERIMENT)
    prepare_workdir(tmp_path, EXPERIMENT | {"steps": 20}, free_fields=["steps"])
    assert read_experiment(tmp_path)["steps"] == 20
    with pytest.raises(WorkdirError, match="levels"):
        prepare_workdir(tmp_path, EXPERIMENT | {"steps": 30, "levels": 1}, free_fields=["steps"])
    assert read_experiment(tmp_path)["steps"] == 20


def test_other_workers_compare_but_do_not_write(tmp_path):
    prepare_workdir(tmp_path, EXPERIMENT, chief=False)
    assert not (tmp_path / "experiment.json").exists()
    prepare_workdir(tmp_path, EXPERIMENT)
    with pytest.raises(WorkdirError, match="levels"):
        prepare_workdir(tmp_path, EXPERIMENT | {"levels": 1}, chief=False)


@pytest.mark.parametrize("content", ["{", "", "[1]"])
def test_an_unreadable_experiment_is_an_error(tmp_path, content):
    (tmp_path / "experiment.json").write_text(content)
    with pytest.raises(WorkdirError, match=r"experiment\.json"):
        prepare_workdir(tmp_path, EXPERIMENT)
    assert (tmp_path / "experiment.json").read_text() == content


def test_checkpoints_of_an_unknown_experiment_are_not_taken_over(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step-1.index").touch()
    with pytest.raises(WorkdirError, match="nothing says which experiment"):
        prepare_workdir(tmp_path, EXPERIMENT)


def test_a_file_in_place_of_a_workdir(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WorkdirError, match="Give another workdir"):
        prepare_workdir(tmp_path / "file", EXPERIMENT)


def test_no_workdir_to_read(tmp_path):
    with pytest.raises(WorkdirError, match="not the working directory of a run"):
        read_experiment(tmp_path)


def test_one_process_at_a_time(tmp_path):
    script = (
        "import fcntl, sys, time\n"
        "handle = open(sys.argv[1], 'a')\n"
        "fcntl.flock(handle, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\n"
        "time.sleep(60)\n"
    )
    arguments = [sys.executable, "-c", script, str(tmp_path / ".lock")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout.readline() == "held\n"
            with pytest.raises(WorkdirError, match="Another process"), lock_workdir(tmp_path):
                pass
        finally:
            other.kill()
    with lock_workdir(tmp_path):  # a kill frees it
        pass


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{\n"seed": 0,\n}', "line 3"),
        (b"[" * 100_000, "recursion"),
        (b'{\n"a": "\xff"}', "line 2 is not UTF-8"),
        (b"[1]", "JSON object"),
    ],
    ids=["cut", "nested", "bytes", "list"],
)
def test_a_garbled_experiment_names_file_and_line(tmp_path, content, message):
    (tmp_path / "experiment.json").write_bytes(content)
    with pytest.raises(WorkdirError, match=f"experiment.json.*{message}"):
        prepare_workdir(tmp_path, {"seed": 0})


def test_an_experiment_that_is_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "experiment.json")
    with pytest.raises(WorkdirError, match="a pipe or a device"):
        prepare_workdir(tmp_path, {"seed": 0})


def test_a_path_that_is_not_utf_8_is_refused(tmp_path):
    with pytest.raises(WorkdirError, match="not valid UTF-8"):
        prepare_workdir(os.path.join(tmp_path, os.fsdecode(b"\xff")), {"seed": 0})


def fail_in(workdir, saves, settings):
    with described_workdir(workdir, EXPERIMENT, **settings):
        assert read_experiment(workdir) == json.loads(json.dumps(EXPERIMENT))
        (workdir / "of_the_run.json").touch()
        if saves:
            (workdir / "checkpoints").mkdir()
            (workdir / "checkpoints" / "step-1.index").touch()
        raise RuntimeError("of the run")


@pytest.mark.parametrize(
    ("before", "saves", "settings", "is_kept"),
    [
        ({}, False, {}, False),
        ({}, False, {"chief": True}, False),
        (EXPERIMENT, False, {}, True),  # described by an earlier run
        ({}, True, {}, True),  # which the same command goes on with
        (EXPERIMENT, False, {"chief": False}, True),
    ],
)
def test_a_description_goes_with_a_run_that_failed_before_it_saved(tmp_path, before, saves, settings, is_kept):
    if before:
        prepare_workdir(tmp_path, before)
    with pytest.raises(RuntimeError, match="of the run"):
        fail_in(tmp_path, saves, settings)
    assert (tmp_path / "experiment.json").exists() == (tmp_path / "of_the_run.json").exists() == is_kept


def test_only_the_chief_describes_a_workdir(tmp_path):
    with described_workdir(tmp_path, EXPERIMENT, chief=False):
        pass
    assert not list(tmp_path.iterdir())


def test_a_workdir_that_cannot_be_written_to_says_so(tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(workdir_module, "atomic_write", full)
    with pytest.raises(
        WorkdirError, match=r"Cannot write .*experiment.json: .*No space left.*Give a workdir with space"
    ):
        prepare_workdir(tmp_path, EXPERIMENT)


def test_what_killed_writers_left_is_removed(tmp_path):
    own = [tmp_path / ".experiment.json.abc.tmp", tmp_path / "results" / "glow" / ".record.json.abc.tmp"]
    of_a_stage = tmp_path / "vae" / "pictures" / ".samples.png.abc.tmp"  # another process may be writing there
    kept = [tmp_path / "results" / "glow" / "record.json", tmp_path / "mine.tmp", of_a_stage]
    for path in [*own, *kept]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "vae" / ".lock").touch()
    with lock_workdir(tmp_path):
        assert not any(path.exists() for path in own)
        assert all(path.exists() for path in kept)
