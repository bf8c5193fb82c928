"""Runs on a folder of images: its names, its paths and its sizes."""

import json

import numpy as np
import pytest
from absl import flags
from PIL import Image

from reproductions.agave.reproduction import AGAVE
from reproductions.driver.session import Session
from reproductions.driver.workdirs import check_workdir, described
from reproductions.flowpp.reproduction import FLOWPP
from reproductions.glow.reproduction import GLOW
from reproductions.macow.reproduction import MACOW
from reproductions.reporting.records import load_records
from reproductions.vflow.reproduction import VFLOW
from tests.data_pipeline.stored_sets import random_images, write_pngs
from tests.reproductions.driver.running import TINY, exit_message, parsed, run
from tfflows.data import canonical_name
from tfflows.training.workdir import WorkdirError

ARGUMENTS = (*(argument for argument in TINY if "digits" not in argument), "--steps=1", "--batch_size=2")


def make_folder(directory, size=8):
    for split in ("train", "test"):
        write_pngs(directory / split, random_images(4, size, size, 3))
    return directory


def test_a_run_in_any_directory_on_any_folder_by_any_path(tmp_path):
    """Spaces, accents and what shells and TensorFlow read otherwise, in the folder and in the workdir."""
    folder = make_folder(tmp_path / "my photos ü ~+,()@=[1]*?\\ \n")
    workdir, results = tmp_path / "run [1]*?\\ \n", tmp_path / "obtained"
    arguments = (*ARGUMENTS, f"--workdir={workdir}", f"--results_dir={results}")
    run(*arguments, f"--dataset=folder:{folder}")
    stored = json.loads((workdir / "experiment.json").read_text())
    assert stored["dataset"] == f"folder:{folder}"
    (tmp_path / "link").symlink_to(folder)
    # As earlier versions stored it, by whatever path was given.
    (workdir / "experiment.json").write_text(json.dumps({**stored, "dataset": f"folder:{folder}/../link"}))
    run(*arguments, f"--dataset=folder:{tmp_path}/link/", "--mode=evaluate")
    (record,) = load_records(results)
    assert record.dataset == f"folder:{folder}" == record.overrides["dataset"]
    (file,) = (results / "glow").iterdir()
    assert file.name.isascii() and not set(file.name) & set(" ~+,()@[]*?\\\n")


def test_the_workdir_of_own_images_says_which_and_at_which_size(tmp_path):
    workdir = tmp_path / "workdir"
    folder = f"--dataset=folder:{make_folder(tmp_path / 'photos', size=12)}"
    run(*ARGUMENTS, folder, f"--workdir={workdir}", "--image_size=8")
    with parsed([f"--workdir={workdir}", "--mode=sample"]):
        session = Session(GLOW, flags.FLAGS)
        assert session.data.image_shape == [8, 8, 3]
        check_workdir(session)  # the settings are those of the run
        assert session.data.test_source.notes == ("the central square of each image is reduced to 8x8 pixels",)


def test_one_folder_by_two_paths_is_one_data_set(tmp_path, monkeypatch):
    folder = make_folder(tmp_path / "real")
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    paths = [str(folder), f"{folder}/", "real", "./real", "real/../real", "link", str(tmp_path / "link")]
    assert {canonical_name(f"folder:{path}") for path in paths} == {f"folder:{folder}"}
    monkeypatch.chdir("/")
    for path in ("link", "real", folder):
        assert canonical_name(f"folder:{path}", tmp_path) == "folder:real"
    # Below the working directory a relative name means another folder.
    make_folder(tmp_path / "elsewhere" / "real")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert canonical_name(f"folder:{folder}", tmp_path) == f"folder:{folder}"
    assert canonical_name("folder:nowhere") == "folder:nowhere" and canonical_name("digits") == "digits"


def test_names_that_become_alike_have_different_files(make_record):
    folders = ["/a b", "/a+b", "/a_b", "/ä", "/ü"]
    names = {make_record(overrides={"dataset": f"folder:{folder}"}).name for folder in folders}
    assert len(names) == len(folders)
    # A name that a file name holds whole has no hash, as before.
    assert (
        make_record(overrides={"dataset": "folder:/a/b"}).name
        == "cifar10-paper-dataset=folder_a_b-seed0-test-bits_per_dim"
    )


def test_an_image_size_that_the_files_have_not_is_refused(tmp_path, capsys):
    folder = make_folder(tmp_path / "images")
    arguments = (*ARGUMENTS, f"--dataset=folder:{folder}", f"--workdir={tmp_path / 'run'}")
    message = exit_message(capsys, *arguments, "--set=image_size=16")
    assert "image size 16 that is asked for does not fit the images" in message and "8x8" in message
    assert not (tmp_path / "run").exists()
    with parsed((*arguments, "--set=image_size=8")):
        assert Session(GLOW, flags.FLAGS).data.train_source.image_shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("reproduction", "name", "size", "parts"),
    [
        (GLOW, "cifar10", 20, ["20x20 pixels", "multiple of 8", "--set levels=N"]),
        (FLOWPP, "cifar10", 6, ["6x6 pixels", "multiple of 4", "fewer stages"]),
        (VFLOW, "cifar10", 6, ["6x6 pixels", "multiple of 4", "fewer stages"]),
        (MACOW, "cifar10_fine_grained", 12, ["12x12 pixels", "multiple of 8", "fewer levels"]),
        (AGAVE, "cifar10", 10, ["10x10 pixels", "multiple of 4"]),
    ],
    ids=["glow", "flowpp", "vflow", "macow", "agave"],
)
def test_sizes_that_do_not_divide_say_the_multiple(reproduction, name, size, parts):
    experiment = reproduction.small(reproduction.experiments[name])
    with pytest.raises(ValueError, match="do not fit this model") as caught:
        reproduction.build_model(experiment, [size, size, 3], 0, 0)
    assert all(part in str(caught.value) for part in parts), str(caught.value)


@pytest.mark.parametrize(
    ("files", "parts"),
    [
        (["val/a.png", "test/a.png"], ["has test/ and no train/", "put the training images into"]),
        (["train/a.ppm", "test/a.ppm"], ["Its files end in .ppm", "convert them"]),
        (["train/a.png"], ["a single image"]),
    ],
    ids=["no training", "ppm", "one image"],
)
def test_a_folder_arranged_otherwise_says_what_to_do(tmp_path, capsys, files, parts):
    for file in files:
        path = tmp_path / "images" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros([8, 8, 3], np.uint8)).save(path)
    message = exit_message(
        capsys, *ARGUMENTS, f"--dataset=folder:{tmp_path / 'images'}", f"--workdir={tmp_path / 'run'}"
    )
    assert all(part in message for part in parts), message
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_the_first_of_several_stages_begins_on_own_images(tmp_path):
    folder = make_folder(tmp_path / "images")
    given = (f"--dataset=folder:{folder}", "--set=pretraining_steps=1", f"--workdir={tmp_path / 'run'}")
    with parsed(given):
        first = Session(AGAVE, flags.FLAGS, "vae")
        assert first.experiment.name == "cifar10_vae" and first.data.train_source.image_shape == (8, 8, 3)


def test_what_was_left_out_is_said_and_kept(tmp_path, caplog):
    folder = make_folder(tmp_path / "images", size=9)
    (folder / "train" / "broken.png").write_bytes(b"no image")
    given = (*ARGUMENTS, f"--dataset=folder:{folder}", "--image_size=8", f"--workdir={tmp_path / 'run'}")
    with parsed(given):
        session = Session(GLOW, flags.FLAGS)
        assert session.data.train_source.image_shape == (8, 8, 3)
        with described(session):
            kept = json.loads((tmp_path / "run" / "images.json").read_text())
    (skipped,) = kept["train"]["skipped"]
    assert skipped.startswith("train/broken.png (cannot be read") and kept["train"]["images"] == 4
    assert "1 skipped: train/broken.png" in caplog.text and "reduced to 8x8 pixels" in caplog.text
    with parsed((*given, "--strict")), pytest.raises(ValueError, match=r"broken\.png cannot be read.*Mend or remove"):
        _ = Session(GLOW, flags.FLAGS).data.train_source


@pytest.mark.parametrize("conditional", [True, False])
def test_classes_that_were_renamed_are_refused_where_they_matter(tmp_path, conditional):
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            write_pngs(tmp_path / "images" / split / name, random_images(2, 8, 8, 3))
    given = (*ARGUMENTS, f"--dataset=folder:{tmp_path / 'images'}", f"--set=conditional={str(conditional).lower()}")
    with parsed((*given, f"--workdir={tmp_path / 'run'}")):
        session = Session(GLOW, flags.FLAGS)
        with described(session):
            (tmp_path / "run" / "checkpoints").mkdir()
    for split in ("train", "test"):
        (tmp_path / "images" / split / "cat").rename(tmp_path / "images" / split / "zebra")
    with parsed((*given, f"--workdir={tmp_path / 'run'}")):
        if conditional:
            with pytest.raises(WorkdirError, match=r"trained on the classes cat, dog, and .* now has dog, zebra"):
                check_workdir(Session(GLOW, flags.FLAGS))
        else:
            check_workdir(Session(GLOW, flags.FLAGS))


def test_classes_of_other_images_are_those_of_a_conditional_model(tmp_path):
    for folder, classes in (("own", ("cat", "dog")), ("same", ("cat", "dog")), ("other", ("dog", "zebra"))):
        for split in ("train", "test"):
            for name in classes:
                write_pngs(tmp_path / folder / split / name, random_images(2, 8, 8, 3))
    given = (*ARGUMENTS, "--set=conditional=true", f"--workdir={tmp_path / 'run'}")
    with parsed((*given, f"--dataset=folder:{tmp_path / 'own'}")), described(Session(GLOW, flags.FLAGS)):
        pass
    (tmp_path / "run" / "checkpoints").mkdir(exist_ok=True)
    for folder, refused in (("same", False), ("other", True)):
        with parsed((*given, "--mode=evaluate", f"--dataset=folder:{tmp_path / folder}")):
            session = Session(GLOW, flags.FLAGS)
            if refused:
                with pytest.raises(ValueError, match=r"knows the classes cat, dog by their numbers.* are dog, zebra"):
                    _ = session.data.test_source
            else:
                assert session.data.test_source.class_names == ("cat", "dog")


def test_odd_sizes_say_which_size_to_give(tmp_path):
    given = (f"--dataset=folder:{make_folder(tmp_path / 'images', size=27)}", f"--workdir={tmp_path / 'run'}")
    with parsed(given), pytest.raises(ValueError, match="--image_size=24"):
        Session(GLOW, flags.FLAGS)
