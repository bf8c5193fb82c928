"""Image files as arrays of bytes: what each kind of file becomes."""

import contextlib
import dataclasses
import os
import re
from typing import BinaryIO

import numpy as np

from tfflows.extras import require

IMAGE_SUFFIXES = (".png", ".bmp", ".webp", ".jpg", ".jpeg", ".tif", ".tiff", ".gif", ".avif")

# What an image that is partly transparent is laid over.
BACKGROUND = (255, 255, 255)

# More pixels than this may be an attack: a small file that decodes to gigabytes.
MAX_PIXELS = 2**27

_AS_IT_IS = ("L", "RGB")
_GREY = ("1", "LA", "La")
_ORIENTATION = 0x0112  # EXIF
_TURNED = (5, 6, 7, 8)  # by a quarter
_SIXTEEN_BITS = ("I;16", "I;16B", "I;16L")
# Pillow's names of how files store them.
_SIXTEEN_BIT_COLOURS = re.compile("(LA|RGB|RGBA|RGBX|RGBa|CMYK);16[BLN]")


@dataclasses.dataclass(frozen=True)
class Header:
    """What the header of an image file says of `read_image`'s result: `[height, width, channels]`."""

    height: int
    width: int
    channels: int

    @property
    def short_side(self) -> int:
        """The shorter side in pixels."""
        return min(self.height, self.width)

    @property
    def sides(self) -> str:
        """Height and width as text, such as `32x48`."""
        return f"{self.height}x{self.width}"


def read_header(file: str | os.PathLike | BinaryIO, name: str | None = None) -> Header:
    """Reads how large an image is and whether it is grey, without decoding it.

    Args:
      file: Path, or a binary file object.
      name: What errors call the image; None for the path.

    Raises:
      ValueError: If it is no image, empty, or of a kind that this Pillow does not read. The message names the image.
      MissingExtraError: If Pillow is not installed.

    Example:
      >>> import io
      >>> from PIL import Image
      >>> from tfflows.data.images import read_header
      >>> file = io.BytesIO()
      >>> Image.new("RGB", (48, 32)).save(file, "png")
      >>> read_header(file, "an image")
      Header(height=32, width=48, channels=3)
    """
    Image = require("PIL.Image", "images")
    with _naming(str(file) if name is None else name, Image), Image.open(file) as image:
        width, height = image.size
        if image.getexif().get(_ORIENTATION) in _TURNED:
            width, height = height, width
        grey = image.mode in ("L", *_GREY, *_SIXTEEN_BITS)
        return Header(height, width, 1 if grey else 3)


@contextlib.contextmanager
def _naming(name, Image):
    """A context in which what Pillow raises becomes a ValueError that names the image."""
    try:
        yield
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError(f"{name} cannot be read as an image: {error}.") from error


def read_image(file: str | os.PathLike | BinaryIO, name: str | None = None) -> tuple[np.ndarray, str]:
    """Reads an image file.

    Grey and RGB images of 8 bits are taken as they are, turned as their EXIF orientation says. What is stored otherwise is
    converted: grey of 16 bits `v` to `round(v / 257)`, transparent images over white, palettes, CMYK and YCbCr to RGB, black and
    white to grey. Of several images in a file (GIF, TIFF) the first is taken.

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
    with _naming(name, Image), Image.open(file) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"it has {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}")
        if _has_colours_of_16_bits(image):
            raise ValueError("its colours have 16 bits each; convert it to 8 bits")
        array, conversion = _converted(ImageOps.exif_transpose(image), Image)
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
