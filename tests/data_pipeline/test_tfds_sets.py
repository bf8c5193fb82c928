import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tests.data_pipeline.stored_sets import random_images, write_tfds
from tfflows import data
from tfflows.data import tfds_sets


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("tfds")
    cifar10 = random_images(23, 32, 32, 3)
    labels = np.arange(23) % 10
    write_tfds(
        data_dir,
        "cifar10",
        {
            "train": {"image": cifar10, "label": labels},
            "test": {"image": cifar10[:7], "label": labels[:7]},
        },
    )
    imagenet = random_images(40, 64, 64, 3, seed=1)
    write_tfds(
        data_dir,
        "downsampled_imagenet",
        {"train": {"image": imagenet}, "validation": {"image": imagenet[:9]}},
        config="64x64",
    )
    return data_dir, cifar10, labels, imagenet


def test_cifar10(stored):
    data_dir, cifar10, labels, _ = stored
    source = data.load_dataset("cifar10", "train", data_dir=data_dir, max_images=20)
    np.testing.assert_array_equal(source.images, cifar10[:20])
    np.testing.assert_array_equal(source.labels, labels[:20])
    assert source.num_classes == 10 and source.labels.dtype == np.int32


def test_cifar10_16_is_averaged(stored):
    data_dir, cifar10, labels, _ = stored
    source = data.load_dataset("cifar10_16", "test", data_dir=data_dir, max_images=100)
    blocks = cifar10[:7].astype(int).reshape(7, 16, 2, 16, 2, 3).sum(axis=(2, 4))
    np.testing.assert_array_equal(source.images, (blocks + 2) // 4)
    np.testing.assert_array_equal(source.labels, labels[:7])


def test_downsampled_imagenet_test_is_its_validation(stored):
    data_dir, _, _, imagenet = stored
    source = data.load_dataset("imagenet64", "test", data_dir=data_dir, max_images=50)
    np.testing.assert_array_equal(source.images, imagenet[:9])
    assert not source.labels_available
    np.testing.assert_array_equal(source.labels, np.zeros(9))


@pytest.mark.parametrize(
    ("name", "split", "expected", "found"),
    [("cifar10", "train", "50,000", "23"), ("imagenet64", "test", "49,999", "9")],
)
def test_wrong_counts_are_refused(stored, name, split, expected, found):
    with pytest.raises(data.DatasetFingerprintError, match=f"expected {expected} images, found {found}"):
        data.load_dataset(name, split, data_dir=stored[0])


def test_images_of_another_size_are_refused(tmp_path):
    images = random_images(3, 16, 16, 3)
    write_tfds(tmp_path, "downsampled_imagenet", {"train": {"image": images}}, config="32x32")
    with pytest.raises(ValueError, match=r"must be stored as images of \(32, 32, 3\)"):
        data.load_dataset("imagenet32", "train", data_dir=tmp_path, max_images=3)


def test_a_missing_split_is_named(tmp_path):
    images = random_images(3, 32, 32, 3)
    write_tfds(tmp_path, "downsampled_imagenet", {"train": {"image": images}}, config="32x32")
    with pytest.raises(ValueError, match="no split 'validation'; it has: train"):
        data.load_dataset("imagenet32", "test", data_dir=tmp_path, max_images=3)


def test_holdout(stored):
    data_dir, cifar10, _, _ = stored
    arguments = dict(data_dir=data_dir, holdout=5, max_images=100)
    train = data.load_dataset("cifar10", "train", **arguments)
    holdout = data.load_dataset("cifar10", "holdout", **arguments)
    np.testing.assert_array_equal(train.images, cifar10[:18])
    np.testing.assert_array_equal(holdout.images, cifar10[18:])


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("cifar10", (32, 32, 3)),
        ("celeba_hq", (256, 256, 3)),
        ("celeba64", (64, 64, 3)),
        ("celeba128", (128, 128, 3)),
        ("mnist", (32, 32, 3)),
    ],
)
def test_mocked_sets(name, shape, tmp_path):
    with tfds.testing.mock_data(num_examples=6):
        source = data.load_dataset(name, "train", data_dir=tmp_path, max_images=5)
    assert source.images.shape == (5, *shape)


def test_mocked_mnist_is_padded_and_repeated(tmp_path):
    with tfds.testing.mock_data(num_examples=2):
        images = data.load_dataset("mnist", "train", data_dir=tmp_path, max_images=2).images
    assert images[:, 2:30, 2:30].any()
    assert not images[:, :2].any() and not images[:, :, 30:].any()
    np.testing.assert_array_equal(images[..., 0], images[..., 2])


def test_mocked_imagenet_of_odd_sizes_with_labels(tmp_path):
    with tfds.testing.mock_data(num_examples=3):
        source = data.load_dataset("imagenet32_labels", "test", data_dir=tmp_path, image_size=64, max_images=3)
    assert source.images.shape == (3, 64, 64, 3) and source.num_classes == 1000


def test_mocked_set_of_too_few_images_is_refused(tmp_path):
    message = "expected 10,000 images, found 6"
    with tfds.testing.mock_data(num_examples=6), pytest.raises(data.DatasetFingerprintError, match=message):
        data.load_dataset("cifar10", "test", data_dir=tmp_path)


class TestStreaming:
    """The same sets, too large for memory."""

    @pytest.fixture
    def sources(self, stored, monkeypatch):
        arguments = dict(split="train", data_dir=stored[0], max_images=21)
        in_memory = data.load_dataset("cifar10", **arguments)
        monkeypatch.setattr(tfds_sets, "IN_MEMORY_BYTES", 0)
        streamed = data.load_dataset("cifar10", **arguments)
        assert isinstance(streamed, data.RecordSource)
        return in_memory, streamed

    def test_evaluation_equals_the_one_in_memory(self, sources):
        in_memory, streamed = (
            list(data.evaluation_batches(source, global_batch_size=8, batch_size=4).as_numpy_iterator())
            for source in sources
        )
        assert len(in_memory) == len(streamed) == 6
        for ours, theirs in zip(in_memory, streamed, strict=True):
            for key in ("image", "label", "index", "mask"):
                np.testing.assert_array_equal(ours[key], theirs[key])

    def test_each_epoch_visits_every_image_once_in_another_order(self, sources):
        in_memory, streamed = sources
        batches = data.training_batches(streamed, global_batch_size=7, seed=3).take(6)
        images = np.concatenate([batch["image"] for batch in batches.as_numpy_iterator()])
        numbers = [int(np.flatnonzero(np.all(in_memory.images == image, axis=(1, 2, 3)))[0]) for image in images]
        assert sorted(numbers[:21]) == sorted(numbers[21:]) == list(range(21))
        assert numbers[:21] != numbers[21:] and numbers[:21] != list(range(21))

    @pytest.mark.parametrize("start_step", [1, 4, 9])
    def test_resuming_equals_skipping(self, sources, start_step):
        _, streamed = sources
        arguments = dict(global_batch_size=6, seed=3, augmentation="shift")
        whole = data.training_batches(streamed, **arguments).skip(start_step).take(3)
        resumed = data.training_batches(streamed, start_step=start_step, **arguments).take(3)
        assert_equal_batches(whole, resumed)

    def test_replicas_share_a_global_batch(self, sources):
        _, streamed = sources
        arguments = dict(global_batch_size=6, seed=3, augmentation="shift")
        whole = data.training_batches(streamed, **arguments).take(5).unbatch().batch(3)
        workers = [data.training_batches(streamed, first_row=row, num_rows=3, **arguments).take(5) for row in (0, 3)]
        assert_equal_batches(
            whole,
            tf.data.Dataset.choose_from_datasets(
                workers, tf.data.Dataset.from_tensor_slices(np.arange(10, dtype=np.int64) % 2)
            ),
        )

    def test_the_global_seed_changes_nothing(self, sources):
        _, streamed = sources
        tf.random.set_seed(1)
        first = list(data.training_batches(streamed, global_batch_size=6, seed=3).take(4))
        tf.random.set_seed(2)
        second = list(data.training_batches(streamed, global_batch_size=6, seed=3).take(4))
        for ours, theirs in zip(first, second, strict=True):
            np.testing.assert_array_equal(ours["image"], theirs["image"])


def assert_equal_batches(ours, theirs):
    ours, theirs = list(ours.as_numpy_iterator()), list(theirs.as_numpy_iterator())
    assert len(ours) == len(theirs) > 0
    for a, b in zip(ours, theirs, strict=True):
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])
