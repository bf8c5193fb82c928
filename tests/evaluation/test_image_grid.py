import numpy as np
import pytest
import tensorflow as tf

from tfflows.evaluation.image_grid import BACKGROUND, image_grid, write_png


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


@pytest.mark.parametrize("channels", [1, 3])
def test_png_holds_the_image(tmp_path, channels):
    image = np.random.default_rng(0).integers(0, 256, [5, 7, channels], dtype=np.uint8)
    path = write_png(tmp_path / "new" / "image.png", image)
    assert path == tmp_path / "new" / "image.png"
    np.testing.assert_array_equal(tf.io.decode_png(path.read_bytes()), image)
    assert [file.name for file in path.parent.iterdir()] == ["image.png"]


def test_png_replaces_an_older_one(tmp_path):
    path = tmp_path / "image.png"
    for value in (1, 2):
        write_png(path, np.full([2, 2, 1], value, np.uint8))
    np.testing.assert_array_equal(tf.io.decode_png(path.read_bytes()), np.full([2, 2, 1], 2))


@pytest.mark.parametrize("image", [np.zeros([2, 2], np.uint8), np.zeros([2, 2, 1]), np.zeros([2, 2, 4], np.uint8)])
def test_png_refuses_what_is_no_image(tmp_path, image):
    with pytest.raises(ValueError, match="uint8 image"):
        write_png(tmp_path / "image.png", image)
    assert not list(tmp_path.iterdir())
