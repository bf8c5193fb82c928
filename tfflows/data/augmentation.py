"""Image augmentation of training batches, a pure function of images and uniform numbers.

The published Glow augments CIFAR-10 through Keras' `ImageDataGenerator` (keras_preprocessing 1.0.1): level 1 of its `--dal` flag
is `shift`, level 2 `shift_flip_affine`. Both interpolate bilinearly, repeat the edge and truncate to uint8, so augmented images
are smoother than the test images.
"""

import math

import tensorflow as tf

from tfflows.choices import AUGMENTATIONS

NUM_UNIFORMS = 7  # numbers per image: rotation, row shift, column shift, shear, two zooms, flip

SHIFT_FRACTION = 0.1
ROTATION_DEGREES = 15.0
SHEAR_DEGREES = 0.02
ZOOM_FRACTION = 0.1

CROP_PADDING = 4  # pixels by which `crop_flip` may shift, as in the released MaCow

# Interpolation weights that should sum to one fall short by rounding (255 becomes 254.99998), and truncation would then darken
# a constant image by a whole level.
_TRUNCATION_GUARD = 1.0 / 4096.0


def check_augmentation(augmentation: str) -> None:
    """Raises `ValueError` for an unknown augmentation; the message lists the valid ones."""
    if augmentation not in AUGMENTATIONS:
        raise ValueError(f"Unknown augmentation {augmentation!r}; the valid ones are {', '.join(AUGMENTATIONS)}.")


def augment(images: tf.Tensor, uniforms: tf.Tensor, augmentation: str) -> tf.Tensor:
    """Augments a batch.

    Args:
      images: uint8 `[B, H, W, C]`.
      uniforms: float32 `[B, NUM_UNIFORMS]` in [0, 1): one row decides all that happens to one image.
      augmentation: One of `AUGMENTATIONS`.

    Returns:
      uint8 `[B, H, W, C]`.

    Raises:
      ValueError: If the augmentation is unknown.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.data.augmentation import NUM_UNIFORMS, augment
      >>> image = tf.constant([[[[1], [2], [3]]]], tf.uint8)
      >>> augment(image, tf.zeros([1, NUM_UNIFORMS]), "flip").numpy().ravel().tolist()
      [3, 2, 1]
    """
    check_augmentation(augmentation)
    if augmentation == "none":
        return images
    height, width = images.shape[1], images.shape[2]
    if augmentation == "shift":
        images = translate_bilinear(images, *_shifts(uniforms, height, width))
    if augmentation == "shift_flip_affine":
        images = transform_bilinear(images, affine_matrices(uniforms, height, width))
    if augmentation == "crop_flip":
        images = crop_reflected(images, uniforms[:, 1:3])
    if augmentation in ("flip", "shift_flip_affine", "crop_flip"):
        images = flip_columns(images, uniforms[:, 6] < 0.5)
    return images


def crop_reflected(images: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
    """Shifts by whole pixels, -4 to 4 in each direction; what lies beyond the border is reflected.

    Args:
      images: uint8 `[B, H, W, C]`, both sides above 4 pixels.
      uniforms: float32 `[B, 2]` in [0, 1): one number for the rows, one for the columns.

    Returns:
      uint8 `[B, H, W, C]`.
    """
    sides = [[0, 0], [CROP_PADDING, CROP_PADDING], [CROP_PADDING, CROP_PADDING], [0, 0]]
    padded = tf.pad(images, sides, mode="REFLECT")
    begins = tf.cast(uniforms * (2 * CROP_PADDING + 1), tf.int32)
    rows = begins[:, :1] + tf.range(images.shape[1])
    columns = begins[:, 1:] + tf.range(images.shape[2])
    return tf.gather(tf.gather(padded, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)


def flip_columns(images: tf.Tensor, flipped: tf.Tensor) -> tf.Tensor:
    """Mirrors, left to right, those of the images `[B, H, W, C]` where `flipped` (bool `[B]`) is true."""
    batch_size = tf.shape(images)[0]
    both = tf.concat([images, images[:, :, ::-1]], axis=0)  # a gather of whole images is a copy
    return tf.gather(both, tf.range(batch_size) + batch_size * tf.cast(flipped, tf.int32))


def affine_matrices(uniforms: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Maps (row, column) of the output to (row, column) of the input, as Keras' generator draws them.

    M = T(o) R(theta) T(shift) Shear Zoom T(-o), with T translations, o = (H/2 + 1/2, W/2 + 1/2) (Keras' centre, half a pixel
    off the true one), theta in +-15 degrees, shift in +-0.1 (H, W), shear in +-0.02 degrees and both zooms in [0.9, 1.1], all
    uniform.

    Args:
      uniforms: float32 `[B, NUM_UNIFORMS]`.
      height: Height of the image.
      width: Width of the image.

    Returns:
      float32 `[B, 2, 3]`.
    """
    signed = 2.0 * uniforms - 1.0
    row_shift, column_shift = _shifts(uniforms, height, width)
    zero = tf.zeros_like(row_shift)
    theta = signed[:, 0] * math.radians(ROTATION_DEGREES)
    shear = signed[:, 3] * math.radians(SHEAR_DEGREES)
    row_zoom = 1.0 + ZOOM_FRACTION * signed[:, 4]
    column_zoom = 1.0 + ZOOM_FRACTION * signed[:, 5]
    sin, cos = tf.sin(theta), tf.cos(theta)
    rotation = _stack([[cos, -sin], [sin, cos]])
    shear_and_zoom = _stack([[row_zoom, -tf.sin(shear) * column_zoom], [zero, tf.cos(shear) * column_zoom]])
    linear = rotation @ shear_and_zoom
    shift = rotation @ tf.stack([row_shift, column_shift], axis=-1)[..., tf.newaxis]
    centre = tf.constant([[height / 2 + 0.5], [width / 2 + 0.5]])
    return tf.concat([linear, shift + centre - linear @ centre], axis=-1)


def _shifts(uniforms, height, width):
    """Rows and columns by which the images are shifted, float32 `[B]` each."""
    signed = 2.0 * uniforms - 1.0
    return signed[:, 1] * (SHIFT_FRACTION * height), signed[:, 2] * (SHIFT_FRACTION * width)


def translate_bilinear(images: tf.Tensor, row_shifts: tf.Tensor, column_shifts: tf.Tensor) -> tf.Tensor:
    """What `transform_bilinear` gives for the matrices [1 0 row_shift; 0 1 column_shift], bit for bit, in less time.

    A translation is separable: all rows of an image mix the same columns with the same weights.

    Args:
      images: uint8 `[B, H, W, C]`.
      row_shifts: float32 `[B]`, added to an output row to get the input row.
      column_shifts: float32 `[B]`, added to an output column to get the input column.

    Returns:
      uint8 `[B, H, W, C]`.
    """
    height, width, channels = images.shape[1:]
    columns = tf.reshape(tf.transpose(images, [0, 2, 1, 3]), [-1, width, height * channels])
    columns = tf.reshape(_mix_lines(columns, column_shifts), [-1, width, height, channels])
    rows = tf.reshape(tf.transpose(columns, [0, 2, 1, 3]), [-1, height, width * channels])
    moved = tf.reshape(_mix_lines(rows, row_shifts), tf.shape(images))
    return tf.cast(tf.floor(moved + _TRUNCATION_GUARD), tf.uint8)


def _mix_lines(lines, shifts):
    """Linear interpolation of lines `[B, L, D]` at l + shift, the first and the last repeated; float32 `[B, L, D]`."""
    count = lines.shape[1]
    places = tf.clip_by_value(tf.range(count, dtype=tf.float32) + shifts[:, tf.newaxis], 0.0, count - 1.0)
    floors = tf.floor(places)
    low = tf.cast(floors, tf.int32)
    high = tf.minimum(low + 1, count - 1)
    below, above = (tf.cast(tf.gather(lines, index, batch_dims=1), tf.float32) for index in (low, high))
    return (floors + 1.0 - places)[..., tf.newaxis] * below + (places - floors)[..., tf.newaxis] * above


def transform_bilinear(images: tf.Tensor, matrices: tf.Tensor) -> tf.Tensor:
    """Resamples each image by its matrix: bilinear, repeating the edge outside, truncated to uint8.

    Args:
      images: uint8 `[B, H, W, C]`.
      matrices: float32 `[B, 2, 3]`, output (row, column, 1) -> input (row, column).

    Returns:
      uint8 `[B, H, W, C]`.
    """
    m = matrices
    zeros = tf.zeros_like(m[:, 0, 0])
    # The op maps (x, y), which are (column, row), by rows [a0 a1 a2] and [b0 b1 b2].
    transforms = tf.stack(
        [m[:, 1, 1], m[:, 1, 0], m[:, 1, 2], m[:, 0, 1], m[:, 0, 0], m[:, 0, 2], zeros, zeros],
        axis=-1,
    )
    resampled = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32),
        transforms=transforms,
        output_shape=tf.shape(images)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )
    return tf.cast(tf.floor(resampled + _TRUNCATION_GUARD), tf.uint8)


def _stack(rows) -> tf.Tensor:
    """Rows of `[B]` entries -> `[B, rows, columns]`."""
    return tf.stack([tf.stack(row, axis=-1) for row in rows], axis=-2)
