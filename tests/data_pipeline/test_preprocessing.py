import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from tests.data_pipeline.stored_sets import random_images
from tfflows.data import preprocessing


def test_average_2x2_rounds_half_up():
    image = np.array([[0, 1, 255, 255], [0, 1, 255, 254]], np.uint8)[..., np.newaxis]
    # Sums 2 and 1019: (2 + 2) // 4 = 1, (1019 + 2) // 4 = 255.
    np.testing.assert_array_equal(preprocessing.average_2x2(image)[..., 0], [[1, 255]])


def test_average_2x2_keeps_leading_dimensions():
    images = random_images(5, 8, 6, 3)
    expected = images.reshape(5, 4, 2, 3, 2, 3).astype(int).sum(axis=(2, 4))
    np.testing.assert_array_equal(preprocessing.average_2x2(images), (expected + 2) // 4)


def test_average_2x2_refuses_odd_sides():
    with pytest.raises(ValueError, match="even sides"):
        preprocessing.average_2x2(random_images(1, 5, 4, 3))


@pytest.mark.parametrize("image_size", [32, 16, 8])
def test_average_box_is_repeated_halving_with_one_floor(image_size):
    (image,) = random_images(1, 32, 32, 3)
    expected = image.astype(np.float32)
    while expected.shape[0] > image_size:
        a, b = expected[0::2], expected[1::2]
        expected = (a[:, 0::2] + b[:, 0::2] + a[:, 1::2] + b[:, 1::2]) * 0.25
    obtained = preprocessing.average_box(tf.constant(image), image_size)
    np.testing.assert_array_equal(obtained, np.floor(expected))


def test_average_box_refuses_other_ratios():
    with pytest.raises(ValueError, match="power of two"):
        preprocessing.average_box(tf.zeros([96, 96, 3]), 32)


@pytest.mark.parametrize("image_size", [64, 128])
def test_celeba_square_is_the_centre_reduced(image_size):
    rows, columns = np.mgrid[:218, :178]
    # Linear in both directions, and so it stays: a new pixel holds the value at its own centre.
    image = np.stack([rows, columns, np.full_like(rows, 255)], axis=-1).astype(np.uint8)
    obtained = preprocessing.celeba_square(tf.constant(image), image_size)
    assert obtained.dtype == tf.uint8 and obtained.shape == (image_size, image_size, 3)
    centres = (np.arange(image_size) + 0.5) * 148 / image_size - 0.5
    inner = slice(2, -2)  # at the edges the filter is cut
    np.testing.assert_allclose(obtained[inner, 5, 0], 35 + centres[inner], atol=0.51)
    np.testing.assert_allclose(obtained[5, inner, 1], 15 + centres[inner], atol=0.51)
    np.testing.assert_array_equal(obtained[..., 2], 255)


@pytest.mark.parametrize("shape", [(300, 400, 3), (401, 300, 3), (256, 256, 3)])
def test_imagenet_pyramid(shape):
    (image,) = random_images(1, *shape)
    side = min(shape[:2])
    top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
    square = image[top : top + side, left : left + side].astype(np.float64)
    # TF1's bilinear grid: output i reads at i * side / 256, clamped at the last pixel.
    points = np.arange(256) * side / 256
    low = points.astype(int)
    high = np.minimum(low + 1, side - 1)
    weight = points - low
    rows = square[low] * (1 - weight)[:, None, None] + square[high] * weight[:, None, None]
    large = rows[:, low] * (1 - weight)[None, :, None] + rows[:, high] * weight[None, :, None]
    expected = large.reshape(32, 8, 32, 8, 3).mean(axis=(1, 3))
    obtained = np.asarray(preprocessing.imagenet_pyramid(image, 32), np.float64)
    assert np.all(np.abs(obtained + 0.5 - expected) <= 0.5 + 1e-3)


@pytest.mark.parametrize(("rows", "columns"), [(256, 341), (300, 256), (97, 130), (256, 256)])
def test_reduce_short_side_is_gaussian_smoothing_and_linear_sampling(rows, columns):
    (image,) = random_images(1, rows, columns, 3)
    downscale = min(rows, columns) / 96
    smoothed = ndimage.gaussian_filter(image / 255.0, (2 * downscale / 6, 2 * downscale / 6, 0), mode="reflect")
    new_rows, new_columns = int(np.ceil(rows / downscale)), int(np.ceil(columns / downscale))
    y = (np.arange(new_rows) + 0.5) * rows / new_rows - 0.5
    x = (np.arange(new_columns) + 0.5) * columns / new_columns - 0.5
    grid = np.meshgrid(y, x, indexing="ij")
    sampled = [ndimage.map_coordinates(smoothed[..., c], grid, order=1, mode="nearest") for c in range(3)]
    expected = np.floor(np.stack(sampled, axis=-1) * 255 + 1e-6)
    obtained = preprocessing.reduce_short_side(image)
    assert min(obtained.shape[:2]) == 96
    np.testing.assert_array_equal(obtained, expected)


@pytest.mark.parametrize("value", [0, 1, 254, 255])
def test_reduce_short_side_keeps_a_constant(value):
    reduced = preprocessing.reduce_short_side(np.full([200, 331, 3], value, np.uint8))
    np.testing.assert_array_equal(reduced, np.full(reduced.shape, value))


def test_reduce_short_side_refuses_to_enlarge():
    with pytest.raises(ValueError, match="smaller than 96"):
        preprocessing.reduce_short_side(random_images(1, 95, 200, 3)[0])


def test_crops_reach_every_place():
    (image,) = random_images(1, 6, 5, 3)
    places = set()
    for u in np.linspace(0, 1, 41, endpoint=False):
        for v in np.linspace(0, 1, 41, endpoint=False):
            crop = preprocessing.crop_at(image, 4, np.array([u, v]))
            (found,) = [(y, x) for y in range(3) for x in range(2) if np.array_equal(crop, image[y : y + 4, x : x + 4])]
            places.add(found)
    assert places == {(y, x) for y in range(3) for x in range(2)}


@pytest.mark.parametrize("image_size", [32, 64, 128])
def test_celeba_square_averages_by_a_triangle_as_wide_as_a_new_pixel(image_size):
    (image,) = random_images(1, 218, 178, 3)
    square = image[35 : 35 + 148, 15 : 15 + 148].astype(np.float64)
    scale = 148 / image_size
    centres = (np.arange(image_size) + 0.5) * scale
    distances = np.abs(np.arange(148) + 0.5 - centres[:, np.newaxis]) / scale
    weights = np.maximum(1 - distances, 0)
    weights /= weights.sum(axis=1, keepdims=True)  # at the edges the filter is cut
    expected = np.einsum("yr,xc,rck->yxk", weights, weights, square, optimize=True)
    obtained = preprocessing.celeba_square(tf.constant(image), image_size)
    np.testing.assert_allclose(obtained, expected, atol=0.5 + 1e-3)
