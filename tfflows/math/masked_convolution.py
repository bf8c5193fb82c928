"""Masked convolutions: which pixels each pixel sees, and the convolution itself.

There are the two kinds of MaCow. `masked`: a k x k kernel whose taps at and after the centre are dead, so that a pixel sees
those before it in raster order (A) or in reverse raster order (B). `shifted`: a dense kernel over the lines before the pixel's
own: rows above (A) or below (B), columns to the left (C) or to the right (D); nothing of its own line is seen.

And there are the masks of an inverse autoregressive flow, whose kernels see channels of their own pixel too.

References:
  Ma et al. 2019, section 3.1 (masked), https://arxiv.org/abs/1902.04208; its released code (shifted); Kingma et al. 2016,
  https://arxiv.org/abs/1606.04934, and its released code (autoregressive).
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfflows.math.convolution import conv2d

MASKED, SHIFTED = KINDS = ("masked", "shifted")
ORDERS = {MASKED: ("A", "B"), SHIFTED: ("A", "B", "C", "D")}


def check(kind: str, order: str, kernel_size: Sequence[int]) -> None:
    """Raises `ValueError` unless such a masked convolution exists; `kernel_size` is `(height, width)`."""
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {KINDS}, got {kind!r}.")
    if order not in ORDERS[kind]:
        raise ValueError(f"order must be one of {ORDERS[kind]} for kind={kind!r}, got {order!r}.")
    height, width = canonical_size(kernel_size, order)
    if height < 1 or width < 1 or width % 2 == 0 or (kind == MASKED and height % 2 == 0):
        wanted = "odd sides" if kind == MASKED else "an odd size along the lines"
        raise ValueError(f"A {kind} convolution of order {order} needs a kernel of {wanted}, got {tuple(kernel_size)}.")


def causal_mask(kernel_size: Sequence[int], order: str) -> np.ndarray:
    """The live taps of a masked kernel, float64 `[k, k, 1, 1]`: those before the centre in raster order, for B those after it.

    Example:
      >>> from tfflows.math.masked_convolution import causal_mask
      >>> causal_mask((3, 3), "A")[:, :, 0, 0].astype(int).tolist()
      [[1, 1, 1], [1, 0, 0], [0, 0, 0]]
    """
    height, width = kernel_size
    mask = (np.arange(height * width) < height * width // 2).reshape([height, width, 1, 1]).astype(np.float64)
    return mask if order == "A" else mask[::-1, ::-1]


def autoregressive_mask(in_channels: int, out_channels: int, strict: bool) -> np.ndarray:
    """The live taps of a 3x3 kernel of an inverse autoregressive flow: float64 `[3, 3, in_channels, out_channels]` of 0 and 1.

    The order runs over pixels from the last to the first in raster order and, within a pixel, over channels. Of the other pixels,
    the right neighbour and the row below are seen.

    At the centre, both kinds of channels are cut into the same number of equal groups in order. An output group sees the input
    groups before it and, unless `strict`, its own.

    Raises:
      ValueError: If neither number of channels divides the other.
    """
    groups = min(in_channels, out_channels)
    if in_channels % groups or out_channels % groups:
        raise ValueError(
            f"Of an autoregressive convolution one number of channels must divide the other, got {in_channels} and "
            f"{out_channels}."
        )
    mask = np.ones([3, 3, in_channels, out_channels])
    mask[0] = 0
    mask[1, 0] = 0
    group_in, group_out = (np.arange(size) * groups // size for size in (in_channels, out_channels))
    before = group_in[:, np.newaxis] < group_out if strict else group_in[:, np.newaxis] <= group_out
    mask[1, 1] = before
    return mask


def convolve(x: tf.Tensor, kernel: tf.Tensor, kind: str, order: str) -> tf.Tensor:
    """The convolution, as wide and as high as its input; kernels of kind `masked` have their mask applied already.

    Args:
      x: `[B, H, W, C]`.
      kernel: `[height, width, C, filters]`. For a shifted one of order C or D the width goes across the lines.
      kind: One of `KINDS`.
      order: One of `ORDERS[kind]`.

    Returns:
      `[B, H, W, filters]`.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.math.masked_convolution import convolve
      >>> x = tf.reshape([1.0, 2.0, 3.0, 4.0], [1, 2, 2, 1])
      >>> convolve(x, tf.ones([1, 1, 1, 1]), "shifted", "A")[0, :, :, 0].numpy().tolist()  # the row above
      [[0.0, 0.0], [1.0, 2.0]]
    """
    if kind == MASKED:
        return conv2d(x, kernel, strides=1, padding="SAME")
    return conv2d(shifted(x, kernel.shape[:2], order), kernel, strides=1, padding="VALID")


def shifted(x: tf.Tensor, kernel_size: Sequence[int], order: str) -> tf.Tensor:
    """Pads `x` with zeros so that a kernel without further padding sees the lines before each pixel's own.

    Args:
      x: `[B, H, W, C]`.
      kernel_size: `(height, width)`.
      order: A, B, C or D.
    """
    height, width = canonical_size(kernel_size, order)
    across, along = (1, 2) if order in "AB" else (2, 1)
    before = order in "AC"  # above or to the left
    pads = [[0, 0] for _ in range(4)]
    pads[across] = [height, 0] if before else [0, height]
    pads[along] = [width // 2, width // 2]
    # The last line is seen by none.
    kept = [slice(None)] * 4
    kept[across] = slice(None, -1) if before else slice(1, None)
    return tf.pad(x, pads)[tuple(kept)]


def canonical_size(kernel_size: Sequence[int], order: str) -> tuple[int, int]:
    """The kernel size `(height, width)` once the image is turned so that its order is A."""
    return tuple(kernel_size) if order in "AB" else tuple(kernel_size[::-1])


def canonical_kernel(kernel: tf.Tensor, kind: str, order: str) -> tf.Tensor:
    """The kernel of order A that does to `to_canonical(x)` what `kernel` does to x."""
    if order in "CD":
        kernel = tf.transpose(kernel, [1, 0, 2, 3])
    if order in "BD":
        kernel = tf.reverse(kernel, [0, 1] if kind == MASKED else [0])
    return kernel


def to_canonical(x: tf.Tensor, kind: str, order: str) -> tf.Tensor:
    """Turns images `[B, H, W, C]` so that their order becomes A: top to bottom."""
    return _reversed(_transposed(x, order), kind, order)


def from_canonical(x: tf.Tensor, kind: str, order: str) -> tf.Tensor:
    """Inverse of `to_canonical`."""
    return _transposed(_reversed(x, kind, order), order)


def _transposed(x, order):
    return tf.transpose(x, [0, 2, 1, 3]) if order in "CD" else x


def _reversed(x, kind, order):
    return tf.reverse(x, [1, 2] if kind == MASKED else [1]) if order in "BD" else x


def pixel_network(hidden: tf.Tensor, bias: tf.Tensor, last_kernel: tf.Tensor, last_bias: tf.Tensor) -> tf.Tensor:
    """Bias, ELU and 1x1 convolution for pixels whose masked sums `[..., width]` are known: `[..., filters]`."""
    hidden = tf.nn.elu(hidden + bias)
    rows = tf.matmul(tf.reshape(hidden, [-1, last_kernel.shape[0]]), last_kernel) + last_bias
    return tf.reshape(rows, tf.concat([tf.shape(hidden)[:-1], [last_kernel.shape[1]]], axis=0))
