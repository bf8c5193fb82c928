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

    'train' leaves the last `holdout` images out, 'holdout' is these, 'test' is untouched; then the
    first `max_images` are kept.

    Returns:
      First image and one past the last.

    Raises:
      ValueError: `holdout` leaves no training image.
    """
    if holdout and split != "test":
        if holdout >= last - first:
            raise ValueError(f"holdout={holdout} leaves no training image of the {last - first} in {name!r}")
        middle = last - holdout
        first, last = (middle, last) if split == "holdout" else (first, middle)
    if max_images is not None:
        last = min(last, first + max_images)
    return first, last
