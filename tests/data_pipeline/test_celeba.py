import os

import numpy as np
import pytest

from tests.data_pipeline.stored_sets import random_images, write_tfds
from tfflows.data import load_celeba_hq_attributes, load_dataset
from tfflows.data.celeba import image_numbers, read_attribute_names, read_celeba_attributes, read_index_map

NAMES = [f"Attribute_{number}" for number in range(40)]


@pytest.fixture(scope="module")
def annotations(tmp_path_factory):
    """CelebA's two files in small: image n of CelebA-HQ is 000001.jpg + (7 n mod 30000)."""
    directory = tmp_path_factory.mktemp("celeba")
    values = np.where(np.random.default_rng(0).uniform(size=[30_000, 40]) < 0.5, -1, 1)
    with open(directory / "list_attr_celeba.txt", "w") as file:
        file.write("30000\n" + " ".join(NAMES) + " \n")
        for number, row in enumerate(values):
            file.write(f"{number + 1:06d}.jpg  " + " ".join(f"{v:2d}" for v in row) + "\n")
    originals = np.arange(30_000) * 7 % 30_000
    with open(directory / "image_list.txt", "w") as file:
        file.write("idx     orig_idx  orig_file   proc_md5  final_md5\n")
        for number, original in enumerate(originals):
            file.write(f"{number:<8d}{original:<10d}{original + 1:06d}.jpg  00ff  ff00\n")
    return directory, values[originals]


def test_attributes_follow_the_index_map(annotations):
    directory, expected = annotations
    names, attributes = load_celeba_hq_attributes(directory / "list_attr_celeba.txt")
    assert names == tuple(NAMES)
    assert attributes.dtype == np.int8
    np.testing.assert_array_equal(attributes, expected)


def test_missing_index_map_says_where_it_is_published(annotations, tmp_path):
    directory, _ = annotations
    with pytest.raises(FileNotFoundError, match=r"image_list\.txt.*progressive_growing_of_gans"):
        load_celeba_hq_attributes(directory / "list_attr_celeba.txt", index_map_file=tmp_path / "none.txt")


HEAD = "1\n" + " ".join(NAMES) + "\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1: expected the number of images, found ''"),
        ("3 images\n" + " ".join(NAMES) + "\n", "line 1: expected the number of images, found '3 images'"),
        ("²\n" + " ".join(NAMES) + "\n", "line 1: expected the number of images"),
        ("1\n", "line 2: expected 40 names of attributes, found 0 names"),
        ("1\nSmiling Young\n", "line 2: expected 40 names of attributes, found 2 names"),
        (HEAD + "1.jpg " + "1 " * 39 + "\n", "line 3: expected a file name and 40 values"),
        (HEAD + "1.jpg " + "1 " * 39 + "0\n", "line 3: expected a file name and 40 values"),
        (HEAD + "1.jpg " + "1 " * 40 + "\n2.jp", "line 4: expected a file name and 40 values"),
        (HEAD + ("1.jpg " + "1 " * 40 + "\n") * 2, "line 4: 1.jpg has stood before"),
        ("2\n" + HEAD[2:] + "1.jpg " + "1 " * 40 + "\n", "line 1: says 2 images, but the file holds 1"),
        (b"\xff\xfe1\x00\n", "line 1: it is no UTF-8 text"),
        (HEAD.encode() + b"\xe9.jpg\n", "line 3: it is no UTF-8 text"),
        (b"1" * 10_001, "line 1: it has more than 10,000 bytes"),
    ],
)
def test_a_malformed_attribute_file_is_refused(content, message, tmp_path):
    path = tmp_path / "list_attr_celeba.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message) as caught:
        read_celeba_attributes(path)
    assert str(caught.value).startswith(f"{path}, line ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1: the first line must name"),
        ("idx orig_idx\n0 5\n", "line 1: the first line must name"),
        ("idx orig_idx orig_file\n0 5\n", "line 2: it does not fit"),
        ("idx orig_idx orig_file\n\n0 5 a.jpg\nx 5 a.jpg\n", "line 4: it does not fit"),
        ("idx orig_idx orig_file\n0 5 000006.jpg\n", "found 1 different"),
        (b"idx orig_idx orig_file\n\x80 5 a.jpg\n", "line 2: it is no UTF-8 text"),
    ],
)
def test_a_malformed_index_map_is_refused(content, message, tmp_path):
    path = tmp_path / "image_list.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message):
        read_index_map(path)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
@pytest.mark.parametrize("read", [read_celeba_attributes, read_index_map, read_attribute_names])
def test_what_is_no_file_is_refused_and_not_waited_for(read, make, tmp_path):
    make(tmp_path / "list")
    with pytest.raises(ValueError, match="list is no regular file"):
        read(tmp_path / "list")
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["data256x256/00007.png", "00000.png", "29999.png"], [7, 0, 29_999]),
        (["data256x256/00007.jpg", "00001.jpg", "30000.jpg"], [6, 0, 29_999]),
        (["imgHQ00003.npy", "imgHQ00000.npy"], [3, 0]),
    ],
)
def test_image_numbers_count_from_zero_or_one(names, expected):
    np.testing.assert_array_equal(image_numbers(names), expected)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["face.png"], "holds no image number"),
        (["5.png", "6.png"], "these go from 5 to 6"),
        (["0.png", "30000.png"], "these go from 0 to 30000"),
        (["0.png", "00.png"], "the same number"),
    ],
)
def test_file_names_that_cannot_be_matched_are_refused(names, message):
    with pytest.raises(ValueError, match=message):
        image_numbers(names)


def test_load_dataset_gives_each_image_its_attributes(annotations, tmp_path):
    directory, expected = annotations
    numbers = np.array([4, 0, 9, 7, 1, 8, 3, 6, 2, 5] * 2) + np.repeat([0, 10], 10)
    images = random_images(20, 256, 256, 3)
    file_names = np.array([f"data256x256/{number:05d}.png" for number in numbers])
    write_tfds(
        tmp_path,
        "celeb_a_hq",
        {"train": {"image": images, "image/filename": file_names}},
        config="256",
    )
    for split, rows in (("test", slice(0, 2)), ("train", slice(2, 14))):
        source = load_dataset(
            "celeba_hq",
            split,
            data_dir=tmp_path,
            image_size=32,
            max_images=12,
            attributes_file=directory / "list_attr_celeba.txt",
        )
        assert source.attribute_names == tuple(NAMES)
        np.testing.assert_array_equal(source.attributes, expected[numbers[rows]])
        blocks = images[rows].reshape(-1, 32, 8, 32, 8, 3).mean(axis=(2, 4))
        np.testing.assert_array_equal(source.images, np.floor(blocks))
