import sys

import numpy as np
import pytest
from PIL import Image

from tests.data_pipeline.stored_sets import random_images, write_lmdb
from tfflows import data
from tfflows.data import lsun, preprocessing


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """LSUN church_outdoor in small; keys written out of order."""
    data_dir = tmp_path_factory.mktemp("data")
    images = {}
    for number, (rows, columns) in enumerate([(110, 150), (160, 104), (100, 100), (97, 101)]):
        images[b"%040x" % (0xF0 - number)] = random_images(1, rows, columns, 3, seed=number)[0]
    write_lmdb(data_dir / "lsun" / "church_outdoor_train_lmdb", images)
    write_lmdb(data_dir / "church_outdoor_val_lmdb", dict(list(images.items())[:3]))
    return data_dir, [images[key] for key in sorted(images)]


def evaluation_images(source, **kwargs):
    batches = list(data.evaluation_batches(source, **kwargs).as_numpy_iterator())
    images = np.concatenate([batch["image"] for batch in batches])
    mask = np.concatenate([batch["mask"] for batch in batches])
    return images[mask]


def test_images_come_sorted_by_key_reduced_and_cropped(archive):
    data_dir, images = archive
    source = data.load_dataset("lsun_church", "train", data_dir=data_dir, max_images=4)
    assert source.num_images == 4 and source.image_shape == (64, 64, 3)
    obtained = evaluation_images(source, global_batch_size=3, seed=1)
    for image, crop in zip(images, obtained, strict=True):
        reduced = preprocessing.reduce_short_side(image)
        windows = np.lib.stride_tricks.sliding_window_view(reduced, crop.shape)
        assert np.any(np.all(windows == crop, axis=(-3, -2, -1)))


def test_test_crops_depend_on_seed_and_position_alone(archive):
    data_dir, _ = archive
    source = data.load_dataset("lsun_church", "test", data_dir=data_dir, max_images=3)
    first = evaluation_images(source, global_batch_size=2, seed=5)
    np.testing.assert_array_equal(first, evaluation_images(source, global_batch_size=3, seed=5))
    assert np.any(first != evaluation_images(source, global_batch_size=2, seed=6))


def test_training_crops_change_and_do_not_depend_on_replicas(archive):
    data_dir, _ = archive
    source = data.load_dataset("lsun_church", "train", data_dir=data_dir, max_images=1)
    whole = data.training_batches(source, global_batch_size=4, seed=0).take(2)
    halves = data.training_batches(source, global_batch_size=4, seed=0, batch_size=2).take(4)
    whole = np.concatenate([batch["image"] for batch in whole.as_numpy_iterator()])
    halves = np.concatenate([batch["image"] for batch in halves.as_numpy_iterator()])
    np.testing.assert_array_equal(whole, halves)
    assert len(np.unique(whole.reshape(8, -1), axis=0)) > 4  # one image, many crops


@pytest.mark.parametrize("size", [96, 128])
def test_square_sets_follow_the_converter(archive, size):
    data_dir, images = archive
    source = data.load_dataset(f"lsun_church_{size}", "train", data_dir=data_dir, max_images=4)
    obtained = evaluation_images(source, global_batch_size=4)
    for image, ours in zip(images, obtained, strict=True):
        rows, columns, _ = image.shape
        side = min(rows, columns)
        top, left = (rows - side) // 2, (columns - side) // 2
        square = Image.fromarray(image[top : top + side, left : left + side])
        np.testing.assert_array_equal(ours, square.resize((size, size), Image.LANCZOS))


def test_wrong_count_is_refused(archive):
    data_dir, _ = archive
    with pytest.raises(data.DatasetFingerprintError, match="expected 126,227 images, found 4"):
        data.load_dataset("lsun_church", "train", data_dir=data_dir)


def test_missing_package_is_named(archive, monkeypatch):
    data_dir, _ = archive
    monkeypatch.setitem(sys.modules, "lmdb", None)
    monkeypatch.setattr(lsun, "_open_archives", {})
    with pytest.raises(ImportError, match=r"pip install 'tfflows\[lsun\]'"):
        data.load_dataset("lsun_church", "train", data_dir=data_dir, max_images=4)
