"""`folder:DIRECTORY`, and the folders that people have."""

import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, features

from tests.data_pipeline.stored_sets import random_images, write_pngs
from tfflows.data import DatasetNotFoundError, OnDemandSource, folders, in_color, load_dataset, stored_image_shape
from tfflows.data.division import divide
from tfflows.data.preprocessing import resize

CASES = pathlib.Path(__file__).parents[1] / "data" / "images"


def test_a_single_sub_directory_is_no_label(tmp_path):
    images = random_images(5, 12, 12, 3)
    write_pngs(tmp_path / "train" / "tiles", images)
    write_pngs(tmp_path / "test" / "tiles", images[:2])
    source = load_dataset(f"folder:{tmp_path}", "train")
    np.testing.assert_array_equal(source.images, images)
    assert not source.labels_available and source.image_shape == (12, 12, 3)
    assert load_dataset(f"folder:{tmp_path}", "test").num_images == 2


def test_sub_directories_are_classes(tmp_path):
    for split in ("train", "test"):
        write_pngs(tmp_path / split / "cats", random_images(2, 6, 8, 1))
        write_pngs(tmp_path / split / "dogs", random_images(3, 6, 8, 1, seed=1))
    source = load_dataset(f"folder:{tmp_path}", "test")
    assert source.num_classes == 2 and source.image_shape == (6, 8, 1)
    np.testing.assert_array_equal(source.labels, [0, 0, 1, 1, 1])


def test_a_relative_folder_is_looked_for_in_data_dir_too(tmp_path):
    for split in ("train", "test"):
        write_pngs(tmp_path / "mine" / split, random_images(2, 4, 4, 3))
    assert load_dataset("folder:mine", "train", data_dir=tmp_path).num_images == 2


def test_a_large_folder_is_read_on_demand(tmp_path, monkeypatch):
    images = random_images(4, 10, 10, 3)
    write_pngs(tmp_path / "train", images)
    write_pngs(tmp_path / "test", images)
    monkeypatch.setattr(folders, "IN_MEMORY_BYTES", 100)
    source = load_dataset(f"folder:{tmp_path}", "train")
    assert isinstance(source, OnDemandSource)
    obtained, _ = source.read(np.array([3, 1]), None)
    np.testing.assert_array_equal(obtained, images[[3, 1]])


def test_unequal_sizes_are_refused(tmp_path):
    write_pngs(tmp_path / "train" / "a", random_images(1, 4, 4, 3))
    write_pngs(tmp_path / "train" / "b", random_images(1, 4, 5, 3))
    with pytest.raises(ValueError, match="must have the same size"):
        load_dataset(f"folder:{tmp_path}", "train")


@pytest.mark.parametrize(("test", "named"), [("test/c", "'c' in test/"), ("test", "test/00000.png")])
def test_test_images_of_no_class_of_training_leave_no_labels(tmp_path, test, named):
    for name in ("train/a", "train/b", test):
        write_pngs(tmp_path / name, random_images(1, 4, 4, 3))
    for split in ("train", "test"):
        source = load_dataset(f"folder:{tmp_path}", split)
        assert not source.labels_available
        assert f"there are no labels, since {named} is in no class of train/ (a, b)" in source.report()


def test_a_class_whose_only_image_is_a_test_image(tmp_path):
    write_pngs(tmp_path / "cats", random_images(12, 4, 4, 3))
    (test,) = load_dataset(f"folder:{tmp_path}", "test", test_share=0.01).files
    (tmp_path / "dogs").mkdir()
    (tmp_path / test).rename(tmp_path / "dogs" / "only.png")
    source = load_dataset(f"folder:{tmp_path}", "test", test_share=0.99)
    assert source.class_names == ("cats", "dogs") and source.labels[source.files.index("dogs/only.png")] == 1


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_empty_split_says_how_to_prepare_it(split, tmp_path):
    for name in ("train", "test"):
        write_pngs(tmp_path / name, random_images(0 if name == split else 2, 4, 4, 3))
    with pytest.raises(DatasetNotFoundError, match=f"{tmp_path}/{split}"):
        load_dataset(f"folder:{tmp_path}", split)


def photographs(directory, sizes=((40, 40), (50, 34), (33, 64)), modes=("RGB", "L", "RGBA"), suffixes=("png", "tif")):
    """Photographs of every size, mode and kind, smooth and unlike each other."""
    directory.mkdir(parents=True, exist_ok=True)
    number = 0
    for width, height in sizes:
        for mode in modes:
            for suffix in suffixes:
                noise = random_images(1, 6, 6, 3, seed=number)[0]
                image = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).convert(mode)
                image.save(directory / f"{number:03d}-{mode}.{suffix}")
                number += 1
    return number


def test_a_flat_folder_of_images_of_every_size_and_kind(tmp_path):
    count = photographs(tmp_path)
    assert stored_image_shape(f"folder:{tmp_path}") == (None, None, 3)
    splits = {
        split: load_dataset(f"folder:{tmp_path}", split, image_size=32, test_share=0.3) for split in ("train", "test")
    }
    assert sum(source.num_images for source in splits.values()) == count
    assert all(source.image_shape == (32, 32, 3) and not source.labels_available for source in splits.values())
    files = sorted(tmp_path.iterdir())
    paths = [files[position] for position in divide([path.name for path in files], 0.3)[1]]
    assert len(paths) == splits["test"].num_images > 2
    for path, image in zip(paths, splits["test"].images, strict=True):
        with Image.open(path) as stored:
            np.testing.assert_array_equal(image, resize(np.asarray(stored.convert("RGB")), 32, "crop"))
    report = splits["train"].report()
    assert "grey images were given three equal channels" in report and "central square" in report
    # Images that are added move no other one.
    photographs(tmp_path / "later")
    again = load_dataset(f"folder:{tmp_path}", "test", image_size=32, test_share=0.3)
    np.testing.assert_array_equal(again.images[: len(paths)], splits["test"].images)


def test_grey_images_alone_stay_grey(tmp_path):
    photographs(tmp_path, sizes=[(12, 12)], modes=["L", "1"])
    assert load_dataset(f"folder:{tmp_path}", "train", test_share=0.5).image_shape == (12, 12, 1)


@pytest.mark.parametrize("in_memory", [True, False])
def test_grey_images_in_color(tmp_path, monkeypatch, in_memory):
    monkeypatch.setattr(folders, "IN_MEMORY_BYTES", 2**30 if in_memory else 1)
    write_pngs(tmp_path / "grey", random_images(6, 4, 4, 1))
    grey = load_dataset(f"folder:{tmp_path / 'grey'}", "train")
    colored = in_color(grey)
    everything = tf.range(grey.num_images, dtype=tf.int64)
    images = colored.read(everything, None)[0]
    assert colored.image_shape == (4, 4, 3) and colored.files == grey.files
    np.testing.assert_array_equal(images, np.repeat(grey.read(everything, None)[0], 3, axis=-1))
    with pytest.raises(ValueError, match=r"Only grey images .* have 3\."):
        in_color(colored)


def test_an_empty_folder(tmp_path):
    with pytest.raises(DatasetNotFoundError, match=f"holds no images. Looked in:\n    {tmp_path}") as refused:
        load_dataset(f"folder:{tmp_path}", "train")
    assert not refused.value.in_data_dir and "data_dir" not in str(refused.value)


def test_images_of_the_wanted_size_are_not_said_to_be_reduced(tmp_path):
    write_pngs(tmp_path / "mine", random_images(4, 8, 8, 3))
    for size, notes in ((8, ()), (4, ("the central square of each image is reduced to 4x4 pixels",))):
        source = load_dataset(f"folder:{tmp_path / 'mine'}", "train", image_size=size, resize="crop")
        assert source.notes == notes and repr(source) == f"<ArraySource {source.report()}>"


@pytest.mark.parametrize("nested", [False, True], ids=["flat", "by class"])
def test_training_validation_and_test_images(tmp_path, nested):
    classes = ("cats", "dogs") if nested else ("",)
    for split, count in (("train", 6), ("val", 4), ("test", 3)):
        for name in classes:
            write_pngs(tmp_path / split / name, random_images(count, 4, 4, 3, seed=count))
    sizes = {
        split: load_dataset(f"folder:{tmp_path}", split, holdout=2).num_images for split in ("train", "holdout", "test")
    }
    assert sizes == {"train": 6 * len(classes), "holdout": 2, "test": 3 * len(classes)}
    held_out = load_dataset(f"folder:{tmp_path}", "holdout", holdout=2, in_order=True)
    np.testing.assert_array_equal(held_out.images, random_images(4, 4, 4, 3, seed=4)[:2])
    shutil.rmtree(tmp_path / "test")
    test = load_dataset(f"folder:{tmp_path}", "test")
    assert test.num_images == 4 * len(classes) and test.class_names == (classes if nested else ())


def test_images_beside_class_folders_have_no_labels(tmp_path):
    write_pngs(tmp_path / "cats", random_images(5, 4, 4, 3))
    write_pngs(tmp_path / "dogs", random_images(5, 4, 4, 3))
    assert load_dataset(f"folder:{tmp_path}", "train").class_names == ("cats", "dogs")
    Image.new("RGB", (4, 4)).save(tmp_path / "beside.png")
    source = load_dataset(f"folder:{tmp_path}", "train", test_share=0.01)
    assert not source.labels_available and "since beside.png lies beside the folders of the classes" in source.report()


def test_what_cannot_be_read_is_skipped_and_named(tmp_path, monkeypatch):
    """The files that once failed, beside sizes and kinds of our own."""
    shutil.copytree(CASES, tmp_path / "train")
    photographs(tmp_path / "test", sizes=[(32, 32)])
    (tmp_path / "train" / "._plain.png").write_bytes(b"of a file manager")
    Image.new("RGB", (8, 40)).save(tmp_path / "train" / "narrow.png")
    frames = [Image.new("P", (32, 32), color) for color in (3, 5)]
    frames[0].putpalette([10 * number for number in range(12)])
    frames[0].save(tmp_path / "train" / "moving.gif", save_all=True, append_images=frames[1:])
    source = load_dataset(f"folder:{tmp_path}", "train", image_size=24)
    names = [
        "exif_rotated.jpg",
        "grey_16bit.png",
        "grey_8bit.png",
        "moving.gif",
        "plain.png",
        "rgba_hidden_magenta.png",
    ]
    assert source.num_images == len(names) and source.image_shape == (24, 24, 3)
    skipped = {line.split(" ")[0]: line for line in source.skipped}
    assert set(skipped) == {f"train/{name}.png" for name in ("empty", "narrow", "text", "truncated")}
    assert "40x8 pixels are too few for 24: give a smaller" in skipped["train/narrow.png"]
    assert "6 images of 24x24x3, 4 skipped: train/empty.png (cannot be read" in source.report()
    assert (source.images[names.index("moving.gif")] == [90, 100, 110]).all()  # its first frame
    hidden = source.images[names.index("rgba_hidden_magenta.png")]
    assert (hidden[:, 13:] == 255).all()
    sixteen = source.images[names.index("grey_16bit.png")]
    assert (np.diff(sixteen[..., 0].astype(int), axis=0) >= 0).all() and sixteen.max() > 200
    # The same where they are read one by one, and neither with `strict`.
    monkeypatch.setattr(folders, "IN_MEMORY_BYTES", 100)
    on_demand = load_dataset(f"folder:{tmp_path}", "train", image_size=24)
    np.testing.assert_array_equal(on_demand.read(np.arange(6), None)[0], source.images)
    assert on_demand.skipped == source.skipped
    with pytest.raises(ValueError, match=r"empty\.png cannot be read .*leave out --strict"):
        load_dataset(f"folder:{tmp_path}", "train", image_size=24, strict=True)


def test_a_folder_with_nothing_to_use_is_refused(tmp_path):
    for name in ("a.png", "b.png"):
        shutil.copy(CASES / "text.png", tmp_path / name)
    with pytest.raises(ValueError, match=r"has no image that can be used: .*\.png cannot be read"):
        load_dataset(f"folder:{tmp_path}", "train")
    with pytest.raises(ValueError, match=r"has no image that can be used"):
        stored_image_shape(f"folder:{tmp_path}")


def test_images_are_turned_before_they_are_measured(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6
    for name in ("a.jpg", "b.jpg"):
        Image.new("RGB", (20, 12)).save(tmp_path / name, exif=turned)
    assert stored_image_shape(f"folder:{tmp_path}") == (20, 12, 3)
    assert load_dataset(f"folder:{tmp_path}", "test").image_shape == (20, 12, 3)


@pytest.mark.parametrize("how", ["crop", "fit"])
def test_resizing_is_antialiased(how):
    stripes = np.tile(np.array([[[0], [255]]], np.uint8), [64, 32, 1])
    reduced = np.asarray(resize(stripes, 16, how))
    assert reduced.shape == (16, 16, 1) and np.ptp(reduced[:, 1:-1]) <= 2 and abs(int(reduced[5, 5, 0]) - 128) <= 1


def test_avif_is_read_where_pillow_can(tmp_path):
    assert features.check("avif"), "the tests need a Pillow with AVIF"
    photographs(tmp_path, sizes=[(32, 32)], modes=["RGB"] * 6, suffixes=["avif"])
    assert load_dataset(f"folder:{tmp_path}", "train", test_share=0.5).image_shape == (32, 32, 3)


def test_splits_in_capitals_and_links_to_folders(tmp_path):
    for name in ("Train", "TEST"):
        write_pngs(tmp_path / "own" / name / "cats", random_images(3, 4, 4, 3))
    write_pngs(tmp_path / "elsewhere", random_images(2, 4, 4, 3, seed=1))
    (tmp_path / "own" / "Train" / "dogs").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "own" / "Train" / "cats" / "back").symlink_to(tmp_path / "own" / "Train")
    source = load_dataset(f"folder:{tmp_path / 'own'}", "train")
    assert source.num_images == 5 and source.class_names == ("cats", "dogs")
    np.testing.assert_array_equal(source.images[3:], random_images(2, 4, 4, 3, seed=1))
    assert load_dataset(f"folder:{tmp_path / 'own'}", "test").num_images == 3


@pytest.fixture
def sorted_by_class(tmp_path):
    """Forty cats, then forty dogs, in a folder without splits."""
    for name, seed in (("cats", 0), ("dogs", 1)):
        write_pngs(tmp_path / name, random_images(40, 4, 4, 3, seed=seed))
    return tmp_path


def test_a_part_of_a_folder_sorted_by_class_holds_every_class(sorted_by_class):
    name = f"folder:{sorted_by_class}"
    train, held_out, few = (
        load_dataset(name, *arguments, **asked)
        for arguments, asked in (
            (["train"], {"holdout": 20}),
            (["holdout"], {"holdout": 20}),
            (["train"], {"max_images": 20}),
        )
    )
    for part in (train, held_out, few):
        assert (np.bincount(part.labels) >= 5).all() and list(part.files) == sorted(part.files)
    whole = load_dataset(name, "train")
    assert sorted([*train.files, *held_out.files]) == list(whole.files)
    first, last = (
        load_dataset(name, "train", **asked, in_order=True) for asked in ({"max_images": 20}, {"holdout": 20})
    )
    assert first.files == whole.files[:20] and last.files == whole.files[:-20]
    # Images that are added take few places, and move no other one.
    write_pngs(sorted_by_class / "birds", random_images(4, 4, 4, 3))
    again = load_dataset(name, "holdout", holdout=20)
    assert len(set(again.files) & set(held_out.files)) >= 16


def test_a_part_is_the_same_in_memory_and_on_demand(sorted_by_class, monkeypatch):
    (sorted_by_class / "cats" / "00001.png").write_bytes(b"no image")
    in_memory = load_dataset(f"folder:{sorted_by_class}", "train", holdout=9, max_images=30)
    monkeypatch.setattr(folders, "IN_MEMORY_BYTES", 100)
    on_demand = load_dataset(f"folder:{sorted_by_class}", "train", holdout=9, max_images=30)
    assert (on_demand.files, on_demand.digest, on_demand.num_images) == (in_memory.files, in_memory.digest, 30)
    np.testing.assert_array_equal(on_demand.read(np.arange(30), None)[0], in_memory.images)
    np.testing.assert_array_equal(on_demand.labels, in_memory.labels)


@pytest.mark.parametrize("content", ["text.png", "truncated.png"])
def test_another_image_takes_the_place_of_a_damaged_test_image(tmp_path, content):
    write_pngs(tmp_path / "images", random_images(6, 32, 32, 3))
    (test,) = load_dataset(f"folder:{tmp_path / 'images'}", "test", test_share=0.01).files
    shutil.copy(CASES / content, tmp_path / "images" / test)
    train, found = (
        load_dataset(f"folder:{tmp_path / 'images'}", split, test_share=0.01) for split in ("train", "test")
    )
    assert found.num_images == 1 and train.num_images == 4 and not set(found.files) & {test, *train.files}
    assert found.skipped[0].startswith(f"{test} (cannot be read")
    with pytest.raises(ValueError, match=f"{test} cannot be read"):
        load_dataset(f"folder:{tmp_path / 'images'}", "test", test_share=0.01, strict=True)
    for path in (tmp_path / "images").iterdir():
        if path.name not in (test, *found.files):
            shutil.copy(CASES / content, path)
    with pytest.raises(ValueError, match="a single image that can be used"):
        load_dataset(f"folder:{tmp_path / 'images'}", "train", test_share=0.01)


def test_images_beside_the_splits_are_counted(tmp_path):
    for name in ("train", "test", "extra"):
        write_pngs(tmp_path / name, random_images(2, 4, 4, 3))
    Image.new("RGB", (4, 4)).save(tmp_path / "beside.png")
    source = load_dataset(f"folder:{tmp_path}", "test")
    assert source.num_images == 2 and "3 images lie beside train/, test/ and were not read" in source.report()


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("a.png", "folder:{parent}"),
        ("a.npz", "npz:{parent}/a.npz"),
        ("a.zip", "unpack it"),
        ("a.txt", "give the directory"),
    ],
)
def test_a_file_in_place_of_a_folder_says_what_to_give(tmp_path, name, part):
    (tmp_path / name).write_bytes(b"a file")
    for read in (stored_image_shape, lambda dataset: load_dataset(dataset, "train")):
        with pytest.raises(ValueError, match="is a file, and folder: takes a directory") as caught:
            read(f"folder:{tmp_path / name}")
        assert part.format(parent=tmp_path) in str(caught.value)


def test_folders_that_cannot_be_opened_are_named(tmp_path, monkeypatch):
    for name in ("train/cats", "train/dogs", "train/birds", "test/cats"):
        write_pngs(tmp_path / name, random_images(2, 4, 4, 3))
    (tmp_path / "train" / "fish").symlink_to("/nowhere")
    closed, scandir, access = tmp_path / "train" / "birds", os.scandir, os.access

    def refuse(place):
        if pathlib.Path(place) == closed:
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(os, "access", lambda path, mode: path != closed and access(path, mode))
    source = load_dataset(f"folder:{tmp_path}", "train")
    assert source.num_images == 4 and source.class_names == ("cats", "dogs")
    assert source.skipped == (
        "train/birds (is a directory that cannot be opened)",
        "train/fish (is no regular file, or a link to none)",
    )
