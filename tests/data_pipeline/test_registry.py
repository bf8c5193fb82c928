import re

import pytest

from tfflows.data import DATASETS, DatasetNotFoundError, dataset_spec, load_dataset

# The published numbers of images, train and test.
FINGERPRINTS = {
    "cifar10": (50_000, 10_000),
    "cifar10_16": (50_000, 10_000),
    "imagenet32": (1_281_149, 49_999),
    "imagenet64": (1_281_149, 49_999),
    "imagenet32_labels": (1_281_167, 50_000),
    "celeba64": (162_770, 19_962),
    "celeba128": (162_770, 19_962),
    "lsun_bedroom": (3_033_042, 300),
    "lsun_tower": (708_264, 300),
    "lsun_church": (126_227, 300),
    "lsun_bedroom_96": (3_033_042, 300),
    "lsun_tower_96": (708_264, 300),
    "lsun_church_96": (126_227, 300),
    "lsun_bedroom_128": (3_033_042, 300),
    "lsun_tower_128": (708_264, 300),
    "lsun_church_128": (126_227, 300),
    "celeba_hq": (27_000, 3_000),
    "mnist": (60_000, 10_000),
    "photographs": (1_242, 230),
    "digits": (1_437, 360),
}
NOT_EMBEDDED = [name for name, spec in DATASETS.items() if spec.kind != "embedded"]


def test_every_data_set_has_its_published_numbers():
    found = {n: (s.num_images["train"], s.num_images["test"]) for n, s in DATASETS.items()}
    assert found == FINGERPRINTS


@pytest.mark.parametrize(
    ("name", "shape", "num_classes", "random_crop"),
    [
        ("cifar10", (32, 32, 3), 10, False),
        ("cifar10_16", (16, 16, 3), 10, False),
        ("imagenet64", (64, 64, 3), 0, False),
        ("imagenet32_labels", (32, 32, 3), 1000, False),
        ("celeba64", (64, 64, 3), 0, False),
        ("lsun_church", (64, 64, 3), 0, True),
        ("lsun_tower_96", (96, 96, 3), 0, False),
        ("celeba_hq", (256, 256, 3), 0, False),
        ("mnist", (32, 32, 3), 10, False),
        ("digits", (8, 8, 1), 10, False),
    ],
)
def test_spec_fields(name, shape, num_classes, random_crop):
    spec = dataset_spec(name)
    assert spec.image_shape == shape
    assert spec.num_classes == num_classes
    assert spec.random_crop == random_crop


def test_unknown_name_lists_the_valid_ones():
    with pytest.raises(ValueError, match="Unknown data set 'cifar'") as error:
        load_dataset("cifar", "train")
    for name in DATASETS:
        assert name in str(error.value)
    assert "folder:DIRECTORY" in str(error.value)


def test_unknown_split_lists_the_valid_ones():
    with pytest.raises(ValueError, match="the valid ones are train, test, holdout"):
        load_dataset("digits", "validation")


@pytest.mark.parametrize("name", NOT_EMBEDDED)
def test_a_missing_data_set_says_which_where_and_how(name, tmp_path):
    with pytest.raises(DatasetNotFoundError) as error:
        load_dataset(name, "train", data_dir=tmp_path)
    message = str(error.value)
    assert isinstance(error.value, FileNotFoundError)
    assert repr(name) in message
    assert re.search(rf"Looked in:\n    {re.escape(str(tmp_path))}/\S+", message)
    assert (
        f"--data_dir={tmp_path}" in message or f"into {tmp_path}" in message
    )  # of `tfds build`, which has such a flag
    assert "DIRECTORY" not in message
    assert message.endswith("give that directory as data_dir.")


@pytest.mark.parametrize(
    ("name", "image_size", "valid"),
    [("cifar10", 64, "32"), ("celeba_hq", 100, "256, 128, 64, 32"), ("imagenet64", 32, "64")],
)
def test_an_undefined_size_names_the_valid_ones(name, image_size, valid, tmp_path):
    with pytest.raises(ValueError, match=f"image size {image_size}; the valid ones are {valid}"):
        load_dataset(name, "train", data_dir=tmp_path, image_size=image_size)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(split="holdout"), "needs holdout=N"),
        (dict(split="train", holdout=-1), "holdout must be an integer of at least 0, got -1"),
        (dict(split="train", holdout=5_000), "leaves none of the 1437 training images"),
        (dict(split="train", max_images=0), "at least 1"),
        (dict(split="train", max_images=2.0), "max_images must be an integer of at least 1, got 2.0"),
        (dict(split="train", image_size="8"), "image_size must be an integer of at least 1, got '8'"),
        (dict(split="train", test_share="0.1"), "test_share must be a number between 0 and 1, got '0.1'"),
        (dict(split="train", attributes_file="a.txt"), "attributes_file is for celeba_hq"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        load_dataset("digits", **arguments)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("foldr:photos", "folder:photos"),
        ("Folder:photos", "folder:photos"),
        ("npy:a.npy", "npz:a.npy"),
        ("tfd:mnist", "tfds:mnist"),
        ("{place}", "folder:{place}"),
        ("{place}/a.npz", "npz:{place}/a.npz"),
        ("cifar", "cifar10"),
    ],
)
def test_a_near_name_is_suggested(tmp_path, name, meant):
    (tmp_path / "a.npz").touch()
    with pytest.raises(ValueError, match="Unknown data set") as caught:
        load_dataset(name.format(place=tmp_path), "train")
    assert f"Did you mean {meant.format(place=tmp_path)!r}?" in str(caught.value)


def test_a_path_is_no_name(tmp_path):
    with pytest.raises(ValueError, match=f"must be text, such as 'folder:{tmp_path}'"):
        load_dataset(tmp_path, "train")
