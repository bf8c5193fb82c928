"""Damaged data sets: one sentence that names the file."""

import io
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.data_pipeline.stored_sets import random_images, write_lmdb, write_pngs, write_tfds
from tfflows import data
from tfflows.data import folders, lsun, tfds_sets
from tfflows.data.sources import RecordFile, find_damage, reading


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("tfds")
    images = random_images(6, 32, 32, 3)
    arrays = {"image": images, "label": np.arange(6)}
    write_tfds(data_dir, "cifar10", {"train": arrays, "test": arrays})
    return data_dir


def damaged_copy(stored, tmp_path, harm):
    shutil.copytree(stored, tmp_path / "data [1]")
    (shard,) = (tmp_path / "data [1]").rglob("*-test.tfrecord-00000*")
    harm(shard)
    return tmp_path / "data [1]", shard


def cut(path):
    path.write_bytes(path.read_bytes()[:-700])


def cut_between_records(path):
    """As many bytes as the first record has."""
    content = path.read_bytes()
    path.write_bytes(content[: int.from_bytes(content[:8], "little") + 16])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "harm", [os.remove, cut, cut_between_records, flip], ids=["missing", "cut", "short", "flipped"]
)
@pytest.mark.parametrize("in_memory", [True, False], ids=["memory", "stream"])
def test_a_damaged_shard_is_named(stored, tmp_path, monkeypatch, harm, in_memory):
    data_dir, shard = damaged_copy(stored, tmp_path, harm)
    if not in_memory:
        monkeypatch.setattr(tfds_sets, "IN_MEMORY_BYTES", 0)
    with pytest.raises(ValueError, match=r"tfrecord-00000\S* (is|cannot)") as caught:
        read_all(data_dir)
    assert str(shard) in str(caught.value) and "\n" not in str(caught.value)


def read_all(data_dir):
    source = data.load_dataset("cifar10", "test", data_dir=data_dir, max_images=6)
    return list(reading(source, data.evaluation_batches(source, global_batch_size=2)))


def test_a_whole_shard_has_no_damage(stored):
    (shard,) = stored.rglob("*-test.tfrecord-00000*")
    assert find_damage(RecordFile(str(shard), 2, 4)) is None
    assert "has 6 records of 7" in find_damage(RecordFile(str(shard), 3, 4))


def test_a_garbled_description_is_named(stored, tmp_path):
    data_dir, _ = damaged_copy(
        stored, tmp_path, lambda path: path.with_name("dataset_info.json").write_text("[" * 9999)
    )
    with pytest.raises(ValueError, match=r"description of the data set 'cifar10' in .* cannot be read"):
        data.load_dataset("cifar10", "test", data_dir=data_dir, max_images=6)


def test_images_read_on_demand_are_named(tmp_path, monkeypatch):
    write_pngs(tmp_path / "train", random_images(4, 10, 10, 3))
    monkeypatch.setattr(folders, "IN_MEMORY_BYTES", 100)
    source = data.load_dataset(f"folder:{tmp_path}", "train")
    (tmp_path / "train" / "00002.png").write_bytes(b"a text")
    with pytest.raises(ValueError, match=r"00002\.png cannot be read as an image: .*\.$") as caught:
        list(reading(source, data.evaluation_batches(source, global_batch_size=2)))
    assert "\n" not in str(caught.value)


@pytest.fixture
def archive(tmp_path):
    images = {b"%040x" % number: random_images(1, 100, 100, 3, seed=number)[0] for number in range(4)}
    directory = tmp_path / "church_outdoor_train_lmdb"
    write_lmdb(directory, images)
    return directory


def load(archive):
    return data.load_dataset("lsun_church", "train", data_dir=archive.parent, max_images=4)


@pytest.mark.parametrize("size", [0, 100, 4096, 4200, 8192, 20_000])
def test_a_truncated_archive_is_refused_before_it_is_mapped(archive, size):
    file = archive / "data.mdb"
    os.truncate(file, size)
    with pytest.raises(ValueError, match=r"data\.mdb is (cut off|no LMDB archive)"):
        load(archive)


@pytest.mark.parametrize("content", [b"a text" * 9000, bytes(99_999)], ids=["text", "zeros"])
def test_what_is_no_archive_is_refused(archive, content):
    (archive / "data.mdb").write_bytes(content)
    with pytest.raises(ValueError, match=r"data\.mdb is no LMDB archive"):
        load(archive)


def test_a_whole_archive_has_the_size_that_it_says(archive):
    lsun._check_size(archive / "data.mdb")
    assert load(archive).num_images == 4


def test_a_truncated_value_is_named_by_its_key(tmp_path):
    import lmdb

    directory = tmp_path / "church_outdoor_train_lmdb"
    write_lmdb(directory, {b"first": random_images(1, 100, 100, 3)[0]})
    environment = lmdb.open(str(directory), map_size=2**24)
    with environment.begin(write=True) as transaction:
        transaction.put(b"second", transaction.get(b"first")[:5000])
    environment.close()
    source = load(directory)
    with pytest.raises(ValueError, match=r"The value of 'second' in .*lmdb cannot be read as an image"):
        list(reading(source, data.evaluation_batches(source, global_batch_size=2)))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_values_become_three_channels(mode):
    file = io.BytesIO()
    image = Image.new("L", (5, 4), 77).convert(mode)
    image.save(file, "jpeg", quality=95)
    np.testing.assert_array_equal(lsun.decode(file.getvalue()), np.asarray(image.convert("RGB")))
