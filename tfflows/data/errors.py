"""What can go wrong with a data set, as exceptions that say what to do."""

import os
from collections.abc import Sequence


class DatasetNotFoundError(FileNotFoundError):
    """A known data set is not on this machine; the message says where it was looked for and how to prepare it."""

    def __init__(self, name: str, looked_in: str | os.PathLike | Sequence, how_to_prepare: str) -> None:
        if not isinstance(looked_in, (list, tuple)):
            looked_in = [looked_in]
        places = "\n".join(f"    {place}" for place in looked_in)
        super().__init__(
            f"The data set {name!r} was not found. Looked in:\n{places}\n"
            f"To prepare it: {how_to_prepare}\n"
            "If it is prepared elsewhere, give that directory as data_dir."
        )
        self.name = name
        self.looked_in = tuple(str(place) for place in looked_in)


class DatasetFingerprintError(ValueError):
    """A data set has another number of images than the published one, so its results would not be comparable."""

    def __init__(self, name: str, split: str, expected: int, found: int, note: str = "") -> None:
        super().__init__(
            f"Data set {name!r}, split {split!r}: expected {expected:,} images, found {found:,}. "
            "This is not the data set of the published results"
            + (f" ({note})" if note else "")
            + ". Prepare the right one, or take a subset on purpose with max_images."
        )
        self.expected = expected
        self.found = found
