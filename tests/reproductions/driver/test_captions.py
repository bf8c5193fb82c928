"""What pictures of a run say, and how their files are called."""

import re
import types

import pytest

from reproductions.driver.pictures import number_in_name, numbers_in_name
from reproductions.driver.train import caption_of
from reproductions.flowpp.reproduction import FLOWPP


@pytest.mark.parametrize(
    ("dataset", "scale", "step", "shown", "expected"),
    [
        ("cifar10", "small", 12000, "", "Flow++ cifar10 (small), data set cifar10, step 12,000"),
        ("folder:/home/me/my photos/", "paper", 1, "more", "Flow++ cifar10, data set folder:my photos, step 1, more"),
        ("folder:photos", "paper", 0, "", "Flow++ cifar10, data set folder:photos, weights of a file"),
    ],
)
def test_a_caption_says_what_was_trained_wherever_the_data_are(dataset, scale, step, shown, expected):
    experiment = types.SimpleNamespace(name="cifar10", dataset=dataset, scale=scale)
    assert caption_of(types.SimpleNamespace(experiment=experiment, reproduction=FLOWPP), step, shown) == expected


def test_lists_of_numbers_in_names():
    assert numbers_in_name([0, 13, 8]) == "0_13_8"
    many = list(range(100))
    others = [many[::-1], [*many, 100], [0, 1, 3, *many[3:]], [*many[:50], 49, *many[51:]]]
    names = {numbers_in_name(numbers) for numbers in (many, *others)}
    assert len(names) == 5 and numbers_in_name(many) in names
    assert all(re.fullmatch(r"[0-9a-z_]{1,60}", name) for name in names)


@pytest.mark.parametrize(
    ("value", "expected"), [(1.0, "1"), (0.5, "0.5"), (2 / 3, "0.6666666666666666"), (1234567.0, "1234567.0")]
)
def test_numbers_in_names(value, expected):
    assert number_in_name(value) == expected
