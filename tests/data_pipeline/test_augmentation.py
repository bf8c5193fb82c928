import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from tests.data_pipeline.stored_sets import random_images
from tfflows.data import augmentation


def keras_transform(image, uniforms, with_affine):
    """keras_preprocessing 1.0.1's `ImageDataGenerator.random_transform`, from its definition."""
    height, width, _ = image.shape
    low_high = 2 * uniforms.astype(np.float64) - 1
    shift = np.eye(3)
    shift[0, 2], shift[1, 2] = low_high[1] * 0.1 * height, low_high[2] * 0.1 * width
    matrix = shift
    if with_affine:
        theta, angle = np.deg2rad(15 * low_high[0]), np.deg2rad(0.02 * low_high[3])
        rotation = np.array([[np.cos(theta), -np.sin(theta), 0], [np.sin(theta), np.cos(theta), 0], [0, 0, 1]])
        shear = np.array([[1, -np.sin(angle), 0], [0, np.cos(angle), 0], [0, 0, 1]])
        zoom = np.diag([1 + 0.1 * low_high[4], 1 + 0.1 * low_high[5], 1])
        matrix = rotation @ shift @ shear @ zoom
    to_centre, back = np.eye(3), np.eye(3)
    to_centre[:2, 2] = height / 2 + 0.5, width / 2 + 0.5
    back[:2, 2] = -to_centre[:2, 2]
    matrix = to_centre @ matrix @ back
    channels = [
        ndimage.affine_transform(
            image[..., c].astype(np.float64), matrix[:2, :2], matrix[:2, 2], order=1, mode="nearest"
        )
        for c in range(image.shape[-1])
    ]
    moved = np.stack(channels, axis=-1)
    return moved[:, ::-1] if with_affine and uniforms[6] < 0.5 else moved


@pytest.mark.parametrize("name", ["shift", "shift_flip_affine"])
@pytest.mark.parametrize("shape", [(32, 32, 3), (12, 20, 1)])
def test_agrees_with_keras_definition(name, shape):
    images = random_images(6, *shape)
    uniforms = np.random.default_rng(1).uniform(size=[6, 7]).astype(np.float32)
    obtained = augmentation.augment(tf.constant(images), tf.constant(uniforms), name).numpy()
    for image, numbers, ours in zip(images, uniforms, obtained.astype(float), strict=True):
        exact = keras_transform(image, numbers, with_affine=name == "shift_flip_affine")
        # Truncated, up to float32 coordinates: neighbours differ by up to 255 a pixel.
        assert np.all(ours <= exact + 0.01) and np.all(ours + 1 >= exact - 0.01)


@pytest.mark.parametrize("shape", [(32, 32, 3), (12, 20, 1), (1, 7, 2)])
def test_a_translation_is_the_general_transform_bit_for_bit(shape):
    images = random_images(300, *shape)
    generator = np.random.default_rng(3)
    shifts = generator.uniform(-25, 25, [2, 300]).astype(np.float32)
    shifts[:, :100] = np.round(shifts[:, :100])
    shifts[:, 100:200] = generator.uniform(-1, 1, [2, 100])
    ones, zeros = np.ones([300], np.float32), np.zeros([300], np.float32)
    matrices = np.stack([[ones, zeros, shifts[0]], [zeros, ones, shifts[1]]]).transpose(2, 0, 1)
    expected = augmentation.transform_bilinear(tf.constant(images), tf.constant(matrices))
    moved = tf.function(augmentation.translate_bilinear)(tf.constant(images), *tf.constant(shifts))
    assert np.any(moved != images)
    np.testing.assert_array_equal(moved, expected)


def test_flip_mirrors_half_of_the_images():
    images = random_images(4, 5, 6, 3)
    uniforms = np.full([4, 7], 0.5, np.float32)
    uniforms[[0, 3], 6] = 0.49
    flipped = augmentation.augment(tf.constant(images), tf.constant(uniforms), "flip").numpy()
    np.testing.assert_array_equal(flipped[[1, 2]], images[[1, 2]])
    np.testing.assert_array_equal(flipped[[0, 3]], images[[0, 3], :, ::-1])


def test_crop_flip_is_padding_by_reflection_then_a_crop_then_a_flip():
    images = random_images(9, 6, 7, 3)
    uniforms = np.random.default_rng(4).uniform(size=[9, 7]).astype(np.float32)
    uniforms[0, 1:3], uniforms[1, 1:3] = 0.0, np.nextafter(np.float32(1), np.float32(0))
    cropped = augmentation.augment(tf.constant(images), tf.constant(uniforms), "crop_flip").numpy()
    padded = np.pad(images, [(0, 0), (4, 4), (4, 4), (0, 0)], mode="reflect")
    for number, (row, column) in enumerate((9 * uniforms[:, 1:3]).astype(int)):
        expected = padded[number, row : row + 6, column : column + 7]
        expected = expected[:, ::-1] if uniforms[number, 6] < 0.5 else expected
        np.testing.assert_array_equal(cropped[number], expected)


def test_none_returns_the_images():
    images = tf.constant(random_images(2, 5, 5, 3))
    assert augmentation.augment(images, tf.zeros([2, 7]), "none") is images


@pytest.mark.parametrize("name", ["shift", "shift_flip_affine"])
@pytest.mark.parametrize("value", [1, 254, 255])
def test_a_constant_image_is_not_darkened(name, value):
    images = np.full([16, 32, 32, 3], value, np.uint8)
    uniforms = np.random.default_rng(2).uniform(size=[16, 7]).astype(np.float32)
    augmented = augmentation.augment(tf.constant(images), tf.constant(uniforms), name)
    np.testing.assert_array_equal(augmented, images)


def test_unknown_augmentation_names_the_valid_ones():
    with pytest.raises(ValueError, match="the valid ones are none, shift, shift_flip_affine, flip, crop_flip"):
        augmentation.augment(tf.zeros([1, 2, 2, 3], tf.uint8), tf.zeros([1, 7]), "mirror")
