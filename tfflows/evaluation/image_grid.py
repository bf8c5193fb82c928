"""Lays many small images out as one picture, and writes pictures as PNG files."""

import math
import os
import pathlib

import numpy as np
import tensorflow as tf

from tfflows.files import atomic_write

BACKGROUND = 255
"""Grey value between the images and in empty cells."""


def near_square_columns(num_images: int) -> int:
    """`ceil(sqrt(num_images))`: number of columns of a grid that is about as wide as it is high."""
    return math.isqrt(num_images - 1) + 1


def image_grid(images: np.ndarray | tf.Tensor, num_columns: int | None = None, padding: int = 2) -> np.ndarray:
    """Lays images out row by row, with a white margin around each.

    Args:
      images: uint8 `[N, H, W, C]`, C 1 or 3, N at least 1.
      num_columns: Number of columns; default: `ceil(sqrt(N))`.
      padding: Width of the margins in pixels.

    Returns:
      uint8 `[rows * (H + padding) + padding, num_columns * (W + padding) + padding, C]`.

    Raises:
      ValueError: If the images do not have that shape and dtype, or a number is out of range.

    Example:
      >>> import numpy as np
      >>> from tfflows.evaluation.image_grid import image_grid
      >>> images = np.array([1, 2, 3], np.uint8).reshape([3, 1, 1, 1])
      >>> print(image_grid(images, padding=1)[..., 0])
      [[255 255 255 255 255]
       [255   1 255   2 255]
       [255 255 255 255 255]
       [255   3 255 255 255]
       [255 255 255 255 255]]
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or 0 in images.shape:
        raise ValueError(
            f"A grid needs images [N, H, W, 1 or 3] with N, H, W at least 1, got shape {list(images.shape)}."
        )
    if images.dtype != np.uint8:
        raise ValueError(f"A grid needs uint8 images in 0 ... 255, got {images.dtype}.")
    num_images, height, width, channels = images.shape
    num_columns = near_square_columns(num_images) if num_columns is None else num_columns
    if num_columns < 1:
        raise ValueError(f"num_columns must be at least 1, got {num_columns}.")
    if padding < 0:
        raise ValueError(f"padding must not be negative, got {padding}.")
    num_rows = -(-num_images // num_columns)
    cells = np.full([num_rows * num_columns, height + padding, width + padding, channels], BACKGROUND, np.uint8)
    cells[:num_images, padding:, padding:] = images
    cells = cells.reshape(num_rows, num_columns, height + padding, width + padding, channels)
    grid = cells.transpose(0, 2, 1, 3, 4).reshape(num_rows * (height + padding), -1, channels)
    return np.pad(grid, [(0, padding), (0, padding), (0, 0)], constant_values=BACKGROUND)


def write_png(path: str | os.PathLike, image: np.ndarray | tf.Tensor) -> pathlib.Path:
    """Writes a uint8 image `[H, W, 1 or 3]` as PNG, atomically; makes the directory.

    Returns:
      Path of the file.

    Raises:
      ValueError: If the image does not have that shape and dtype.
      OSError: If the file cannot be written.
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[-1] not in (1, 3) or 0 in image.shape or image.dtype != np.uint8:
        raise ValueError(f"A PNG needs a uint8 image [H, W, 1 or 3], got {image.dtype} of shape {list(image.shape)}.")
    path = pathlib.Path(os.fspath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, tf.io.encode_png(image).numpy())
    return path
