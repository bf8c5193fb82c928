"""Elementwise maps of coupling layers, in the direction data to latent, and their inverses."""

import tensorflow as tf


def log_sigmoid_scale(raw_scale: tf.Tensor) -> tf.Tensor:
    """`ln sigmoid(raw_scale + 2)` in nats: the released Glow's bounded scale, which is 0.88 at zero."""
    return -tf.nn.softplus(-2.0 - raw_scale)


def identity_log_scale(raw_scale: tf.Tensor) -> tf.Tensor:
    """`raw_scale` itself, for a scale of `exp(raw_scale)`: table 1 of the Glow paper."""
    return raw_scale


def rescaled_tanh_log_scale(raw_scale: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """`factor * tanh(raw_scale)` in nats, with one learned factor per coupling: the released RealNVP's bounded scale."""
    return factor * tf.tanh(raw_scale)


LOG_SCALES = {"sigmoid": log_sigmoid_scale, "exp": identity_log_scale, "tanh": tf.tanh}


def shift_then_scale(x: tf.Tensor, shift: tf.Tensor, log_scale: tf.Tensor) -> tf.Tensor:
    """`y = (x + shift) * exp(log_scale)`: the order of the released Glow."""
    return (x + shift) * tf.exp(log_scale)


def inverse_shift_then_scale(y: tf.Tensor, shift: tf.Tensor, log_scale: tf.Tensor) -> tf.Tensor:
    """`x = y * exp(-log_scale) - shift`: inverse of `shift_then_scale`."""
    return y * tf.exp(-log_scale) - shift


@tf.custom_gradient
def shift_then_sigmoid_scale(x: tf.Tensor, shift: tf.Tensor, raw_scale: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """`(y, log_scale)` with `y = (x + shift) s`, `s = sigmoid(raw_scale + 2)`: both choices of the released Glow in one.

    The gradient needs only `y` and `s`: `d_x = d_shift = d_y s`, `d_raw_scale = (d_y y + d_log_scale) (1 - s)`. That is half as
    many operations as the two one after the other.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.math.coupling import shift_then_sigmoid_scale
      >>> y, log_scale = shift_then_sigmoid_scale(tf.constant(3.0), tf.constant(-1.0), tf.constant(-2.0))
      >>> print(round(float(y), 4), round(float(log_scale), 4))  # (3 - 1) / 2 and ln(1/2)
      1.0 -0.6931
    """
    log_scale = log_sigmoid_scale(raw_scale)
    scale = tf.exp(log_scale)
    y = (x + shift) * scale

    def gradient(d_y, d_log_scale):
        d_x = d_y * scale
        return d_x, d_x, (d_y * y + d_log_scale) * (1 - scale)

    return (y, log_scale), gradient


def scale_then_shift(x: tf.Tensor, shift: tf.Tensor, log_scale: tf.Tensor) -> tf.Tensor:
    """`y = x * exp(log_scale) + shift`: the order of the Glow paper."""
    return x * tf.exp(log_scale) + shift


def inverse_scale_then_shift(y: tf.Tensor, shift: tf.Tensor, log_scale: tf.Tensor) -> tf.Tensor:
    """`x = (y - shift) * exp(-log_scale)`: inverse of `scale_then_shift`."""
    return (y - shift) * tf.exp(-log_scale)


def inverse_scale_then_shift_of_sigmoid(y: tf.Tensor, shift: tf.Tensor, raw_scale: tf.Tensor) -> tf.Tensor:
    """`x = (y - shift) / s` with `s = sigmoid(raw_scale + 2)`: one exponential and no logarithm."""
    return (y - shift) * (1 + tf.exp(-2.0 - raw_scale))


def interleaved(parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Even channels and odd channels of `[..., 2 C]`: two tensors `[..., C]`."""
    shape = tf.concat([tf.shape(parameters)[:-1], [parameters.shape[-1] // 2, 2]], axis=0)
    # The gradient of unstacking is one stacking, that of two slices pads both with zeros and adds them.
    return tuple(tf.unstack(tf.reshape(parameters, shape), axis=-1))


def contiguous(parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """First half and last half of the channels of `[..., 2 C]`: two tensors `[..., C]`."""
    return tuple(tf.split(parameters, 2, axis=-1))


def colour_mask(height: int | tf.Tensor, width: int | tf.Tensor, colour: str) -> tf.Tensor:
    """Which pixels have a colour of the checkerboard, bool `[H, W, 1]`.

    Args:
      height: H.
      width: W.
      colour: `'even'`, where row + column is even, or `'odd'`.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.math.coupling import colour_mask
      >>> print(tf.cast(colour_mask(2, 3, "even")[..., 0], tf.int32).numpy())
      [[1 0 1]
       [0 1 0]]
    """
    parity = (tf.range(height)[:, tf.newaxis] + tf.range(width)) % 2
    return tf.equal(parity, COLOURS.index(colour))[..., tf.newaxis]


COLOURS = ("even", "odd")
CHANNEL_SPLITS = {"interleaved": interleaved, "contiguous": contiguous}
