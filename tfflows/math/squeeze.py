"""Space to channels and back: blocks of pixels (squeeze), and the two colours of a board as halves of the channels."""

import numpy as np
import tensorflow as tf

from tfflows.math.shapes import sizes_of

# The axes of a [..., H/f, f, W/f, f, C] tensor, counted from the end, in the order they take after a squeeze.
_SQUEEZED_AXES = {
    "channel_first": (-5, -3, -1, -4, -2),  # out channel = f*f*c + f*dy + dx: Glow
    "position_first": (-5, -3, -4, -2, -1),  # out channel = (f*dy + dx)*C + c: space_to_depth, Flow++, MaCow
}
# As `position_first`, but first the positions where dy + dx is even: RealNVP, which factors out one colour of the board.
_EVEN_FIRST = "even_first"
CHANNEL_ORDERS = (*_SQUEEZED_AXES, _EVEN_FIRST)

PATTERNS = ("columns", "checkerboard")


def _permutation(batch_rank, trailing_axes):
    return [*range(batch_rank), *(batch_rank + 5 + axis for axis in trailing_axes)]


def squeeze(x: tf.Tensor, factor: int = 2, order: str = "channel_first") -> tf.Tensor:
    """Trades space for channels: `[..., H, W, C]` to `[..., H/factor, W/factor, factor**2 * C]`.

    Args:
      x: Static rank; H and W are multiples of `factor`.
      factor: Side of a block.
      order: `'channel_first'` (Glow: the input channel varies slowest), `'position_first'` (that of `tf.nn.space_to_depth`), or
        `'even_first'`: as the latter, but first the positions of a block where row + column is even, then the others.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.math.squeeze import squeeze, unsqueeze
      >>> x = tf.constant([[["a0", "b0"], ["a1", "b1"]], [["a2", "b2"], ["a3", "b3"]]])  # [2, 2, 2]
      >>> print(squeeze(x).numpy().astype(str).ravel())
      ['a0' 'a1' 'a2' 'a3' 'b0' 'b1' 'b2' 'b3']
      >>> print(squeeze(x, order="position_first").numpy().astype(str).ravel())
      ['a0' 'b0' 'a1' 'b1' 'a2' 'b2' 'a3' 'b3']
      >>> print(squeeze(x, order="even_first").numpy().astype(str).ravel())
      ['a0' 'b0' 'a3' 'b3' 'a1' 'b1' 'a2' 'b2']
      >>> bool(tf.reduce_all(unsqueeze(squeeze(x)) == x))
      True
    """
    if order == _EVEN_FIRST:
        return _take_positions(squeeze(x, factor, "position_first"), _even_first(factor))
    batch_rank = x.shape.rank - 3
    batch = tf.shape(x)[:batch_rank]
    height, width = tf.shape(x)[-3], tf.shape(x)[-2]
    static = x.shape
    if static[-3] is not None and static[-2] is not None:
        height, width = static[-3], static[-2]
    channels = tf.shape(x)[-1] if static[-1] is None else static[-1]
    blocks = tf.reshape(x, tf.concat([batch, [height // factor, factor, width // factor, factor, channels]], axis=0))
    blocks = tf.transpose(blocks, _permutation(batch_rank, _SQUEEZED_AXES[order]))
    squeezed = [height // factor, width // factor, factor * factor * channels]
    return tf.ensure_shape(tf.reshape(blocks, tf.concat([batch, squeezed], axis=0)), static[:-3] + _static(squeezed))


def unsqueeze(y: tf.Tensor, factor: int = 2, order: str = "channel_first") -> tf.Tensor:
    """Inverse of `squeeze`: `[..., H, W, C]` to `[..., factor * H, factor * W, C / factor**2]`."""
    if order == _EVEN_FIRST:
        return unsqueeze(_take_positions(y, np.argsort(_even_first(factor))), factor, "position_first")
    batch_rank = y.shape.rank - 3
    batch = tf.shape(y)[:batch_rank]
    height, width = tf.shape(y)[-3], tf.shape(y)[-2]
    static = y.shape
    if static[-3] is not None and static[-2] is not None:
        height, width = static[-3], static[-2]
    channels = (tf.shape(y)[-1] if static[-1] is None else static[-1]) // (factor * factor)
    squeezed_axes = _SQUEEZED_AXES[order]
    # Sizes of (H, dy, W, dx, C) laid out in squeezed order, then the inverse permutation.
    sizes = (height, factor, width, factor, channels)
    blocks = tf.reshape(y, tf.concat([batch, [sizes[axis] for axis in squeezed_axes]], axis=0))
    inverse = [squeezed_axes.index(axis) - 5 for axis in range(-5, 0)]
    blocks = tf.transpose(blocks, _permutation(batch_rank, inverse))
    unsqueezed = [height * factor, width * factor, channels]
    return tf.ensure_shape(
        tf.reshape(blocks, tf.concat([batch, unsqueezed], axis=0)), static[:-3] + _static(unsqueezed)
    )


def _even_first(factor):
    """The positions of a block, counted row by row, in the order that they take."""
    row, column = np.divmod(np.arange(factor * factor), factor)
    return np.argsort((row + column) % 2, kind="stable")


def _take_positions(x, positions):
    """Reorders the blocks of channels that belong to the positions of a block of pixels."""
    *outer, channels = sizes_of(x)
    blocks = tf.reshape(x, [*outer, len(positions), channels // len(positions)])
    taken = tf.gather(blocks, positions, axis=-2)
    return tf.ensure_shape(tf.reshape(taken, [*outer, channels]), x.shape)


def _static(sizes):
    return tf.TensorShape([size if isinstance(size, int) else None for size in sizes])


def split_colours(x: tf.Tensor, pattern: str) -> tf.Tensor:
    """`[..., H, W, C] -> [..., H, W/2, 2 C]`: the first half of the channels is one colour, the second half the other.

    Args:
      x: Static rank; W even.
      pattern: `'columns'`: even columns and odd columns. `'checkerboard'`: where row + column is even, and where it is odd.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.math.squeeze import merge_colours, split_colours
      >>> x = tf.reshape(tf.range(4), [2, 2, 1])
      >>> split_colours(x, "checkerboard").numpy().tolist()  # 0 and 3 are one colour
      [[[0, 1]], [[3, 2]]]
      >>> merge_colours(split_colours(x, "checkerboard"), "checkerboard")[..., 0].numpy().tolist()
      [[0, 1], [2, 3]]
    """
    *batch, height, width, channels = sizes_of(x)
    pairs = tf.reshape(x, [*batch, height, width // 2, 2 * channels])
    pairs = pairs if pattern == "columns" else _swap_in_odd_rows(pairs)
    return tf.ensure_shape(pairs, [*x.shape[:-2], *_static([_half(x.shape[-2]), 2 * channels])])


def merge_colours(y: tf.Tensor, pattern: str) -> tf.Tensor:
    """Inverse of `split_colours`: `[..., H, W, C] -> [..., H, 2 W, C/2]`."""
    *batch, height, width, channels = sizes_of(y)
    y = y if pattern == "columns" else _swap_in_odd_rows(y)
    doubled = None if y.shape[-2] is None else 2 * y.shape[-2]
    return tf.ensure_shape(
        tf.reshape(y, [*batch, height, 2 * width, channels // 2]), [*y.shape[:-2], *_static([doubled, channels // 2])]
    )


def _swap_in_odd_rows(pairs):
    """Exchanges the halves of the channels in every other row."""
    first, second = tf.split(pairs, 2, axis=-1)
    odd = (tf.range(tf.shape(pairs)[-3]) % 2 == 1)[:, tf.newaxis, tf.newaxis]
    return tf.concat([tf.where(odd, second, first), tf.where(odd, first, second)], axis=-1)


def _half(size):
    return None if size is None else size // 2
