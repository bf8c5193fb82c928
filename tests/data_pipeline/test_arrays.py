"""`npz:FILE`."""

import numpy as np
import pytest

from tests.data_pipeline.stored_sets import random_images
from tfflows.data import DatasetNotFoundError, canonical_name, load_dataset, stored_image_shape
from tfflows.data.division import divide
from tfflows.data.preprocessing import resize

IMAGES = random_images(30, 8, 6, 3)
LABELS = np.arange(30) % 3


@pytest.mark.parametrize(
    "names",
    [("x_train", "y_train", "x_test", "y_test"), ("train_images", "train_labels", "test_images", "test_labels")],
)
def test_splits_under_the_names_of_others(tmp_path, names):
    np.savez(
        tmp_path / "mine.npz",
        **dict(zip(names, (IMAGES[:20], LABELS[:20, None], IMAGES[20:], LABELS[20:, None]), strict=True)),
    )
    name = f"npz:{tmp_path / 'mine.npz'}"
    train, test = (load_dataset(name, split) for split in ("train", "test"))
    np.testing.assert_array_equal(train.images, IMAGES[:20])
    np.testing.assert_array_equal(test.images, IMAGES[20:])
    np.testing.assert_array_equal(test.labels, LABELS[20:])
    assert train.num_classes == 3 and stored_image_shape(name) == (8, 6, 3)
    assert load_dataset(name, "train", holdout=4).num_images == 16


@pytest.mark.parametrize("stored", [{"images": IMAGES, "labels": LABELS}, {"arr_0": IMAGES}], ids=["named", "unnamed"])
def test_undivided_images_are_divided_by_their_place(tmp_path, stored):
    np.savez(tmp_path / "mine.npz", **stored)
    parts = divide([str(place) for place in range(30)], 0.3)
    for split, part in zip(("train", "test"), parts, strict=True):
        source = load_dataset(f"npz:{tmp_path / 'mine.npz'}", split, test_share=0.3)
        np.testing.assert_array_equal(source.images, IMAGES[part])
        assert source.labels_available == ("labels" in stored)


def test_an_array_alone_and_grey_images(tmp_path):
    np.save(tmp_path / "mine.npy", IMAGES[..., 0])
    source = load_dataset("npz:mine.npy", "train", data_dir=tmp_path)
    assert source.image_shape == (8, 6, 1)
    assert canonical_name(f"npz:{tmp_path}/./mine.npy", tmp_path) == "npz:mine.npy"


def test_images_are_resized_and_a_validation_split_is_held_out(tmp_path):
    np.savez(tmp_path / "mine.npz", x_train=IMAGES[:20], x_valid=IMAGES[20:25], x_test=IMAGES[25:])
    source = load_dataset(f"npz:{tmp_path / 'mine.npz'}", "holdout", image_size=4, holdout=3, in_order=True)
    np.testing.assert_array_equal(source.images, resize(IMAGES[20:23], 4, "crop"))
    assert load_dataset(f"npz:{tmp_path / 'mine.npz'}", "train", holdout=3).num_images == 20
    assert "central square" in source.report()


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ({"x_train": IMAGES / 255}, r"uint8.*np.round"),
        ({"x_train": np.moveaxis(IMAGES, -1, 1)}, r"np.moveaxis"),
        ({"x_train": IMAGES.reshape(30, -1)}, "uint8 images"),
        ({"x_train": IMAGES, "y_train": LABELS[:5]}, "y_train .* 30 integers"),
        ({"images": IMAGES, "labels": LABELS * 2**31}, "integers from 0 to 2"),
        ({"x_test": IMAGES}, "no training images: it holds x_test"),
        ({"x_train": IMAGES, "y_train": LABELS % 2, "x_test": IMAGES, "y_test": LABELS}, "has label 2 in its test"),
        ({"x_train": IMAGES, "x_test": IMAGES[:, :6]}, "those of train have 8x6 pixels, those of test 6x6"),
        (b"no archive", "cannot be read as a NumPy file"),
    ],
    ids=[
        "float",
        "channels first",
        "flat",
        "labels",
        "large labels",
        "no training",
        "unknown label",
        "sizes",
        "no archive",
    ],
)
def test_what_is_not_such_a_file_is_refused(tmp_path, content, part):
    path = tmp_path / "mine.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.savez(path, **content)
    with pytest.raises(ValueError, match=part):
        load_dataset(f"npz:{path}", "test")


def test_a_missing_file_and_too_few_pixels(tmp_path):
    with pytest.raises(DatasetNotFoundError, match=r"np\.savez"):
        load_dataset(f"npz:{tmp_path / 'none.npz'}", "train")
    np.save(tmp_path / "mine.npy", IMAGES)
    with pytest.raises(ValueError, match="8x6 pixels, too few for 7"):
        load_dataset(f"npz:{tmp_path / 'mine.npy'}", "train", image_size=7)


def test_splits_of_different_sizes_and_colors_are_brought_together(tmp_path):
    np.savez(tmp_path / "mine.npz", x_train=IMAGES[..., :1], x_test=random_images(4, 6, 6, 3))
    name = f"npz:{tmp_path / 'mine.npz'}"
    assert stored_image_shape(name) == (None, None, 3)
    train, test = (load_dataset(name, split, image_size=5) for split in ("train", "test"))
    assert train.image_shape == test.image_shape == (5, 5, 3)
    assert "grey images were given three" in train.report() and "grey" not in test.report()


def test_a_part_of_sorted_images_holds_every_class(tmp_path):
    np.savez(tmp_path / "mine.npz", x_train=IMAGES, y_train=np.sort(LABELS), x_test=IMAGES)
    name = f"npz:{tmp_path / 'mine.npz'}"
    train, held_out = (load_dataset(name, split, holdout=12) for split in ("train", "holdout"))
    assert (np.bincount(held_out.labels) > 1).all() and (np.bincount(train.labels) > 1).all()
    together = np.concatenate([train.images, held_out.images])
    assert {image.tobytes() for image in together} == {image.tobytes() for image in IMAGES} and len(together) == 30
    assert load_dataset(name, "holdout", holdout=10, in_order=True).labels.tolist() == [2] * 10


def test_a_class_whose_only_image_is_a_test_image(tmp_path):
    (test,) = divide([str(place) for place in range(9)], 0.01)[1]
    np.savez(tmp_path / "mine.npz", images=IMAGES[:9], labels=[4 if place == test else 0 for place in range(9)])
    source = load_dataset(f"npz:{tmp_path / 'mine.npz'}", "test", test_share=0.01)
    assert source.labels.tolist() == [4] and source.num_classes == 5


def test_a_directory_is_no_file(tmp_path):
    with pytest.raises(ValueError, match=f"is a directory, and npz: takes a file; .* folder:{tmp_path}"):
        load_dataset(f"npz:{tmp_path}", "train")
