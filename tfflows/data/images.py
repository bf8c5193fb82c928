"""Image files as arrays of bytes: what each kind of file becomes."""

import os
import re
from typing import BinaryIO

import numpy as np

from tfflows.extras import require

# What an image that is partly transparent is laid over.
BACKGROUND = (255, 255, 255)

# More pixels than this may be an attack: a small file that decodes to gigabytes.
MAX_PIXELS = 2**27

_AS_IT_IS = ("L", "RGB")
_GREY = ("1", "LA", "La")
_SIXTEEN_BITS = ("I;16", "I;16B", "I;16L")
# Pillow's names of how files store them.
_SIXTEEN_BIT_COLOURS = re.compile("(LA|RGB|RGBA|RGBX|RGBa|CMYK);16[BLN]")


def read_image(file: str | os.PathLike | BinaryIO, name: str | None = None) -> tuple[np.ndarray, str]:
    """Reads an image file.

    Grey and RGB images of 8 bits are taken as they are, turned as their EXIF orientation says. What is stored otherwise is
    converted: grey of 16 bits `v` to `round(v / 257)`, transparent images over white, palettes, CMYK and YCbCr to RGB, black and
    white to grey.

    Args:
      file: Path, or a binary file object.
      name: What errors call the image; None for the path.

    Returns:
      uint8 `[H, W, 1]` or `[H, W, 3]`, and how it was converted, in a few words; empty if it was not.

    Raises:
      ValueError: If it is damaged, no image, too large (`MAX_PIXELS`), or of a kind without a faithful conversion: colours of 16
        bits, floating-point numbers. The message names the image.
      MissingExtraError: If Pillow is not installed.

    Example:
      >>> import io
      >>> import numpy as np
      >>> from PIL import Image
      >>> from tfflows.data.images import read_image
      >>> file = io.BytesIO()
      >>> Image.fromarray(np.array([[0, 257, 65535]], np.uint16)).save(file, "png")
      >>> image, conversion = read_image(file, "three grey values")
      >>> print(image[0, :, 0], conversion)
      [  0   1 255] 16 bits were scaled to 8
    """
    Image = require("PIL.Image", "images")
    ImageOps = require("PIL.ImageOps", "images")
    name = str(file) if name is None else name
    try:
        with Image.open(file) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"it has {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}")
            if _has_colours_of_16_bits(image):
                raise ValueError("its colours have 16 bits each; convert it to 8 bits")
            array, conversion = _converted(ImageOps.exif_transpose(image), Image)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError(f"{name} cannot be read as an image: {error}.") from error
    return array if array.ndim == 3 else array[..., np.newaxis], conversion


def _converted(image, Image):
    if image.has_transparency_data:
        grey = image.mode in ("L", *_GREY)
        layers = [Image.new("RGBA", image.size, (*BACKGROUND, 255)), image.convert("RGBA")]
        flat = Image.alpha_composite(*layers).convert("L" if grey else "RGB")
        opaque = layers[1].getchannel("A").getextrema()[0] == 255
        return np.asarray(flat), "" if opaque else "transparent parts were laid over white"
    if image.mode in _AS_IT_IS:
        return np.asarray(image), ""
    if image.mode in _GREY:
        return np.asarray(image.convert("L")), f"{image.mode} was converted to grey"
    if image.mode in _SIXTEEN_BITS:
        # (v + 128) // 257 is round(v / 257).
        return ((np.asarray(image).astype(np.int64) + 128) // 257).astype(np.uint8), "16 bits were scaled to 8"
    if image.mode in ("I", "F"):
        raise ValueError("its numbers are not bytes; convert it to 8 bits")
    return np.asarray(image.convert("RGB")), f"{image.mode} was converted to RGB"


def _has_colours_of_16_bits(image):
    """Pillow would drop their low bytes without a word."""
    arguments = (tile[3] for tile in image.tile)
    modes = (argument[0] if isinstance(argument, tuple) else argument for argument in arguments)
    return any(_SIXTEEN_BIT_COLOURS.fullmatch(str(mode)) for mode in modes)
