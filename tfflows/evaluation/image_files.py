"""What lossless image files make of images: the bits that a model has to be better than."""

import io

import numpy as np

from tfflows.extras import require

FORMATS = ("png", "webp")


def file_bits_per_dim(images: np.ndarray, file_format: str) -> np.ndarray:
    """Bits per dimension of each image as a lossless file of its own, with everything that is in the file.

    Small images pay most for what a file holds besides pixels. Both are written as small as Pillow can. PNG stores grey images as
    grey, WebP as colours.

    Args:
      images: uint8 `[N, H, W, C]` with C of 1 or 3.
      file_format: One of `FORMATS`.

    Returns:
      float64 `[N]`, bits of the file over `H W C`.

    Raises:
      ValueError: If the images are something else, or the format is unknown.
      MissingExtraError: If Pillow is not installed.

    Example:
      >>> import numpy as np
      >>> from tfflows.evaluation.image_files import file_bits_per_dim
      >>> noise = np.random.default_rng(0).integers(0, 256, [1, 64, 64, 3], np.uint8)
      >>> print((file_bits_per_dim(noise, "png") > 8).tolist())  # noise is not compressed, and a file has a header
      [True]
    """
    if file_format not in FORMATS:
        raise ValueError(f"The format must be one of {', '.join(FORMATS)}, got {file_format!r}.")
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or images.dtype != np.uint8:
        raise ValueError(f"Expected uint8 images [N, H, W, 1 or 3], got {images.dtype} of shape {list(images.shape)}.")
    Image = require("PIL.Image", "images")
    options = {"png": {"optimize": True}, "webp": {"lossless": True, "quality": 100, "method": 6}}[file_format]
    sizes = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, file_format, **options)
        sizes.append(8 * len(file.getvalue()))
    return np.array(sizes) / np.prod(images.shape[1:])
