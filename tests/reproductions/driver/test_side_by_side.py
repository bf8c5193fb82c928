"""--side_by_side=auto: how many parts a run computes side by side, and that it keeps their number."""

import json

import pytest
from absl import flags

from reproductions.driver import session, workdirs
from reproductions.driver.session import Session
from tests.reproductions.driver.running import TINY, parsed
from tests.reproductions.killed_runs import PAPERS


@pytest.fixture
def parts(monkeypatch, tmp_path):
    """Gives a function that tells how many parts a command would compute in a fresh process with two cores."""
    monkeypatch.setattr(session, "available_cores", lambda cluster: 2)
    monkeypatch.setattr(session, "set_threads", lambda count: True)
    set_up = []
    monkeypatch.setattr(session, "process_options", lambda **options: set_up.append(options["side_by_side"]))

    def count(*arguments, paper="glow"):
        with parsed([f"--workdir={tmp_path}", *arguments]):
            own = Session(PAPERS[paper][0], flags.FLAGS)
            assert set_up[-1] == own.side_by_side
            return own.side_by_side

    return count


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), 2),
        (("--jit",), 1),
        (("--batch_size=2",), 2),
        (("--batch_size=1",), 1),
        (("--accumulate=4",), 2),
        (("--accumulate=8",), 1),
        (("--virtual_devices=2",), 1),
        (("--side_by_side=3", "--batch_size=4"), 3),
        (("--mode=evaluate", "--batch_size=1"), 2),
        (("--mode=sample",), 2),  # two samples
        (("--mode=sample", "--samples=1"), 1),
        (("--mode=interpolate",), 2),
    ],
)
def test_as_many_as_cores_unless_batches_are_small(parts, arguments, expected):
    assert parts(*TINY, *arguments) == expected


@pytest.mark.parametrize(("paper", "expected"), [("realnvp", 1), ("agave", 1), ("macow", 2)])
def test_a_loss_that_images_share_is_left_whole(parts, paper, expected):
    arguments = (f"--experiment={PAPERS[paper][1]}", "--dataset=photographs", "--batch_size=8")
    assert parts(*arguments, paper=paper) == expected
    assert parts(*arguments, "--mode=evaluate", paper=paper) == 2


@pytest.mark.parametrize(("stored", "expected"), [({}, 1), ({"side_by_side": 4}, 4)])
def test_a_run_keeps_the_number_that_it_began_with(parts, tmp_path, stored, expected):
    """Runs of before have none, and were computed whole."""
    assert parts(*TINY) == 2
    (tmp_path / "experiment.json").write_text(json.dumps(stored))
    assert parts(*TINY) == expected
    assert parts(*TINY, "--side_by_side=3") == 3


def test_where_tensorflow_has_started_the_batch_stays_whole(parts, monkeypatch):
    monkeypatch.setattr(session, "set_threads", lambda count: False)
    assert parts(*TINY) == 1


def test_the_number_is_kept_in_the_workdir_of_training_alone(parts, monkeypatch, tmp_path):
    for arguments, expected in (((), 2), (("--side_by_side=1",), None), (("--mode=evaluate",), None)):
        with parsed([*TINY, f"--workdir={tmp_path}", *arguments]):
            own = Session(PAPERS["glow"][0], flags.FLAGS)
            assert workdirs.described_as(own, own.experiment).get("side_by_side") == expected
            assert "side_by_side" in workdirs._description(own)["free_fields"]
