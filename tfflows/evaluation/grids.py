"""Layout of images as one picture: rows and columns of tiles, enlarged, with names beside them and a caption below."""

import bisect
import functools
import math
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfflows.extras import MissingExtraError, require

if TYPE_CHECKING:
    import tensorflow as tf

BACKGROUND = 255
"""Grey value between the images and in empty cells."""

FRAME = 224
"""Grey value between the images of a `captioned_grid`, so that white images do not run together."""

_TEXT = 40  # grey value of letters
_WIDTH, _HEIGHT = 600, 1200  # a picture is at least so wide, unless it would become higher than that
_NARROWEST = 400  # pixels: a caption is legible
_SMALLEST_FONT = 10
_CAPTION_LINES = 4


def near_square_columns(num_images: int) -> int:
    """`ceil(sqrt(num_images))`: number of columns of a grid that is about as wide as it is high."""
    return math.isqrt(num_images - 1) + 1


def image_grid(images: "np.ndarray | tf.Tensor", num_columns: int | None = None, padding: int = 2) -> np.ndarray:
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
      >>> from tfflows.evaluation.grids import image_grid
      >>> images = np.array([1, 2, 3], np.uint8).reshape([3, 1, 1, 1])
      >>> print(image_grid(images, padding=1)[..., 0])
      [[255 255 255 255 255]
       [255   1 255   2 255]
       [255 255 255 255 255]
       [255   3 255 255 255]
       [255 255 255 255 255]]
    """
    return _grid(images, num_columns, padding, factor=1)


def enlarged(images: "np.ndarray | tf.Tensor", factor: int) -> np.ndarray:
    """Enlarges images `[..., H, W, C]` by a whole factor: each pixel becomes a square of `factor` by `factor` equal ones.

    Raises:
      ValueError: If the factor is below 1, or there are fewer than three axes.

    Example:
      >>> import numpy as np
      >>> from tfflows.evaluation.grids import enlarged
      >>> print(enlarged(np.array([[[1], [2]]]), factor=2)[..., 0])
      [[1 1 2 2]
       [1 1 2 2]]
    """
    images = np.asarray(images)
    if factor < 1:
        raise ValueError(f"factor must be at least 1, got {factor}.")
    if images.ndim < 3:
        raise ValueError(f"Images have the shape [..., H, W, C], got {list(images.shape)}.")
    return images if factor == 1 else images.repeat(factor, axis=-3).repeat(factor, axis=-2)


def enlargement(width: int, height: int) -> int:
    """The whole factor that makes a grid of `width` by `height` pixels 600 to 1,200 pixels wide and at most 1,200 high.

    Where no factor does both, the picture is narrower than 600 pixels; 1 for what is large already.

    Example:
      Eight columns and rows of 32 pixels; a single image; one column of 100 images; a grid that is large already.

      >>> from tfflows.evaluation.grids import enlargement
      >>> enlargement(256, 256), enlargement(32, 32), enlargement(32, 3200), enlargement(2048, 2048)
      (3, 19, 1, 1)
    """
    return max(1, min(-(-_WIDTH // width), _HEIGHT // height))


def grid_bytes(num_images: int, image_shape: Sequence[int], num_columns: int | None = None) -> int:
    """The size of a `captioned_grid` in bytes, without margins and texts, before it is compressed.

    Args:
      num_images: Number of images.
      image_shape: `[H, W, C]`.
      num_columns: Number of columns; default: `ceil(sqrt(num_images))`.

    Example:
      >>> from tfflows.evaluation.grids import grid_bytes
      >>> grid_bytes(64, [32, 32, 3])  # enlarged three times
      1769472
    """
    height, width, channels = image_shape
    columns = near_square_columns(num_images) if num_columns is None else num_columns
    rows = -(-num_images // columns)
    return rows * height * columns * width * channels * enlargement(columns * width, rows * height) ** 2


def captioned_grid(
    images: "np.ndarray | tf.Tensor",
    num_columns: int | None = None,
    padding: int = 4,
    caption: str = "",
    row_names: Sequence[str] = (),
    column_names: Sequence[str] = (),
    corner: str = "",
) -> np.ndarray:
    """Lays images out as a picture to look at: enlarged by `enlargement`, with names of rows and columns and a caption.

    Names of columns stand above the grid, names of rows to the left of it, and the caption below. What is too long is wrapped,
    and shortened if that is not enough. Texts are drawn in a font that comes with Pillow: accents are left out, and letters that
    it does not have are shown as question marks. The same arguments give the same pixels.

    Args:
      images: uint8 `[N, H, W, C]`, C 1 or 3, N at least 1.
      num_columns: Number of columns; default: `ceil(sqrt(N))`.
      padding: Width of the margins in pixels of the picture.
      caption: Text below the grid; empty: none.
      row_names: A text for each row; empty: none.
      column_names: A text for each column; empty: none.
      corner: What the names of columns are, to the left of them.

    Returns:
      uint8 `[height, width, C]`. Without texts, this is the `image_grid` of the enlarged images, with margins of `FRAME`.

    Raises:
      MissingExtraError: If there are texts and Pillow is not installed.
      ValueError: If the images do not have that shape and dtype, a number is out of range, or there is not a name for each row or
        column.

    Example:
      >>> import numpy as np
      >>> from tfflows.evaluation.grids import captioned_grid
      >>> images = np.zeros([4, 32, 32, 3], np.uint8)
      >>> print(captioned_grid(images).shape)  # enlarged ten times, with margins of four pixels
      (652, 652, 3)
      >>> print(captioned_grid(images, caption="Glow", row_names=["cat", "ship"]).shape)
      (679, 693, 3)
    """
    if caption or corner or any(row_names) or any(column_names):
        check_text_can_be_drawn()
    images = np.asarray(images)
    _check_images(images)
    num_images, height, width, _ = images.shape
    columns = near_square_columns(num_images) if num_columns is None else num_columns
    _check_layout(columns, padding)
    rows = -(-num_images // columns)
    _check_names(row_names, rows, "row")
    _check_names(column_names, columns, "column")
    factor = enlargement(columns * width, rows * height)
    grid = _grid(images, columns, padding, factor, FRAME)
    if not (caption or corner or any(row_names) or any(column_names)):
        return grid
    return _with_texts(grid, rows, columns, padding, caption, row_names, column_names, corner)


def check_text_can_be_drawn() -> None:
    """Checks that Pillow, which draws the texts of pictures, is there.

    Raises:
      MissingExtraError: If it is not installed, or was built without FreeType.
    """
    require("PIL.ImageDraw", "images")
    if not require("PIL.features", "images").check("freetype2"):
        raise MissingExtraError(
            "The package 'pillow' was built without FreeType, so it cannot draw text: run pip install 'tfflows[images]'."
        )


def check_captions(caption: str | None, row_names: Sequence[str] = (), num_rows: int = 0) -> None:
    """Checks the texts of a picture before it is computed.

    Args:
      caption: Its caption; None if it is to have no texts.
      row_names: No names of rows, or one for each.
      num_rows: Number of rows.

    Raises:
      MissingExtraError: If there are texts, and Pillow is not installed or was built without FreeType.
      ValueError: If there is another number of names.
    """
    _check_names(row_names, num_rows, "row")
    if caption is not None:
        check_text_can_be_drawn()


def join_caption(*parts: str) -> str:
    """Parts of a caption, without those that are empty, separated by commas.

    Example:
      >>> from tfflows.evaluation.grids import join_caption
      >>> join_caption("Glow", "", "seed 0")
      'Glow, seed 0'
    """
    return ", ".join(part for part in parts if part)


def is_drawable(text: str) -> bool:
    """Whether all letters of a text, apart from their accents, are in the font of pictures.

    Example:
      >>> from tfflows.evaluation.grids import is_drawable
      >>> is_drawable("Größe"), is_drawable("cliché"), is_drawable("ship")
      (False, True, True)
    """
    return "?" not in _plain(text.replace("?", ""))


def _check_names(names, count, what):
    if len(names) not in (0, count):
        raise ValueError(f"{what}_names needs a text for each {what} of {count}, got {len(names)}.")


def _check_images(images):
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or 0 in images.shape:
        raise ValueError(
            f"A grid needs images [N, H, W, 1 or 3] with N, H, W at least 1, got shape {list(images.shape)}."
        )
    if images.dtype != np.uint8:
        raise ValueError(f"A grid needs uint8 images in 0 ... 255, got {images.dtype}.")


def _check_layout(num_columns, padding):
    if num_columns < 1:
        raise ValueError(f"num_columns must be at least 1, got {num_columns}.")
    if padding < 0:
        raise ValueError(f"padding must not be negative, got {padding}.")


def _grid(images, num_columns, padding, factor, frame=BACKGROUND):
    """`image_grid` of enlarged images, of which one at a time is held."""
    images = np.asarray(images)
    _check_images(images)
    num_images, height, width, channels = images.shape
    num_columns = near_square_columns(num_images) if num_columns is None else num_columns
    _check_layout(num_columns, padding)
    down, right = factor * height + padding, factor * width + padding
    num_rows = -(-num_images // num_columns)
    grid = np.full([num_rows * down + padding, num_columns * right + padding, channels], BACKGROUND, np.uint8)
    for number, image in enumerate(images):
        row, column = divmod(number, num_columns)
        framed = grid[row * down : (row + 1) * down + padding, column * right : (column + 1) * right + padding]
        framed[:padding], framed[:, :padding], framed[down:], framed[:, right:] = (frame,) * 4
        framed[padding:down, padding:right] = enlarged(image, factor)
    return grid


def _with_texts(grid, rows, columns, padding, caption, row_names, column_names, corner):
    """A grid with texts around it: a strip for each kind of text that there is."""
    height, width, channels = grid.shape
    down, right = (height - padding) // rows, (width - padding) // columns  # from one tile to the next
    size = max(14, width // 50)
    space = size // 2

    row_font = _font(min(size, max(4, 7 * down // 10)))
    fits = max(1, down // _line_height(row_font))
    widest = max(width // 4, 6 * size)
    named = [_wrapped(text, row_font, widest, fits) for text in row_names]
    corner_lines = _wrapped(corner, row_font, widest, 1)
    lengths = [row_font.getlength(line) for lines in (*named, corner_lines) for line in lines]
    left = 2 * space + math.ceil(max(lengths)) if any(lengths) else 0

    column_font = _font_that_fits(column_names, right - 4, size)
    headed = any(column_names) or any(corner_lines)
    top = max(_line_height(column_font), _line_height(row_font)) + space // 2 if headed else 0

    font = _font(size)
    picture_width = max(left + width, _NARROWEST)
    begin = left + padding if left + width == picture_width else space  # below the images if there is room
    lines = _wrapped(caption, font, picture_width - begin - space, _CAPTION_LINES) if caption else []
    below = len(lines) * _line_height(font) + space if lines else 0

    canvas = np.full([top + height + below, picture_width, channels], BACKGROUND, np.uint8)
    canvas[top : top + height, left : left + width] = grid
    draw, finished = _drawing(canvas)
    for row, own in enumerate(named):
        middle = top + padding + row * down + (down - padding) / 2
        _draw_lines(draw, own, row_font, left - space, middle - len(own) * _line_height(row_font) / 2, anchor="ra")
    if corner_lines:
        _draw_lines(draw, corner_lines, row_font, left - space, (top - _line_height(row_font)) / 2, anchor="ra")
    for column, name in enumerate(column_names):
        text = _shortened(_plain(name), column_font, right - 4)
        middle = left + padding + column * right + (right - padding) / 2
        _draw_lines(draw, [text], column_font, middle, (top - _line_height(column_font)) / 2, anchor="ma")
    _draw_lines(draw, lines, font, begin, top + height, anchor="la")
    return finished()


def _drawing(canvas):
    """What draws on a picture, and a function that gives the picture with what was drawn."""
    image_module, draw_module = require("PIL.Image", "images"), require("PIL.ImageDraw", "images")
    image = image_module.fromarray(canvas[..., 0] if canvas.shape[-1] == 1 else canvas)
    return draw_module.Draw(image), lambda: np.array(image).reshape(canvas.shape)


def _draw_lines(draw, lines, font, x, y, anchor):
    grey = _TEXT if draw.mode == "L" else (_TEXT,) * 3
    for number, line in enumerate(lines):
        draw.text((round(x), round(y) + number * _line_height(font)), line, fill=grey, font=font, anchor=anchor)


@functools.cache
def _font(size: int) -> Any:
    return require("PIL.ImageFont", "images").load_default(size=size)


def _line_height(font):
    return sum(font.getmetrics()) + max(2, round(font.size / 6))


def _font_that_fits(texts, width, size):
    """The greatest font, at most of `size`, in which each text fits into `width`; the smallest one if none does."""
    for own in range(size, _SMALLEST_FONT, -1):
        if all(_font(own).getlength(_plain(text)) <= width for text in texts):
            return _font(own)
    return _font(min(size, _SMALLEST_FONT))


def _wrapped(text, font, width, max_lines):
    """A text as at most `max_lines` lines that are at most `width` wide; the last one ends with dots if there would be more."""
    lines, rest = [], _plain(text).split()
    while rest:
        if len(lines) == max_lines - 1:
            return [*lines, _shortened(" ".join(rest), font, width)]
        count = 1
        while count < len(rest) and font.getlength(" ".join(rest[: count + 1])) <= width:
            count += 1
        line, rest = " ".join(rest[:count]), rest[count:]
        if font.getlength(line) > width:  # a single word: it goes on in the next line
            length = max(1, _fitting(line, font, width))
            line, rest = line[:length], [line[length:], *rest]
        lines.append(line)
    return lines


def _shortened(text, font, width):
    """A text, or as much of it as fits into `width` with three dots."""
    if font.getlength(text) <= width:
        return text
    return text[: _fitting(text, font, width, "...")].rstrip() + "..."


def _fitting(text, font, width, ending=""):
    """How many letters of a text fit into `width` with an ending."""
    counts = range(len(text) + 1)
    return max(0, bisect.bisect_right(counts, width, key=lambda count: font.getlength(text[:count] + ending)) - 1)


def _plain(text):
    """A text in letters that the font has: ASCII, without accents, other letters as question marks."""
    decomposed = unicodedata.normalize("NFKD", str(text))
    letters = (letter for letter in decomposed if not unicodedata.combining(letter))
    return "".join(letter if " " <= letter <= "~" else "?" for letter in letters)
