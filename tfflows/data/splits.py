"""Which stretch of the stored images makes a split."""

SPLITS = ("train", "test", "holdout")


def stored_name(split: str) -> str:
    """The stored split that a split is cut from: 'holdout' lies in 'train'."""
    return "train" if split == "holdout" else split


def stretch(
    name: str,
    split: str,
    first: int,
    last: int,
    *,
    holdout: int | None,
    max_images: int | None,
) -> tuple[int, int]:
    """Cuts a split out of the stored images `first` to `last - 1`.

    'train' leaves out the last `holdout` images, 'holdout' is those, and 'test' is untouched; then the first `max_images` are
    kept.

    Returns:
      First image and one past the last.

    Raises:
      ValueError: If `holdout` leaves no training image.

    Example:
      >>> from tfflows.data.splits import stretch
      >>> for split in ("train", "holdout"):
      ...     print(split, stretch("digits", split, 0, 100, holdout=10, max_images=None))
      train (0, 90)
      holdout (90, 100)
    """
    if holdout and split != "test":
        if holdout >= last - first:
            raise ValueError(f"holdout={holdout} leaves none of the {last - first} training images of {name!r}.")
        middle = last - holdout
        first, last = (middle, last) if split == "holdout" else (first, middle)
    if max_images is not None:
        last = min(last, first + max_images)
    return first, last
