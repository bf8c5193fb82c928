"""Images of any size and kind as tiles of the shape of a model's images, and back."""

import math

import numpy as np


def to_tiles(image: np.ndarray, tile_shape: tuple[int, int, int]) -> np.ndarray:
    """Tiles of an image, row by row; what reaches beyond it repeats its border.

    Args:
      image: uint8 `[H, W, C]` with C 1 or 3. Grey images become colours for a model of colours, colours three grey images for a
        model of grey images.
      tile_shape: `(h, w, c)` of a tile.

    Returns:
      uint8 `[N, h, w, c]`.

    Example:
      >>> import numpy as np
      >>> from tfflows.compression.tiles import from_tiles, to_tiles
      >>> image = np.arange(5 * 7, dtype=np.uint8).reshape(5, 7, 1)
      >>> tiles = to_tiles(image, (4, 4, 3))
      >>> print(tiles.shape, np.array_equal(from_tiles(tiles, image.shape), image))
      (4, 4, 4, 3) True
    """
    height, width, channels = tile_shape
    planes = _planes(image, channels)
    down, across = _tiling(image.shape, tile_shape)
    margin = ((0, 0), (0, down * height - image.shape[0]), (0, across * width - image.shape[1]), (0, 0))
    padded = np.pad(planes, margin, mode="edge")
    tiles = padded.reshape([len(planes), down, height, across, width, channels]).transpose([0, 1, 3, 2, 4, 5])
    return np.ascontiguousarray(tiles.reshape([-1, height, width, channels]))


def from_tiles(tiles: np.ndarray, image_shape: tuple[int, int, int]) -> np.ndarray:
    """The image of the given shape whose `to_tiles` these are."""
    _, height, width, channels = tiles.shape
    down, across = _tiling(image_shape, tiles.shape[1:])
    planes = tiles.reshape([-1, down, across, height, width, channels]).transpose([0, 1, 3, 2, 4, 5])
    planes = planes.reshape([-1, down * height, across * width, channels])[:, : image_shape[0], : image_shape[1]]
    if image_shape[2] == channels:
        return planes[0]
    return planes[0, ..., :1] if image_shape[2] < channels else np.concatenate(list(planes), axis=-1)


def num_tiles(image_shape: tuple[int, int, int], tile_shape: tuple[int, int, int]) -> int:
    """Number of tiles of an image."""
    down, across = _tiling(image_shape, tile_shape)
    return down * across * (image_shape[2] if image_shape[2] > tile_shape[2] else 1)


def _planes(image, channels):
    """`[P, H, W, c]`: the image as one image of c channels, or as P of them."""
    given = image.shape[-1]
    if given == channels:
        return image[np.newaxis]
    if given == 1:
        return np.repeat(image, channels, axis=-1)[np.newaxis]
    return np.moveaxis(image, -1, 0)[..., np.newaxis]


def _tiling(image_shape, tile_shape):
    return math.ceil(image_shape[0] / tile_shape[0]), math.ceil(image_shape[1] / tile_shape[1])
