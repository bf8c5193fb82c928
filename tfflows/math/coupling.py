"""Elementwise maps of coupling layers, in the direction data to latent, and their inverses."""

import tensorflow as tf


def log_sigmoid_scale(raw_scale):
    """`ln sigmoid(raw_scale + 2)`: the released Glow's bounded scale, 0.88 at zero; nats."""
    return -tf.nn.softplus(-2.0 - raw_scale)


def identity_log_scale(raw_scale):
    """`raw_scale` itself, for a scale `exp(raw_scale)`: the Glow paper's table 1."""
    return raw_scale


LOG_SCALES = {"sigmoid": log_sigmoid_scale, "exp": identity_log_scale, "tanh": tf.tanh}


def shift_then_scale(x, shift, log_scale):
    """`y = (x + shift) * exp(log_scale)`: the released order."""
    return (x + shift) * tf.exp(log_scale)


def inverse_shift_then_scale(y, shift, log_scale):
    """`x = y * exp(-log_scale) - shift`."""
    return y * tf.exp(-log_scale) - shift


@tf.custom_gradient
def shift_then_sigmoid_scale(x, shift, raw_scale):
    """`(y, log_scale)` with `y = (x + shift) s`, `s = sigmoid(raw_scale + 2)`: both released choices in one.

    The gradient needs `y` and `s` alone: `d_x = d_shift = d_y s`, `d_raw_scale = (d_y y + d_log_scale) (1 - s)`, half as many
    operations as one by one.
    """
    log_scale = log_sigmoid_scale(raw_scale)
    scale = tf.exp(log_scale)
    y = (x + shift) * scale

    def gradient(d_y, d_log_scale):
        d_x = d_y * scale
        return d_x, d_x, (d_y * y + d_log_scale) * (1 - scale)

    return (y, log_scale), gradient


def scale_then_shift(x, shift, log_scale):
    """`y = x * exp(log_scale) + shift`: the paper's order."""
    return x * tf.exp(log_scale) + shift


def inverse_scale_then_shift(y, shift, log_scale):
    """`x = (y - shift) * exp(-log_scale)`."""
    return (y - shift) * tf.exp(-log_scale)


def inverse_scale_then_shift_of_sigmoid(y, shift, raw_scale):
    """`x = (y - shift) / s`, `s = sigmoid(raw_scale + 2)`: one exponential, without the logarithm."""
    return (y - shift) * (1 + tf.exp(-2.0 - raw_scale))


def interleaved(parameters):
    """Even channels and odd channels of `[..., 2 C]`: two tensors `[..., C]`."""
    shape = tf.concat([tf.shape(parameters)[:-1], [parameters.shape[-1] // 2, 2]], axis=0)
    # The gradient of unstacking is one stacking, that of two slices pads both with zeros and adds them.
    return tuple(tf.unstack(tf.reshape(parameters, shape), axis=-1))


def contiguous(parameters):
    """First and last half of the channels of `[..., 2 C]`: two tensors `[..., C]`."""
    return tuple(tf.split(parameters, 2, axis=-1))


CHANNEL_SPLITS = {"interleaved": interleaved, "contiguous": contiguous}
