import numpy as np
import pytest
from sklearn.datasets import load_digits, load_sample_images

from tfflows.data import load_dataset


@pytest.fixture(scope="module")
def halved_photographs():
    pictures = np.stack(load_sample_images().images)[:, :426].astype(np.int64)
    blocks = pictures.reshape(2, 213, 2, 320, 2, 3).sum(axis=(2, 4))
    return ((blocks + 2) // 4).astype(np.uint8)


def patches_at(picture, columns):
    return np.stack([picture[y : y + 32, x : x + 32] for y in range(0, 213 - 31, 8) for x in columns])


def test_photographs_train_and_test_lie_apart(halved_photographs):
    train = load_dataset("photographs", "train")
    test = load_dataset("photographs", "test")
    for label, picture in enumerate(halved_photographs):
        # Training patches end 16 columns before the test band begins at column 256.
        expected = patches_at(picture, range(0, 256 - 16 - 31, 8))
        np.testing.assert_array_equal(train.images[train.labels == label], expected)
        expected = patches_at(picture, range(256, 320 - 31, 8))
        np.testing.assert_array_equal(test.images[test.labels == label], expected)
    assert (train.num_images, test.num_images) == (1242, 230)


def test_photographs_refuse_a_leaking_holdout():
    with pytest.raises(ValueError, match="overlapping patches"):
        load_dataset("photographs", "train", holdout=100)


def test_digits_keep_their_grey_levels_down_to_five_bits():
    train, test = load_dataset("digits", "train"), load_dataset("digits", "test")
    images = np.concatenate([train.images, test.images])
    original = load_digits()
    np.testing.assert_array_equal(images[..., 0], original.images * 15)
    np.testing.assert_array_equal(np.concatenate([train.labels, test.labels]), original.target)
    assert len(np.unique(images // 2**3)) == 17
    assert len(np.unique(images // 2**4)) < 17


def test_holdout_takes_the_last_training_images():
    everything = load_dataset("digits", "train")
    train = load_dataset("digits", "train", holdout=100)
    holdout = load_dataset("digits", "holdout", holdout=100)
    test = load_dataset("digits", "test", holdout=100)
    np.testing.assert_array_equal(train.images, everything.images[:-100])
    np.testing.assert_array_equal(holdout.images, everything.images[-100:])
    assert test.num_images == 360


def test_max_images_takes_the_first():
    source = load_dataset("digits", "train", max_images=10)
    assert source.num_images == 10
    np.testing.assert_array_equal(source.images, load_dataset("digits", "train").images[:10])
    assert source.labels_available and source.labels.dtype == np.int32
