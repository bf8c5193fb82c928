"""Files and commands of before a renaming, as they were written then."""

import dataclasses
import json
import pathlib
import shutil

import pytest
from absl import flags

from reproductions.agave.run import AGAVE
from reproductions.driver.session import Session
from reproductions.driver.workdirs import check_workdir, described
from reproductions.fields import RENAMED, formerly_named, renamed
from reproductions.macow.run import MACOW
from reproductions.reporting.records import load_records, write_record
from tests.reproductions.driver.running import parsed
from tfflows.training.workdir import WorkdirError

HERE = pathlib.Path(__file__).parent
OBTAINED = HERE.parents[1] / "results" / "obtained"
# Experiments of version 0.1.0, as it wrote them.
AGAVE_OLD = ("--experiment=claims_iaf_vae", "--set=least_kl=0.25", "--set=joint_least_kl=0.125")
AGAVE_NEW = ("--experiment=claims_iaf_vae", "--set=free_bits=0.25", "--set=joint_free_bits=0.125")
MACOW_OLD = ("--experiment=claims_var", "--set=steps=1,1+1, 1")
MACOW_NEW = ("--experiment=claims_var", "--set=steps=((1,), (1, 1), (1,))")


def session(reproduction, workdir, *arguments):
    with parsed((*arguments, f"--workdir={workdir}")):
        return Session(reproduction, flags.FLAGS)


def prepare(reproduction, workdir, *arguments):
    with parsed((*arguments, f"--workdir={workdir}")):
        session = Session(reproduction, flags.FLAGS)
        check_workdir(session)
        with described(session):
            pass


@pytest.mark.parametrize(
    ("reproduction", "arguments", "changed", "difference"),
    [
        (AGAVE, AGAVE_OLD, "--set=free_bits=0.5", "free_bits: 0.25 there, 0.5 now"),
        (AGAVE, AGAVE_NEW, "--set=least_kl=0.5", "free_bits: 0.25 there, 0.5 now"),
        (MACOW, MACOW_OLD, "--set=widths=16, 70, 8", r"widths: \[16, 70, 70\] there, \[16, 70, 8\] now"),
        (MACOW, MACOW_NEW, "--set=steps=1, 2+1, 1", r"steps: \[\[1\], \[1, 1\], \[1\]\] there, \[\[1\], \[2, 1\], "),
    ],
)
def test_a_workdir_of_before_belongs_to_the_same_experiment(tmp_path, reproduction, arguments, changed, difference):
    file = tmp_path / "experiment.json"
    shutil.copy(HERE / "old" / f"experiment_{reproduction.paper}.json", file)
    before = file.read_text()
    prepare(reproduction, tmp_path, *arguments)
    assert file.read_text() == before
    with pytest.raises(WorkdirError, match=difference) as caught:
        prepare(reproduction, tmp_path, *arguments, changed)
    assert str(caught.value).count(" there, ") == 1
    # A longer run is written down, with the names and types of today.
    prepare(reproduction, tmp_path, *arguments, "--steps=5000")
    after = json.loads(file.read_text())
    assert after["num_steps"] == 5000 and not set(after) & set(RENAMED)
    assert not any(isinstance(after.get(name), str) for name in ("steps", "widths", "factors"))
    prepare(reproduction, tmp_path, *arguments, "--steps=6000")


def test_a_workdir_without_the_fields_that_came_later(tmp_path):
    content = json.loads((HERE / "old" / "experiment_macow.json").read_text())
    for name in ("precision", "tf32", "ema_decay", "holdout", "augment_channels", "augmenter", "kernel_width"):
        del content[name]
    (tmp_path / "experiment.json").write_text(json.dumps(content))
    prepare(MACOW, tmp_path, *MACOW_OLD)
    with pytest.raises(WorkdirError, match="kernel_width: 3 there, 5 now"):
        prepare(MACOW, tmp_path, *MACOW_OLD, "--set=kernel_width=5")


def test_overrides_are_those_of_before(tmp_path):
    assert session(AGAVE, tmp_path, *AGAVE_OLD).overrides == {"free_bits": 0.25, "joint_free_bits": 0.125}
    # As a record of before has them.
    assert session(MACOW, tmp_path, *MACOW_NEW, "--set=factors=3").overrides == {"factors": "3"}
    changed = session(MACOW, tmp_path, *MACOW_NEW, "--set=steps=2, 1+1, 1")
    assert changed.overrides == {"steps": "2, 1+1, 1"}


def test_flags_have_their_former_names_too():
    with parsed(["--steps_per_call=7"]):
        assert flags.FLAGS.steps_per_execution == 7
    with parsed([]):
        assert flags.FLAGS.steps_per_execution is None
    with parsed(["--steps_per_execution=3"]):
        assert flags.FLAGS.steps_per_call == 3
    with pytest.raises(flags.IllegalFlagValueError, match="positive integer"), parsed(["--steps_per_call=0"]):
        pass


def test_the_records_of_the_repository_are_read_with_the_names_of_today():
    records = load_records(OBTAINED)
    assert records
    for record in records:
        assert not (set(record.execution or {}) | set(record.overrides)) & set(RENAMED)


@pytest.mark.parametrize("overrides", [{"least_kl": 0.25}, {"vae_blocks": 3, "joint_least_kl": 0.125}])
def test_a_record_with_overrides_of_before_keeps_its_file(tmp_path, overrides):
    name = "claims_iaf_vae-claims-seed0-test-bits_per_dim"
    content = json.loads((HERE / "old" / "record_agave.json").read_text())
    assert not content["overrides"] and "steps_per_call" in content["execution"]
    content["overrides"] = overrides
    text = "-".join(f"{field}={value}" for field, value in sorted(overrides.items()))
    file = tmp_path / "agave" / f"{name.replace('-seed0', f'-{text}-seed0')}.json"
    file.parent.mkdir()
    file.write_text(json.dumps(content))
    (record,) = load_records(tmp_path)
    assert record.overrides == renamed(overrides) and not set(record.overrides) & set(RENAMED)
    assert record.execution["steps_per_execution"] == content["execution"]["steps_per_call"]
    # The same result is there already, under the name of before.
    assert write_record(record, tmp_path) == file and json.loads(file.read_text()) == content
    other = dataclasses.replace(record, value=record.value + 1)
    with pytest.raises(FileExistsError, match="value"):
        write_record(other, tmp_path)
    assert write_record(other, tmp_path, overwrite=True) == file
    assert load_records(tmp_path) == (other,)
    # Under any other name it does not belong there.
    file.rename(file.with_name(f"{name}.json"))
    with pytest.raises(ValueError, match="its fields belong to"):
        load_records(tmp_path)


def test_names_go_there_and_back():
    content = {"least_kl": 1, "other": [{"steps_per_call": 2}, 3]}
    assert renamed(content) == {"free_bits": 1, "other": [{"steps_per_execution": 2}, 3]}
    assert formerly_named(renamed(content)) == content
    # A new name is no old one, and no two old ones have the same: each can be read alone.
    assert not set(RENAMED) & set(RENAMED.values()) and len(set(RENAMED.values())) == len(RENAMED)
