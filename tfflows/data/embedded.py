"""The data sets that come with scikit-learn: no download, for demonstrations and fast tests."""

import numpy as np

from tfflows.data.preprocessing import average_2x2
from tfflows.data.registry import DatasetSpec
from tfflows.data.sources import ArraySource, DatasetFingerprintError, stored_name, stretch
from tfflows.extras import require

PATCH_SIZE = 32
PATCH_STRIDE = 8
TEST_BAND_START = 256
"""First column of the held-out band at the right edge of each halved photograph."""
BAND_GAP = 16
"""Columns between the last training patch and the band: neither side sees them."""

DIGITS_TEST_IMAGES = 360
DIGITS_GREY_STEP = 15


def load(spec: DatasetSpec, split: str, max_images: int | None, holdout: int | None) -> ArraySource:
    """Opens a split; see `load_dataset`."""
    if holdout and spec.name == "photographs":
        raise ValueError(
            "photographs are overlapping patches, so holding some out would leak them; use the split 'test'."
        )
    base = stored_name(split)
    read = {"photographs": photographs, "digits": digits}[spec.name]
    images, labels = read(base)
    if len(images) != spec.num_images[base]:
        raise DatasetFingerprintError(spec.name, base, spec.num_images[base], len(images))
    first, last = stretch(spec.name, split, 0, len(images), holdout=holdout, max_images=max_images)
    images, labels = images[first:last], labels[first:last]
    return ArraySource(
        name=spec.name,
        split=split,
        num_images=len(images),
        image_shape=spec.image_shape,
        num_classes=spec.num_classes,
        class_names=spec.class_names,
        images=np.ascontiguousarray(images),
        labels=labels,
    )


def photographs(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Patches of scikit-learn's two sample photographs (China, a flower; both CC BY 2.0).

    Each 427x640 photograph is halved by 2x2 averages, which removes the blocks of its JPEG coding, and cut into 32x32 patches at
    stride 8. Test patches lie in the rightmost 64 columns, training patches to the left of a gap of 16 columns before them:
    overlapping patches drawn at random would leak the test set.

    Returns:
      uint8 images `[N, 32, 32, 3]` and int32 labels `[N]` (0: China, 1: flower).

    Raises:
      MissingExtraError: If scikit-learn or Pillow is not installed.
    """
    require("PIL", "reproductions")  # scikit-learn reads JPEG with it
    pictures = require("sklearn.datasets", "reproductions").load_sample_images().images
    images, labels = [], []
    for label, picture in enumerate(pictures):
        even = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]
        halved = average_2x2(even).numpy()
        patches = np.lib.stride_tricks.sliding_window_view(halved, (PATCH_SIZE, PATCH_SIZE), (0, 1))
        patches = patches.transpose(0, 1, 3, 4, 2)[::PATCH_STRIDE, ::PATCH_STRIDE]
        start = np.arange(patches.shape[1]) * PATCH_STRIDE
        is_test, is_train = start >= TEST_BAND_START, start + PATCH_SIZE <= TEST_BAND_START - BAND_GAP
        chosen = is_test if split == "test" else is_train
        selected = patches[:, chosen].reshape(-1, PATCH_SIZE, PATCH_SIZE, 3)
        images.append(selected)
        labels.append(np.full([len(selected)], label, np.int32))
    return np.ascontiguousarray(np.concatenate(images)), np.concatenate(labels)


def digits(split: str) -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's 1,797 handwritten digits; the last 360 are the test split.

    Grey values v in 0..16 are stored as 15 v in 0..240, so that `num_bits` from 5 to 8 keeps all 17 apart (floor(15 v / 8) is
    one-to-one) and fewer bits merge some.

    Returns:
      uint8 images `[N, 8, 8, 1]` and int32 labels `[N]`.

    Raises:
      MissingExtraError: If scikit-learn is not installed.

    References:
      Alpaydin & Kaynak 1998, https://doi.org/10.24432/C50P49.
    """
    bunch = require("sklearn.datasets", "reproductions").load_digits()
    images = (bunch.images[..., np.newaxis] * DIGITS_GREY_STEP).astype(np.uint8)
    labels = bunch.target.astype(np.int32)
    if split == "test":
        return images[-DIGITS_TEST_IMAGES:], labels[-DIGITS_TEST_IMAGES:]
    return images[:-DIGITS_TEST_IMAGES], labels[:-DIGITS_TEST_IMAGES]
