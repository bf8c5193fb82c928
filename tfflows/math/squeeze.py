"""Squeeze: 2x2 blocks of pixels to channels and back, in the two channel orders of the literature."""

import tensorflow as tf

# The axes of a [..., H/f, f, W/f, f, C] tensor, counted from the end, in the order they take after a squeeze.
_SQUEEZED_AXES = {
    "channel_first": (-5, -3, -1, -4, -2),  # out channel = f*f*c + f*dy + dx: Glow
    "position_first": (-5, -3, -4, -2, -1),  # out channel = (f*dy + dx)*C + c: space_to_depth, Flow++, MaCow
}
CHANNEL_ORDERS = tuple(_SQUEEZED_AXES)


def _permutation(batch_rank, trailing_axes):
    return [*range(batch_rank), *(batch_rank + 5 + axis for axis in trailing_axes)]


def squeeze(x, factor=2, order="channel_first"):
    """Trades space for channels: `[..., H, W, C]` to `[..., H/factor, W/factor, factor**2 * C]`.

    Args:
      x: `Tensor` with static rank and channels; H and W multiples of `factor`.
      factor: Python `int`, side of a block.
      order: `'channel_first'` (Glow: input channel slowest) or `'position_first'` (that of `tf.nn.space_to_depth`).
    """
    batch_rank = x.shape.rank - 3
    batch = tf.shape(x)[:batch_rank]
    height, width = tf.shape(x)[-3], tf.shape(x)[-2]
    static = x.shape
    if static[-3] is not None and static[-2] is not None:
        height, width = static[-3], static[-2]
    channels = static[-1]
    blocks = tf.reshape(x, tf.concat([batch, [height // factor, factor, width // factor, factor, channels]], axis=0))
    blocks = tf.transpose(blocks, _permutation(batch_rank, _SQUEEZED_AXES[order]))
    squeezed = [height // factor, width // factor, factor * factor * channels]
    return tf.ensure_shape(tf.reshape(blocks, tf.concat([batch, squeezed], axis=0)), static[:-3] + _static(squeezed))


def unsqueeze(y, factor=2, order="channel_first"):
    """Inverse of `squeeze`: `[..., H, W, C]` to `[..., factor * H, factor * W, C / factor**2]`."""
    batch_rank = y.shape.rank - 3
    batch = tf.shape(y)[:batch_rank]
    height, width = tf.shape(y)[-3], tf.shape(y)[-2]
    static = y.shape
    if static[-3] is not None and static[-2] is not None:
        height, width = static[-3], static[-2]
    channels = static[-1] // (factor * factor)
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


def _static(sizes):
    return tf.TensorShape([size if isinstance(size, int) else None for size in sizes])
