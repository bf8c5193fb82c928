"""The picture of what masked convolutions see: the masks, and what two of reversed orders add up to."""

import numpy as np
import pytest

from reproductions.macow.receptive_field import draw, receptive_field

# Around the pixel itself, of a 3x3 kernel (paper) and a 2x5 one (release).
BEFORE = np.array([[1, 1, 1], [1, 1, 0], [0, 0, 0]], bool)
ABOVE = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]], bool)


@pytest.mark.parametrize(
    ("variant", "order", "expected"),
    [
        ("paper", "A", BEFORE),
        ("paper", "B", BEFORE[::-1, ::-1]),
        ("release", "A", ABOVE),
        ("release", "B", ABOVE[::-1, ::-1]),
        ("release", "C", ABOVE.T),
        ("release", "D", ABOVE.T[::-1, ::-1]),
    ],
)
def test_one_masked_convolution_sees_its_mask(variant, order, expected):
    padding = (7 - len(expected)) // 2
    np.testing.assert_array_equal(receptive_field(variant, order, side=7), np.pad(expected, padding))


@pytest.mark.parametrize("variant", ["paper", "release"])
def test_two_reversed_orders_see_both_sides(variant):
    first, second, both = (receptive_field(variant, orders, side=11) for orders in ("A", "B", "AB"))
    assert np.all(both[first | second]) and both.sum() > (first | second).sum()


@pytest.mark.slow
def test_draws(tmp_path):
    draw("paper", tmp_path / "picture.png", side=9)
    assert (tmp_path / "picture.png").stat().st_size > 1000
