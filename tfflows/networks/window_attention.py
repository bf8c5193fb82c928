"""The coupling network of MaCow whose pixels attend to those of their window."""

import keras
import numpy as np
import tensorflow as tf

from tfflows.math.attention import self_attention
from tfflows.math.random import derive_seed
from tfflows.math.shapes import sizes_of
from tfflows.networks.data_dependent import call_layer, initialize_layer
from tfflows.networks.elu_networks import context_of
from tfflows.networks.weight_norm import WeightNormConv2D

# Of PyTorch's group norm.
_GROUP_NORM_EPSILON = 1e-5


class WindowAttentionNetwork(keras.layers.Layer):
    """Self-attention in windows: `[B, H, W, C] -> [B, H, W, filters]`, zero after data-dependent init; float32 under any policy.

    With linear layers on the channels of each pixel, weight norm in all of them, and s = `window`:

        h = first(x) + position                     in each of the H/s x W/s windows of s x s pixels
        a = h + attention(q, k, v)                  [q, k, v] = projection(h); over the s^2 pixels of the window
        y = last(ELU(mixing(group_norm(a))))        `num_heads` groups of channels, over the window

    Nothing that happens in one window is seen in another. Attention is `softmax(q k^T / sqrt(d)) v` for each head of
    d = `width` / `num_heads` channels; for the position code see `sinusoidal_code`.

    Called with `(x, condition)`: None, a context `[B, H, W, C_context]`, which is joined to x, behind it, or a dictionary that
    holds it as `context`. Raises `ValueError` when H or W is no multiple of `window`.

    Source: released MaCow, `self_attn` of its configuration imagenet64-attn; not in the paper.
    """

    def __init__(self, width, filters, window, num_heads=8, context_filters=0, seed=0, **kwargs):
        """Creates the layers.

        Args:
          width: Python `int`, hidden channels, a multiple of `num_heads`.
          filters: Python `int`, output channels.
          window: Python `int`, side of a window.
          num_heads: Python `int`, of the attention, and groups of the group norm.
          context_filters: Python `int`, channels of the context, 0 for none.
          seed: Python `int` of the initial parameters.
          **kwargs: As in Keras.

        Raises:
          ValueError: if `width` is no multiple of `num_heads`, or `window` is below 1.
        """
        super().__init__(autocast=False, **kwargs)
        if num_heads < 1 or width % num_heads:
            raise ValueError(f"A width of {width} cannot be cut into {num_heads} heads; give a multiple.")
        if window < 1:
            raise ValueError(f"window must be at least 1, got {window}.")
        policy = {"dtype": self.dtype_policy}
        self.width = width
        self.window = window
        self.num_heads = num_heads
        self.context_filters = context_filters
        self.first = WeightNormConv2D(width, 1, seed=derive_seed(seed, "first"), **policy)
        self.projection = WeightNormConv2D(3 * width, 1, seed=derive_seed(seed, "projection"), **policy)
        self.group_norm = keras.layers.GroupNormalization(num_heads, epsilon=_GROUP_NORM_EPSILON, **policy)
        self.mixing = WeightNormConv2D(width, 1, seed=derive_seed(seed, "mixing"), **policy)
        self.last = WeightNormConv2D(filters, 1, init_scale=0.0, seed=derive_seed(seed, "last"), **policy)
        self._position = sinusoidal_code(window, width)

    def build(self, input_shape):
        *outer, channels = input_shape
        self._check_sides(input_shape)
        self.first.build((*outer, channels + self.context_filters))
        for layer in (self.projection, self.group_norm):
            layer.build((None, self.window, self.window, self.width))
        for layer in (self.mixing, self.last):
            layer.build((*outer, self.width))
        self.built = True

    def call(self, x, condition=None):
        return self._run(call_layer, x, condition)

    def initialize(self, x, condition=None):
        """Data-dependent init, layer after layer, from a batch; returns the output on it."""
        return self._run(initialize_layer, x, condition)

    def _run(self, run, x, condition):
        self._check_sides(x.shape)
        if self.context_filters:
            x = tf.concat([x, context_of(self, condition)], axis=-1)
        hidden = run(self.first, x)
        windows = cut_windows(hidden, self.window)
        windows += tf.constant(self._position, windows.dtype)
        windows += self_attention(run(self.projection, windows), self.num_heads)
        hidden = join_windows(self.group_norm(windows), hidden)
        hidden = tf.nn.elu(run(self.mixing, hidden))
        return tf.cast(run(self.last, hidden), self.variable_dtype)

    def _check_sides(self, shape):
        _, height, width, _ = shape
        if any(side is not None and side % self.window for side in (height, width)):
            raise ValueError(
                f"{self.name} cannot cut an image of {height}x{width} into windows of {self.window}x{self.window}; give a window "
                "that divides both sides."
            )

    def compute_output_shape(self, input_shape, *rest):
        return self.last.compute_output_shape(input_shape)


def sinusoidal_code(window, channels):
    """The position code of a window, float32 `[window, window, channels]`.

    `sin(t)` on even channels i and `cos(t)` on odd ones, `t = (window row + column) / 10000^(2 floor(i / 2) / channels)`.

    Source: Vaswani et al. 2017, section 3.5; released MaCow.
    """
    channel = np.arange(channels)
    angle = np.arange(window**2)[:, np.newaxis] / 10000.0 ** (2 * (channel // 2) / channels)
    code = np.where(channel % 2, np.cos(angle), np.sin(angle))
    # The authors keep it in float32, also where they compute in float64.
    return code.reshape([window, window, channels]).astype(np.float32)


def cut_windows(x, window):
    """`[B, H, W, C] -> [B (H / window) (W / window), window, window, C]`: adjacent windows, row after row."""
    batch, height, width, channels = sizes_of(x)
    rows, columns = height // window, width // window
    x = tf.reshape(x, [batch, rows, window, columns, window, channels])
    return tf.reshape(tf.transpose(x, [0, 1, 3, 2, 4, 5]), [batch * rows * columns, window, window, channels])


def join_windows(windows, like):
    """The inverse of `cut_windows`, to the shape of `like`."""
    batch, height, width, channels = sizes_of(like)
    window = windows.shape[1]
    x = tf.reshape(windows, [batch, height // window, width // window, window, window, channels])
    x = tf.reshape(tf.transpose(x, [0, 1, 3, 2, 4, 5]), [batch, height, width, channels])
    return tf.ensure_shape(x, like.shape)
