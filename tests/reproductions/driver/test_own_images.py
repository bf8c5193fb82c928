"""Own images over the life of a run: which are chosen, what was read of them, and where the run is kept."""

import json
import shutil
import types

import numpy as np
import pytest
from absl import flags

from reproductions.driver import evaluate, pictures, workdirs
from reproductions.driver.selection import default_workdir, name_of_run
from reproductions.driver.session import Session
from reproductions.glow.reproduction import GLOW
from reproductions.reporting.records import load_records, write_record
from tests.data_pipeline.stored_sets import random_images, write_pngs
from tests.reproductions.driver.running import TINY, parsed
from tfflows.data import canonical_name
from tfflows.evaluation.directions import Directions
from tfflows.evaluation.importance import ImportanceEvaluator
from tfflows.evaluation.log_weights import LogWeights, load_log_weights, save_log_weights

ARGUMENTS = (*(argument for argument in TINY if "digits" not in argument), "--steps=1", "--batch_size=2")
PREPARATION = {"image_size": 32, "resize": "crop", "test_share": 0.1}


@pytest.fixture
def folder(tmp_path):
    """Twenty cats, then twenty dogs, without splits."""
    for name, seed in (("cats", 0), ("dogs", 1)):
        write_pngs(tmp_path / "images" / name, random_images(20, 8, 8, 3, seed=seed))
    return tmp_path / "images"


def arguments(folder, *more):
    return (*ARGUMENTS, f"--dataset=folder:{folder}", f"--workdir={folder.parent / 'run'}", *more)


def described(folder, *more):
    """A session whose workdir is described, as training leaves it, with its training and validation images read."""
    with parsed(arguments(folder, *more)):
        session = Session(GLOW, flags.FLAGS)
        _ = session.data.train_source, session.data.validation_source
        workdirs.check_workdir(session)
        with workdirs.described(session):
            pass
    return session


def test_a_run_chooses_by_hash_and_one_of_before_goes_on_in_order(folder):
    session = described(folder, "--holdout=10")
    file = folder.parent / "run" / "experiment.json"
    stored = json.loads(file.read_text())
    assert stored["hashed_subsets"]
    assert set(session.data.validation_source.labels) == {0, 1}
    del stored["hashed_subsets"]
    file.write_text(json.dumps(stored))
    before = described(folder, "--holdout=10")
    assert set(before.data.validation_source.labels) == {1} and "hashed_subsets" not in json.loads(file.read_text())
    assert before.data.validation_source.files == sorted_tail(before, 10)


def sorted_tail(session, count):
    with parsed(arguments(session.workdir.parent / "images")):
        whole = session.data._load("train")
    return whole.files[-count:]


def test_few_test_images_are_of_every_class_and_keep_their_numbers(folder):
    with parsed(arguments(folder, "--evaluation_images=8", "--test_share=0.5")):
        session = Session(GLOW, flags.FLAGS)
        assert session.data.test_source.num_images == 8 and set(session.data.test_source.labels) == {0, 1}
        six = session.data.some_test_images(6)
        assert set(six.labels) == {0, 1} and six.num_images == 6
        assert session.data.some_test_images(8) is session.data.test_source
        first, _ = pictures._test_images(session, [0])
    with parsed(arguments(folder, "--test_share=0.5")):
        np.testing.assert_array_equal(first, Session(GLOW, flags.FLAGS).data.test_source.images[:1])


def test_published_images_are_chosen_as_ever(tmp_path):
    with parsed((*TINY, "--holdout=10", f"--workdir={tmp_path}")):
        session = Session(GLOW, flags.FLAGS)
        assert "hashed_subsets" not in workdirs.described_as(session, session.experiment)
        labels = session.data.validation_source.labels
    with parsed((*TINY, f"--workdir={tmp_path}")):
        np.testing.assert_array_equal(labels, Session(GLOW, flags.FLAGS).data.train_source.labels[-10:])


def test_images_that_change_between_two_starts_are_counted(folder, caplog):
    first = described(folder, "--holdout=4")
    assert "has changed" not in caplog.text
    described(folder, "--holdout=4")
    assert "has changed" not in caplog.text
    kept = json.loads((folder.parent / "run" / "images.json").read_text())
    assert set(kept) == {"train", "holdout", "test"} and kept["train"]["files"] == list(first.data.train_source.files)
    (folder / first.data.train_source.files[0]).unlink()
    for number in range(3):
        shutil.copy(folder / first.data.train_source.files[1], folder / "cats" / f"new{number}.png")
    described(folder, "--holdout=4")
    (warning,) = [record.getMessage() for record in caplog.records if "has changed" in record.getMessage()]
    assert warning.startswith(
        f"folder:{folder} has changed since the run in {folder.parent / 'run'} was last started: "
    )
    assert "3 files added, 1 file removed" in warning
    caplog.clear()
    shutil.copy(folder / first.data.train_source.files[2], folder / first.data.train_source.files[1])
    described(folder, "--holdout=4")
    assert "the content of files changed" in caplog.text


def entry(files, fingerprint="a", name="folder:x", chosen=()):
    return {
        "data set": name,
        "images": len(files),
        "chosen": dict(chosen),
        "fingerprint": fingerprint,
        "files": list(files),
    }


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({"train": entry("abc")}, {"train": entry("abc")}, ""),
        ({"train": entry("abc")}, {"train": entry("abd", "b")}, "1 file added, 1 file removed"),
        (
            {"train": entry("ab"), "test": entry("c")},
            {"train": entry("abc", "b"), "test": entry("d", "b")},
            "1 file added, 1 file moved from test to train",
        ),
        ({"train": entry("abc")}, {"train": entry("abc", "b")}, "the content of files changed"),
        ({"train": entry("abc")}, {"train": entry("ab", name="folder:y")}, ""),
        ({"test": entry("abc")}, {"test": entry("ab", chosen={"max_images": 2})}, ""),
        ({}, {"test": entry("ab")}, ""),
        # Of arrays there are no files, and earlier versions named none.
        (
            {"train": {**entry(""), "images": 5}},
            {"train": {**entry(""), "images": 7}},
            "number of images: train 5 to 7",
        ),
        ({"train": entry("")}, {"train": entry("", "b")}, "other images in the same number"),
        ({"train": {"data set": "folder:x", "images": 2}}, {"train": entry("abc")}, "number of images: train 2 to 3"),
        ({"train": {"data set": "folder:x", "images": 3}}, {"train": entry("abc")}, ""),
        ({"test": {"data set": "folder:x", "images": 3}}, {"test": entry("ab", chosen={"max_images": 2})}, ""),
    ],
)
def test_what_changed(before, now, expected):
    assert workdirs.changes_of_images(before, now) == expected


def test_directions_of_other_images_are_computed_again(folder, monkeypatch):
    calls = []

    def count(model, source, **_):
        calls.append(source.num_images)
        return Directions(("0", "1"), np.zeros([2, 192], np.float32), np.ones([2]), np.ones([2]))

    monkeypatch.setattr(pictures, "class_directions", count)

    def directions():
        with parsed(arguments(folder, "--mode=manipulate", "--direction_images=10")):
            session = Session(GLOW, flags.FLAGS)
            session.model = None
            pictures._directions(session, 1)

    directions()
    directions()
    assert calls == [10]
    for path in folder.rglob("*.png"):
        shutil.copy(folder / "cats" / "00000.png", path) if path.name != "00000.png" else None
    directions()
    assert calls == [10, 10]


def test_importance_samples_of_other_images_are_not_mixed(folder, monkeypatch):
    """But a measurement that an earlier version began goes on."""
    described = []

    def note(self, path, description, **_):
        described.append(description)
        sums = LogWeights.empty(3)
        save_log_weights(path, sums, description)

    monkeypatch.setattr(ImportanceEvaluator, "evaluate", note)
    monkeypatch.setattr(evaluate, "restore", lambda session: 0)
    given = arguments(folder, "--mode=evaluate", "--importance_samples=2")
    (folder.parent / "run").mkdir()
    for _ in range(2):
        with parsed(given):
            session = Session(GLOW, flags.FLAGS)
            evaluate.run(session)
        shutil.copy(folder / "cats" / "00000.png", folder / session.data.test_source.files[-1])
    (sums,) = (folder.parent / "run").glob("*-sums.npz")
    before, now = described
    assert before.keys() == now.keys() and before["images"] != now["images"]
    with pytest.raises(ValueError, match="is of another measurement: images"):
        load_log_weights(sums, before)
    del before["images"]
    save_log_weights(sums, LogWeights.empty(3), before)
    with parsed(given):
        evaluate.run(Session(GLOW, flags.FLAGS))
    assert described[-1] == before


def test_own_images_have_a_workdir_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    experiment = types.SimpleNamespace(name="cifar10", scale="small", dataset="cifar10")
    values = types.SimpleNamespace(seed=0, data_dir=None, mode="train")
    plain = default_workdir(GLOW, values, experiment)
    assert str(plain) == "workdirs/glow/cifar10-small-seed0"
    found = set()
    for place in ("a/photos", "b/photos", "b/my photos", "b/ü"):
        write_pngs(tmp_path / place, random_images(2, 8, 8, 3))
        experiment.dataset = canonical_name(f"folder:{place}")
        found.add(default_workdir(GLOW, values, experiment))
        assert default_workdir(GLOW, values, experiment).name.isascii()
    assert len(found) == 4 and plain not in found
    experiment.dataset = canonical_name("folder:a/photos")
    own = default_workdir(GLOW, values, experiment)
    assert own.name.startswith("cifar10-small-photos-") and own.name.endswith("-seed0")
    # That of an earlier version is gone on with, by whatever path it knows the folder; other images do not get it.
    plain.mkdir(parents=True)
    (plain / "experiment.json").write_text(json.dumps({"dataset": "folder:b/../a/photos"}))
    assert default_workdir(GLOW, values, experiment) == plain
    experiment.dataset = canonical_name("folder:b/photos")
    assert default_workdir(GLOW, values, experiment) not in (plain, own)
    values.mode = "evaluate"  # the only model that there is
    assert default_workdir(GLOW, values, experiment) == plain


def test_a_workdir_is_named_alike_with_and_without_data_dir(tmp_path):
    (tmp_path / "photos").mkdir()
    assert name_of_run("folder:photos", tmp_path) == name_of_run(f"folder:{tmp_path / 'photos'}", None)
    assert name_of_run("tfds:mnist:large", None).startswith("large-")
    assert name_of_run("npz:/a/mine.npz", None).startswith("mine-")


def test_a_size_by_default_is_said(tmp_path):
    write_pngs(tmp_path / "images" / "a", random_images(3, 40, 40, 3))
    write_pngs(tmp_path / "images" / "b", random_images(3, 33, 40, 3))
    notes = {}
    for name, given in (("default", "--experiment=cifar10"), ("asked", "--image_size=32")):
        with parsed((f"--dataset=folder:{tmp_path / 'images'}", given, f"--workdir={tmp_path / 'run'}")):
            notes[name] = Session(GLOW, flags.FLAGS).data.train_source.notes
    assert notes["default"] == (*notes["asked"], "32 is the size by default: --image_size=N chooses another")
    assert "reduced to 32x32" in notes["asked"][0]
    with (
        parsed((f"--dataset=folder:{tmp_path / 'images'}", "--experiment=imagenet64", f"--workdir={tmp_path / 'run'}")),
        pytest.raises(ValueError, match=r"too few for 64.* 64 is the size by default: --image_size=N"),
    ):
        _ = Session(GLOW, flags.FLAGS).data.train_source


def test_a_class_that_is_added_does_not_matter_to_a_model_without_classes(folder):
    described(folder)
    write_pngs(folder / "birds", random_images(9, 8, 8, 3))
    with parsed(arguments(folder, "--mode=sample")):
        session = Session(GLOW, flags.FLAGS)
        workdirs.check_workdir(session)
        assert session.data.class_names == ("birds", "cats", "dogs") and session.model.has_latent


def test_a_model_of_colors_takes_grey_images(folder):
    described(folder)
    grey = random_images(10, 8, 8, 1)
    write_pngs(folder.parent / "grey", grey)
    with parsed((*arguments(folder, "--mode=evaluate"), f"--dataset=folder:{folder.parent / 'grey'}")):
        source = Session(GLOW, flags.FLAGS).data.test_source
    assert source.image_shape == (8, 8, 3) and "three equal channels" in source.report()
    assert all(any(np.array_equal(image, np.repeat(own, 3, -1)) for own in grey) for image in source.images)


def test_records_of_other_images_say_how_these_were_prepared(make_record, tmp_path):
    """Each in a file of its own; those of before keep theirs."""
    other = {"trained_on": "cifar10", "dataset": "folder:/a"}
    before = make_record(**other)
    changed = [{}, {"resize": "fit"}, {"image_size": 64}, {"test_share": 0.2}]
    records = [make_record(**other, preparation={**PREPARATION, **change}) for change in changed]
    assert before.name == "cifar10-paper-seed0-test-bits_per_dim-of-folder_a"
    assert records[0].name == f"{before.name}-size32-crop-share0.1"
    for record in (before, *records):
        write_record(record, tmp_path)
    assert len(load_records(tmp_path)) == 5
    long = make_record(**{**other, "dataset": f"folder:/{'a' * 300}"}, preparation=PREPARATION)
    write_record(long, tmp_path)
    assert len(load_records(tmp_path)) == 6


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"preparation": PREPARATION}, "on which the model was not trained"),
        ({"trained_on": "x", "preparation": {"resize": "crop"}}, "preparation must have"),
        ({"trained_on": "x", "preparation": {**PREPARATION, "resize": "stretch"}}, "resize of preparation"),
        ({"trained_on": "x", "preparation": {**PREPARATION, "image_size": 0}}, "image_size of preparation"),
    ],
)
def test_no_such_preparation(make_record, changes, part):
    with pytest.raises(ValueError, match=part):
        make_record(**changes)
