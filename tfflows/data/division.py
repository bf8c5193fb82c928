"""How images that come without a test split are divided, and which images a split takes."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from tfflows.data.sources import stretch

# What people call the images by which a model is chosen.
VALIDATION = ("val", "valid", "validation", "dev")


def divide(names: Sequence[str], test_share: float) -> tuple[np.ndarray, np.ndarray]:
    """Divides images into training and test images.

    An image is a test image if its place in [0, 1), by a hash of its name, lies below `test_share`. It depends on nothing else,
    so images that are added later move no other one. Where chance would leave one of the two empty, the image nearest to the
    border goes there.

    Args:
      names: Names of the images, at least two.
      test_share: Expected share of test images, between 0 and 1.

    Returns:
      Positions of the training images and of the test images, each ascending and not empty.

    Raises:
      ValueError: If there are fewer than two images, or the share is not between 0 and 1.

    Example:
      >>> from tfflows.data.division import divide
      >>> train, test = divide([f"{number}.png" for number in range(1000)], test_share=0.1)
      >>> print(len(train), len(test))
      891 109
    """
    if not 0 < test_share < 1:
        raise ValueError(f"test_share must lie between 0 and 1, got {test_share}.")
    if len(names) < 2:
        raise ValueError(f"At least two images are needed, one to train on and one to test on, got {len(names)}.")
    places = np.array([_place(name) for name in names])
    test = places < test_share
    if not test.any():
        test[places.argmin()] = True
    if test.all():
        test[places.argmax()] = False
    return np.flatnonzero(~test), np.flatnonzero(test)


def hash_order(names: Sequence[str]) -> np.ndarray:
    """Positions of images in the order of the hashes of their names.

    Any stretch of it is a fair choice, whatever the order of the images is, such as by class. Images that are added later change
    nothing about the order of the others.

    Args:
      names: Names of the images.

    Example:
      >>> from tfflows.data.division import hash_order
      >>> names = [f"cats/{number}.png" for number in range(50)] + [f"dogs/{number}.png" for number in range(50)]
      >>> [names[position] for position in hash_order(names)[:4]]
      ['cats/1.png', 'dogs/9.png', 'dogs/6.png', 'cats/19.png']
    """
    return np.argsort([_place(name) for name in names], kind="stable")


def pool_of(split: str, pools: Mapping[str, object]) -> str:
    """Where a split's images are stored: 'train', 'test' or 'val'.

    Validation images that lie beside test images are what 'holdout' takes; alone, they are the test images.

    Args:
      split: 'train', 'test' or 'holdout'.
      pools: What there is, by name.

    Example:
      >>> from tfflows.data.division import pool_of
      >>> pool_of("test", {"train": ..., "val": ...}), pool_of("holdout", {"train": ..., "val": ..., "test": ...})
      ('val', 'val')
    """
    if split == "test":
        return "test" if "test" in pools else "val"
    return "val" if split == "holdout" and {"val", "test"} <= set(pools) else "train"


def cut(
    name: str, split: str, pools: Mapping[str, object], count: int, *, holdout: int | None, max_images: int | None
) -> tuple[int, int]:
    """The stretch of its pool that a split takes, of its images in whatever order they are given.

    Args:
      name: Name of the data set.
      split: 'train', 'test' or 'holdout'.
      pools: What there is, by name.
      count: Number of images in `pool_of(split, pools)`.
      holdout: Number of images to hold out: the first ones of the validation images if there are any beside test images,
        otherwise the last ones of the training images.
      max_images: Take only the first so many; None for all.

    Returns:
      First image and one past the last.

    Raises:
      ValueError: If `holdout` is more than there are, or leaves no training image.
    """
    if not {"val", "test"} <= set(pools):
        return stretch(name, split, 0, count, holdout=holdout, max_images=max_images)
    if split == "holdout" and holdout > count:
        raise ValueError(f"holdout={holdout} is more than the {count} validation images of {name!r}.")
    last = holdout if split == "holdout" else count
    return 0, last if max_images is None else min(last, max_images)


def _place(name):
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8], "big") / 2**64
