"""What can go wrong with a data set, as exceptions that say what to do."""


class DatasetNotFoundError(FileNotFoundError):
    """A known data set that is not on this machine: says where it was looked for and how to prepare
    it.
    """

    def __init__(self, name: str, looked_in, how_to_prepare: str):
        if not isinstance(looked_in, (list, tuple)):
            looked_in = [looked_in]
        places = "\n".join(f"    {place}" for place in looked_in)
        super().__init__(
            f"data set {name!r} was not found. Looked in:\n{places}\n"
            f"To prepare it: {how_to_prepare}\n"
            "If it is prepared elsewhere, give that directory as --data_dir (data_dir=...)."
        )
        self.name = name
        self.looked_in = tuple(str(place) for place in looked_in)


class DatasetFingerprintError(ValueError):
    """A data set with another number of images than the published one: its results would not be
    comparable.
    """

    def __init__(self, name: str, split: str, expected: int, found: int, note: str = ""):
        super().__init__(
            f"data set {name!r}, split {split!r}: expected {expected:,} images, found {found:,}. "
            "This is not the data set of the published numbers"
            + (f" ({note})" if note else "")
            + ". Prepare the right one, or take a subset knowingly with max_images."
        )
        self.expected = expected
        self.found = found
