"""How images are cropped and reduced, following the papers' own converters; all functions are pure."""

import functools

import numpy as np
import tensorflow as tf

from tfflows.choices import RESIZES


def average_2x2(images: tf.Tensor) -> tf.Tensor:
    """2x2 block averages rounded half up: floor((a + b + c + d + 2) / 4).

    Args:
      images: uint8 `[..., H, W, C]`, H and W even.

    Returns:
      uint8 `[..., H/2, W/2, C]`.

    Raises:
      ValueError: If a side is odd.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.data.preprocessing import average_2x2
      >>> average_2x2(tf.constant([[[1], [2]], [[3], [4]]], tf.uint8)).numpy().tolist()
      [[[3]]]
    """
    if images.shape[-3] % 2 or images.shape[-2] % 2:
        raise ValueError(f"2x2 averages need even sides, got images of shape {images.shape}.")
    x = tf.cast(images, tf.int32)
    rows = x[..., 0::2, :, :] + x[..., 1::2, :, :]
    total = rows[..., 0::2, :] + rows[..., 1::2, :]
    return tf.cast((total + 2) // 4, tf.uint8)


def average_box(image: tf.Tensor, image_size: int) -> tf.Tensor:
    """Averages a square image `[S, S, C]` over blocks, rounded down: uint8 `[image_size, image_size, C]`.

    Repeated 2x2 averages with one floor at the end, as in Glow's converter, are averages over 2^k x 2^k blocks.

    Raises:
      ValueError: If S / image_size is not a power of two.
    """
    side = image.shape[0]
    if side is None or side % image_size or (side // image_size) & (side // image_size - 1):
        raise ValueError(
            f"An image of side {side} cannot be halved down to {image_size}: their ratio must be a power of two."
        )
    block, channels = side // image_size, image.shape[-1]
    x = tf.reshape(tf.cast(image, tf.float32), [image_size, block, image_size, block, channels])
    return tf.cast(tf.floor(tf.reduce_mean(x, axis=[1, 3])), tf.uint8)


def centre_square(image: tf.Tensor) -> tf.Tensor:
    """The central square of `[..., H, W, C]`, whose side is the shorter one."""
    shape = tf.shape(image)
    side = tf.minimum(shape[-3], shape[-2])
    top, left = (shape[-3] - side) // 2, (shape[-2] - side) // 2
    return image[..., top : top + side, left : left + side, :]


def resize(images: tf.Tensor | np.ndarray, image_size: int | None, how: str) -> tf.Tensor | np.ndarray:
    """Brings images to `image_size` x `image_size` pixels.

    They are reduced once, by a triangle filter as wide as a new pixel (antialiased), and rounded. What has that size already
    keeps every bit.

    Args:
      images: uint8 `[..., H, W, C]`, with at most one dimension before H.
      image_size: Side of the result in pixels; not used with `none`.
      how: One of `tfflows.choices.RESIZES`: `crop` takes the central square, `fit` the whole image, which is squeezed if it is
        not square, and `none` leaves the images as they are.

    Returns:
      uint8 `[..., image_size, image_size, C]`.

    Raises:
      ValueError: If `how` is unknown.

    Example:
      >>> import numpy as np
      >>> from tfflows.data.preprocessing import resize
      >>> image = np.array([[0, 10, 20, 30], [0, 10, 20, 30]], np.uint8)[..., None]
      >>> np.asarray(resize(image, 2, "crop"))[..., 0].tolist(), np.asarray(resize(image, 2, "fit"))[..., 0].tolist()
      ([[10, 20], [10, 20]], [[7, 23], [7, 23]])
    """
    if how not in RESIZES:
        raise ValueError(f"resize must be one of {', '.join(RESIZES)}, got {how!r}.")
    if how == "none":
        return images
    with tf.device("CPU:0"):
        square = centre_square(images) if how == "crop" else images
        if square.shape[-3:-1] == (image_size, image_size):
            return square
        reduced = tf.image.resize(square, [image_size, image_size], antialias=True)
        return tf.cast(tf.clip_by_value(tf.round(reduced), 0, 255), tf.uint8)


def describe_resize(image_size: int, how: str) -> str:
    """What `resize` does to images, in a few words.

    Example:
      >>> from tfflows.data.preprocessing import describe_resize
      >>> describe_resize(64, "crop")
      'the central square of each image is reduced to 64x64 pixels'
    """
    part = {"crop": "the central square of each image is", "fit": "each whole image is"}[how]
    return f"{part} reduced to {image_size}x{image_size} pixels"


IMAGENET_PYRAMID_SIZE = 256


def imagenet_pyramid(image: tf.Tensor, image_size: int) -> tf.Tensor:
    """Reduces an ImageNet photograph as Glow's converter does: uint8 `[image_size, image_size, 3]`.

    Centre square, bilinear to 256 (TF1's resize: corner-aligned grid, no antialiasing), 2x2 averages, floor.
    """
    square = centre_square(image)[tf.newaxis]
    large = tf.raw_ops.ResizeBilinear(
        images=tf.cast(square, tf.float32),
        size=[IMAGENET_PYRAMID_SIZE, IMAGENET_PYRAMID_SIZE],
        align_corners=False,
        half_pixel_centers=False,
    )[0]
    return average_box(tf.ensure_shape(large, [IMAGENET_PYRAMID_SIZE, IMAGENET_PYRAMID_SIZE, 3]), image_size)


CELEBA_SHAPE = (218, 178, 3)
CELEBA_SQUARE = 148


def celeba_square(image: tf.Tensor, image_size: int) -> tf.Tensor:
    """Reduces an aligned CelebA photograph `[218, 178, 3]` to uint8 `[image_size, image_size, 3]`.

    It takes the central 148x148 pixels, which hold the face, then reduces them once by a triangle filter as wide as a new
    pixel, and rounds.
    """
    height, width, _ = CELEBA_SHAPE
    top, left = (height - CELEBA_SQUARE) // 2, (width - CELEBA_SQUARE) // 2
    square = image[top : top + CELEBA_SQUARE, left : left + CELEBA_SQUARE]
    reduced = tf.image.resize(square, [image_size, image_size], antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(reduced), 0, 255), tf.uint8)


def pad_mnist(image: tf.Tensor) -> tf.Tensor:
    """28x28x1 to 32x32x3: two zeros on each side, and the grey value three times."""
    return tf.tile(tf.pad(image, [[2, 2], [2, 2], [0, 0]]), [1, 1, 3])


@functools.lru_cache(maxsize=512)
def _pyramid_matrix(size: int, downscale: float) -> np.ndarray:
    """The matrix `[ceil(size / downscale), size]` of Gaussian smoothing followed by linear resizing.

    Both steps are linear and separable, so one matrix per side does the whole reduction. It follows scikit-image's
    `pyramid_reduce`: sigma = downscale / 3, truncated at 4 sigma, edges reflected (d c b a | a b c d | d c b a), sample points
    (i + 1/2) size / new_size - 1/2.
    """
    new_size = int(np.ceil(size / downscale))
    sigma = downscale / 3.0
    radius = int(4.0 * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    weights /= weights.sum()

    def reflect(index):
        index = np.mod(index, 2 * size)
        return np.where(index < size, index, 2 * size - 1 - index)

    smooth = np.zeros([size, size])
    for offset, weight in zip(offsets, weights, strict=True):
        np.add.at(smooth, (np.arange(size), reflect(np.arange(size) + offset)), weight)
    points = (np.arange(new_size) + 0.5) * size / new_size - 0.5
    left = np.floor(points).astype(int)
    fraction = points - left
    resize = np.zeros([new_size, size])
    np.add.at(resize, (np.arange(new_size), reflect(left)), 1.0 - fraction)
    np.add.at(resize, (np.arange(new_size), reflect(left + 1)), fraction)
    return resize @ smooth


def reduce_short_side(image: np.ndarray, short_side: int = 96) -> np.ndarray:
    """RealNVP's reduction of LSUN: the short side becomes `short_side`, and the image keeps its proportions.

    It computes `skimage.transform.pyramid_reduce(image, min(rows, columns) / short_side)`, times 255, truncated to uint8, without
    scikit-image.

    Args:
      image: uint8 `[H, W, C]`, both sides at least `short_side`.
      short_side: Short side of the result, in pixels.

    Returns:
      uint8 `[H', W', C]` with min(H', W') = short_side.

    Raises:
      ValueError: If the image is smaller.

    References:
      Dinh et al. 2017, https://arxiv.org/abs/1605.08803.
    """
    rows, columns, _ = image.shape
    downscale = min(rows, columns) / short_side
    if downscale < 1.0:
        raise ValueError(f"An image of {rows}x{columns} pixels is smaller than {short_side} on its short side.")
    if downscale == 1.0:
        return image
    row_matrix = _pyramid_matrix(rows, downscale)
    column_matrix = _pyramid_matrix(columns, downscale)
    reduced = np.tensordot(row_matrix, image.astype(np.float64), axes=(1, 0))
    reduced = np.einsum("yxc,zx->yzc", reduced, column_matrix, optimize=True)
    # The constant lifts sums of weights that fall short of one by rounding (255 must stay 255).
    return np.clip(np.floor(reduced + 1e-6), 0, 255).astype(np.uint8)


def crop_at(image: np.ndarray, size: int, uniforms: np.ndarray) -> np.ndarray:
    """The `size` x `size` crop of `[H, W, C]` whose place is given by two numbers in [0, 1)."""
    rows, columns, _ = image.shape
    top = min(int(uniforms[0] * (rows - size + 1)), rows - size)
    left = min(int(uniforms[1] * (columns - size + 1)), columns - size)
    return image[top : top + size, left : left + size]
