"""`tfds:NAME[:CONFIG]`."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tests.data_pipeline.stored_sets import random_images, write_tfds
from tfflows.data import (
    DatasetNotFoundError,
    RecordSource,
    any_tfds,
    evaluation_batches,
    load_dataset,
    stored_image_shape,
    tfds_sets,
)
from tfflows.data.preprocessing import resize

IMAGES = random_images(20, 8, 6, 3)
LABELS = np.arange(20) % 4


def arrays(first, last):
    return {"image": IMAGES[first:last], "label": LABELS[first:last]}


@pytest.mark.parametrize("test", ["test", "validation"])
def test_the_splits_of_a_prepared_set(tmp_path, test):
    write_tfds(tmp_path, "mine", {"train": arrays(0, 15), test: arrays(15, 20)})
    source = load_dataset("tfds:mine", "test", data_dir=tmp_path)
    np.testing.assert_array_equal(source.images, IMAGES[15:])
    np.testing.assert_array_equal(source.labels, LABELS[15:])
    assert source.num_classes == 4 and source.class_names == ("0", "1", "2", "3")
    assert stored_image_shape("tfds:mine", tmp_path) == (8, 6, 3)
    assert load_dataset("tfds:mine", "train", data_dir=tmp_path, holdout=5).num_images == 10


def test_a_configuration_without_a_test_split(tmp_path):
    write_tfds(tmp_path, "mine", {"train": {"image": IMAGES}}, config="large")
    train, test = (
        load_dataset("tfds:mine:large", split, data_dir=tmp_path, test_share=0.25) for split in ("train", "test")
    )
    np.testing.assert_array_equal(train.images, IMAGES[:15])
    np.testing.assert_array_equal(test.images, IMAGES[15:])
    assert not test.labels_available


def test_images_are_resized_also_where_they_are_streamed(tmp_path, monkeypatch):
    write_tfds(tmp_path, "mine", {"train": arrays(0, 15), "test": arrays(15, 20)})
    expected = resize(IMAGES[15:], 4, "fit")
    for limit, kind in ((2**30, "ArraySource"), (10, "RecordSource")):
        monkeypatch.setattr(tfds_sets, "IN_MEMORY_BYTES", limit)
        source = load_dataset("tfds:mine", "test", data_dir=tmp_path, image_size=4, resize="fit")
        assert type(source).__name__ == kind
        batch = next(iter(evaluation_batches(source, global_batch_size=5)))
        np.testing.assert_array_equal(batch["image"], expected)
        np.testing.assert_array_equal(batch["label"], LABELS[15:])
    assert isinstance(source, RecordSource) and "each whole image is reduced to 4x4" in source.report()


def test_sets_that_only_tfds_knows():
    with tfds.testing.mock_data(num_examples=6):
        shape = stored_image_shape("tfds:stl10")
        source = load_dataset("tfds:stl10", "test", image_size=48)
    assert shape == (96, 96, 3) and source.images.shape == (6, 48, 48, 3) and source.num_classes == 10


def test_what_cannot_be_taken_is_refused(tmp_path, monkeypatch):
    with pytest.raises(DatasetNotFoundError, match="tfds build mine"):
        load_dataset("tfds:mine", "train", data_dir=tmp_path)
    write_tfds(tmp_path, "mine", {"train": arrays(0, 15)})
    with pytest.raises(ValueError, match="have 8x6 pixels, too few for 7"):
        load_dataset("tfds:mine", "train", data_dir=tmp_path, image_size=7)
    monkeypatch.setattr(any_tfds, "_stored_shape", lambda *_: (None, None, 3))  # as if sizes differed after many images
    with pytest.raises(
        ValueError, match=r"cannot be read: tfds:mine has images of fewer pixels than 7; give a smaller image size.$"
    ):
        load_dataset("tfds:mine", "train", data_dir=tmp_path, image_size=7)
    monkeypatch.undo()
    write_tfds(tmp_path, "words", {"train": {"text": np.array(["a", "b"])}})
    with pytest.raises(ValueError, match="no images; its features are text"):
        load_dataset("tfds:words", "train", data_dir=tmp_path)
    write_tfds(tmp_path, "late", {"unsupervised": arrays(0, 15)})
    with pytest.raises(ValueError, match="no split 'train'; it has unsupervised"):
        load_dataset("tfds:late", "train", data_dir=tmp_path)
