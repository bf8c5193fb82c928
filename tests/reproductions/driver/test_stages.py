"""The steps of the stages of a training, without a model."""

import dataclasses
import json
import types

import pytest

from reproductions.agave.reproduction import AGAVE
from reproductions.driver.selection import select_experiment
from reproductions.driver.stages import share_steps, with_steps_of_stages
from reproductions.glow.reproduction import GLOW
from tests.reproductions.driver.running import run
from tests.reproductions.driver.test_selection import flags
from tfflows.training.workdir import WorkdirError

# Of a new workdir and of one from before --steps was shared.
NEW, OLD = {"shares_steps": True}, {}


def steps_of(tmp_path, **values):
    """`{stage: steps}` that flags ask for, and whether the workdir says that they are shared."""
    values = types.SimpleNamespace(
        **{"stage": "all", "mode": "train", **vars(flags(experiment="cifar10", scale="small", **values))}
    )
    chosen, shares = with_steps_of_stages(AGAVE, values, select_experiment(AGAVE, values), tmp_path)
    return tuple(experiment.num_steps for experiment in AGAVE.stages(chosen).values()), shares


def begin(directory, **content):
    directory.mkdir(exist_ok=True)
    (directory / "experiment.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("total", "expected"),
    [
        (1, (1, 1, 1)),
        (2, (1, 1, 1)),
        (3, (1, 1, 1)),
        (4, (1, 1, 2)),
        (6, (2, 2, 2)),
        (30, (8, 8, 14)),
        (100, (25, 25, 50)),
        (4001, (1000, 1000, 2001)),
    ],
)
def test_stages_share_the_steps(tmp_path, total, expected):
    assert steps_of(tmp_path, steps=total) == (expected, True)


@pytest.mark.parametrize(("before", "last"), [(1, 1), (1000, 1), (1, 1000), (7, 3)])
def test_shares_are_the_whole_and_none_is_empty(before, last):
    experiment = dataclasses.replace(AGAVE.experiments["cifar10"], pretraining_steps=before, num_steps=last)
    for total in range(1, 40):
        shares = share_steps(AGAVE, experiment, total)
        assert min(shares.values()) >= 1
        assert 2 * shares["pretraining_steps"] + shares["num_steps"] == max(total, 3)


def test_a_stage_has_the_steps_that_it_is_given(tmp_path):
    assert steps_of(tmp_path, stage="vae", steps=30) == ((30, 30, 2000), True)
    assert steps_of(tmp_path, stage="joint", steps=30) == ((1000, 1000, 30), True)
    for stage in ("vae", "pixelcnn"):
        begin(tmp_path / stage, num_steps=40, **NEW)
    assert steps_of(tmp_path, stage="joint", steps=30) == ((40, 40, 30), True)


def test_fields_keep_their_meaning(tmp_path):
    assert steps_of(tmp_path, steps=30, set=["pretraining_steps=5"]) == ((5, 5, 30), False)
    assert steps_of(tmp_path, steps=30, set=["num_steps=5"]) == ((1000, 1000, 5), False)
    assert steps_of(tmp_path, steps=30, set=["pretraining_steps=0"]) == ((30,), False)
    begin(tmp_path, num_steps=14, pretraining_steps=8, **NEW)
    assert steps_of(tmp_path, steps=30, set=["pretraining_steps=8"]) == ((8, 8, 30), True)


def test_one_stage_takes_all(tmp_path):
    values = types.SimpleNamespace(**{"stage": "all", "mode": "train", **vars(flags(experiment="demo", steps=30))})
    chosen = select_experiment(GLOW, values)
    assert with_steps_of_stages(GLOW, values, chosen, tmp_path) == (chosen, False)
    assert chosen.num_steps == 30


@pytest.mark.parametrize(
    ("mode", "values", "expected"),
    [
        ("evaluate", {}, 30),
        ("sample", {}, 30),
        ("evaluate", {"steps": 50}, 50),
        ("evaluate", {"set": ["num_steps=40"]}, 40),
        ("train", {}, 1200),  # which goes on
    ],
)
def test_a_run_that_is_only_looked_at_is_as_long_as_it_was(tmp_path, mode, values, expected):
    begin(tmp_path, num_steps=30, rate_factors="20:0.5")
    values = types.SimpleNamespace(**{"stage": "all", **vars(flags(experiment="demo", **values)), "mode": mode})
    chosen, _ = with_steps_of_stages(GLOW, values, select_experiment(GLOW, values), tmp_path)
    assert chosen.num_steps == expected
    assert chosen.rate_factors == ("" if mode == "train" else "20:0.5")


@pytest.mark.parametrize("stage", ["", "vae", "pixelcnn"])
@pytest.mark.parametrize("mode", ["train", "evaluate"])
def test_a_workdir_of_before_goes_on_as_it_began(tmp_path, stage, mode):
    """There, --steps was that of the last stage alone."""
    begin(tmp_path / stage, num_steps=1000, pretraining_steps=1000, **OLD)
    assert steps_of(tmp_path, steps=30, mode=mode) == ((1000, 1000, 30), False)
    assert steps_of(tmp_path, steps=30, stage="vae", mode=mode) == ((1000, 1000, 30), False)


def test_stages_that_have_ended_keep_their_steps(tmp_path):
    begin(tmp_path / "vae", num_steps=8, pretraining_steps=0, **NEW)
    assert steps_of(tmp_path, steps=30) == ((8, 8, 14), True)
    assert steps_of(tmp_path, steps=60) == ((15, 15, 30), True)  # nothing stands on the first stage yet
    begin(tmp_path, num_steps=14, pretraining_steps=8, **NEW)
    assert steps_of(tmp_path, steps=30) == ((8, 8, 14), True)
    assert steps_of(tmp_path, steps=60) == ((8, 8, 44), True)
    assert steps_of(tmp_path) == ((1000, 1000, 2000), True)  # refused, as those of the workdir are others
    for mode in ("evaluate", "sample"):
        for values in ({}, {"steps": 30}, {"stage": "joint"}):
            assert steps_of(tmp_path, mode=mode, **values) == ((8, 8, 14), True)


def test_other_steps_are_refused_before_the_first_stage_trains(tmp_path):
    begin(tmp_path, paper="agave", seed=0, init_from=None, num_steps=14, pretraining_steps=8, **NEW)
    with pytest.raises(WorkdirError, match="pretraining_steps: 8 there, 1000 now"):
        run("--experiment=cifar10", "--scale=small", f"--workdir={tmp_path}", reproduction=AGAVE)
    assert not (tmp_path / "vae").exists()
