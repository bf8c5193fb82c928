import numpy as np
import pytest

from tests.data_pipeline.stored_sets import random_images, write_pngs
from tfflows.data import DatasetNotFoundError, OnDemandSource, folders, load_dataset


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
    write_pngs(tmp_path / "mine" / "train", random_images(2, 4, 4, 3))
    assert load_dataset("folder:mine", "train", data_dir=tmp_path).num_images == 2


def test_a_large_folder_is_read_on_demand(tmp_path, monkeypatch):
    images = random_images(4, 10, 10, 3)
    write_pngs(tmp_path / "train", images)
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


def test_a_class_that_training_lacks_is_refused(tmp_path):
    for name in ("train/a", "train/b", "test/c"):
        write_pngs(tmp_path / name, random_images(1, 4, 4, 3))
    with pytest.raises(ValueError, match="'c', which is no class of train"):
        load_dataset(f"folder:{tmp_path}", "test")


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_empty_or_missing_split_says_how_to_prepare_it(split, tmp_path):
    (tmp_path / "train").mkdir()
    with pytest.raises(DatasetNotFoundError, match=f"{tmp_path}/{split}"):
        load_dataset(f"folder:{tmp_path}", split)
