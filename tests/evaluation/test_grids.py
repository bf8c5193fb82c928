import numpy as np
import pytest
import tensorflow as tf

from tests.reproductions.test_missing_extras import hide
from tfflows.evaluation.grids import (
    BACKGROUND,
    FRAME,
    captioned_grid,
    check_captions,
    enlarged,
    enlargement,
    image_grid,
)
from tfflows.extras import MissingExtraError


def numbered_images(count, channels, height=3, width=4):
    """Image i is filled with the value i."""
    return np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], [count, height, width, channels])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("padding", [0, 2])
def test_image_i_is_in_row_i_over_columns(channels, padding):
    grid = image_grid(numbered_images(5, channels), num_columns=3, padding=padding)
    assert grid.dtype == np.uint8
    assert grid.shape == (2 * (3 + padding) + padding, 3 * (4 + padding) + padding, channels)
    expected = np.full(grid.shape, BACKGROUND, np.uint8)
    for number in range(5):
        top = padding + (number // 3) * (3 + padding)
        left = padding + (number % 3) * (4 + padding)
        expected[top : top + 3, left : left + 4] = number
    np.testing.assert_array_equal(grid, expected)


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (4, 2), (5, 3), (9, 3), (10, 4)])
def test_is_nearly_square_by_default(count, columns):
    assert image_grid(numbered_images(count, 1), padding=0).shape[1] == 4 * columns


def test_takes_tensors():
    images = numbered_images(3, 3)
    np.testing.assert_array_equal(image_grid(tf.constant(images)), image_grid(images))


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (np.zeros([3, 4, 1], np.uint8), {}, r"shape \[3, 4, 1\]"),
        (np.zeros([2, 3, 4, 2], np.uint8), {}, r"shape \[2, 3, 4, 2\]"),
        (np.zeros([0, 3, 4, 1], np.uint8), {}, r"shape \[0, 3, 4, 1\]"),
        (np.zeros([2, 3, 4, 1], np.float32), {}, "uint8 .* got float32"),
        (np.zeros([2, 3, 4, 1], np.uint8), {"num_columns": 0}, "num_columns .* got 0"),
        (np.zeros([2, 3, 4, 1], np.uint8), {"padding": -1}, "padding .* got -1"),
    ],
)
def test_refuses_what_is_no_batch_of_images(images, options, message):
    with pytest.raises(ValueError, match=message):
        image_grid(images, **options)


def noise(count, height=8, width=8, channels=3):
    return np.random.default_rng(0).integers(0, 224, [count, height, width, channels], dtype=np.uint8)


def test_enlarged_pixels_are_squares():
    images = noise(2, 3, 4)
    large = enlarged(images, 3)
    assert large.shape == (2, 9, 12, 3)
    for down in range(3):
        for right in range(3):
            np.testing.assert_array_equal(large[:, down::3, right::3], images)
    for bad, message in ((0, "at least 1, got 0"), (-2, "got -2")):
        with pytest.raises(ValueError, match=message):
            enlarged(images, bad)
    with pytest.raises(ValueError, match=r"\[..., H, W, C\], got \[4, 3\]"):
        enlarged(images[0, 0], 2)


@pytest.mark.parametrize("size", [8, 32, 64, 256])
@pytest.mark.parametrize(("columns", "rows"), [(1, 1), (1, 30), (3, 8), (8, 8), (16, 4)])
def test_pictures_are_as_wide_as_a_page(size, columns, rows):
    width, height = columns * size, rows * size
    factor = enlargement(width, height)
    assert factor == 1 or (factor * width < 1200 and factor * height <= 1200)
    if factor * width < 600:  # only where a greater factor makes it too high
        assert (factor + 1) * height > 1200


def test_without_texts_it_is_the_grid_of_enlarged_images():
    images = noise(5)
    picture, plain = captioned_grid(images), image_grid(enlarged(images, 25), padding=4)
    np.testing.assert_array_equal(picture == plain, picture != FRAME)
    assert (picture[208:, 412:] == BACKGROUND).all()  # an empty cell


ROWS, COLUMNS = ["cat", "ship"], ["0", "0.5", "1"]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("texts", "above", "beside"),
    [
        ({"caption": "Glow"}, False, False),
        ({"column_names": COLUMNS}, True, False),
        ({"row_names": ROWS}, False, True),
        ({"caption": "Glow", "row_names": ROWS, "column_names": COLUMNS, "corner": "alpha"}, True, True),
    ],
    ids=["caption", "columns", "rows", "all"],
)
def test_texts_stand_beside_the_grid(texts, above, beside, channels):
    images = noise(6, channels=channels)
    picture, grid = captioned_grid(images, 3, **texts), captioned_grid(images, 3)
    (top, left), (height, width, _) = place_of(grid, picture), grid.shape
    strips = picture[:top], picture[top : top + height, :left], picture[top + height :]
    for strip, wanted in zip(strips, (above, beside, "caption" in texts), strict=True):
        assert (strip < 128).any() == wanted
        assert not wanted or ((strip == BACKGROUND).mean() > 0.5 and is_framed(strip))
    assert picture.shape[1] == left + width
    np.testing.assert_array_equal(picture, captioned_grid(images, 3, **texts))


def place_of(grid, picture):
    """Row and column of a picture in which a grid begins."""
    height, width, _ = grid.shape
    start = grid[4, :40, 0]  # of the first tile
    windows = np.lib.stride_tricks.sliding_window_view(picture[..., 0], len(start), axis=1)
    found = [(top - 4, left) for top, left in np.argwhere((windows == start).all(axis=-1))]
    (place,) = [
        (top, left) for top, left in found if np.array_equal(picture[top : top + height, left : left + width], grid)
    ]
    return place


def is_framed(part):
    """Whether the outermost pixels of a picture hold no text."""
    return all((side >= FRAME).all() for side in (part[0], part[-1], part[:, 0], part[:, -1]))


LONG = "an extraordinarily long name, " * 40


@pytest.mark.parametrize(
    ("word", "count", "columns", "size"),
    [(LONG, 4, 2, 8), (LONG.replace(" ", "_"), 40, 1, 32), ("\u732b" * 300, 64, 16, 64)],
    ids=["words", "word", "strange"],
)
def test_long_texts_do_not_overflow(word, count, columns, size):
    rows = count // columns
    texts = {"caption": word, "row_names": [word] * rows, "column_names": [word] * columns, "corner": word}
    images = noise(count, size, size)
    picture, grid = captioned_grid(images, columns, **texts), captioned_grid(images, columns)
    top, left = place_of(grid, picture)
    (height, width, _), num_texts = grid.shape, 0
    assert top < 60 and left < 0.3 * max(width, 600) and picture.shape[0] - height - top < 150
    assert picture.shape[1] == max(left + width, 400) and is_framed(picture)
    for strip in (picture[:top], picture[top : top + height, :left], picture[top + height :]):
        num_texts += (strip < 128).any()
    assert num_texts == 3


def test_names_of_low_rows_do_not_touch():
    images = noise(120)
    picture, grid = captioned_grid(images, 1, row_names=["jpq"] * 120), captioned_grid(images, 1)
    top, left = place_of(grid, picture)
    names = picture[top + 4 :, :left].reshape(120, 12, left, 3)
    assert top == 0 and (names[0] < 200).any()
    np.testing.assert_array_equal(names, np.repeat(names[:1], 120, axis=0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"row_names": ["a"]}, "row_names needs a text for each row of 2, got 1"),
        ({"column_names": ["a"]}, "column_names needs a text for each column of 3, got 1"),
    ],
)
def test_a_name_for_each(options, message):
    with pytest.raises(ValueError, match=message):
        captioned_grid(noise(6), 3, **options)


def test_pillow_is_needed_for_texts_alone(monkeypatch):
    hide(monkeypatch, "PIL")
    assert captioned_grid(noise(1)).shape == (608, 608, 3)
    check_captions(None)
    for call in (lambda: captioned_grid(noise(1), caption="Glow"), lambda: check_captions("")):
        with pytest.raises(MissingExtraError, match=r"'PIL' is not installed: run pip install 'tfflows\[images\]'"):
            call()
