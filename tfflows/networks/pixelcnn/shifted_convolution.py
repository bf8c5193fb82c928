"""Convolutions of PixelCNN++, with weight norm: they see the rows above, also the columns to the left, or all around."""

from collections.abc import Sequence
from typing import Any, ClassVar

import tensorflow as tf

from tfflows.math.convolution import conv2d, conv2d_transpose
from tfflows.networks.layers import WeightNormLayer
from tfflows.tracing.variables import check_built

SAME, DOWN, DOWN_RIGHT = SHIFTS = ("same", "down", "down_right")

_VARIANCE_EPSILON = 1e-10


class _PixelCNNLayer(WeightNormLayer):
    """Gains start at 1; data-dependent init uses the moments of the direction's response before cropping."""

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        shift: str,
        strides: int,
        init_scale: float,
        seed: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(filters, kernel_size, init_scale, seed, **kwargs)
        if shift not in SHIFTS:
            raise ValueError(f"shift must be one of {SHIFTS}, got {shift!r}.")
        self.shift = shift
        self.strides = strides

    def _initial_gain(self, direction):
        return tf.ones([self.filters], direction.dtype)

    def _convolve(self, x, kernel):
        return self._crop(self._full(x, kernel))

    def _crop(self, full):
        return full

    def initialize(self, x: tf.Tensor) -> tf.Tensor:
        """Initializes gain and bias from a batch `[B, H, W, C]` and returns the layer's output for it.

        Each output channel gets mean 0 and standard deviation `init_scale`. With an `init_scale` of 0, gain, bias and output
        become exactly 0.
        """
        check_built(self, "its initialize")
        direction = tf.convert_to_tensor(self.direction)
        kernel = direction * tf.math.rsqrt(self._squared_norm(direction))
        full = self._full(tf.cast(x, self.compute_dtype), tf.cast(kernel, self.compute_dtype))
        full = tf.cast(full, self.variable_dtype)
        mean, variance = tf.nn.moments(full, axes=[0, 1, 2])
        factor = self.init_scale * tf.math.rsqrt(variance + _VARIANCE_EPSILON)
        self.gain.assign(factor)
        self.bias.assign(-mean * factor)
        return tf.cast(self._crop((full - mean) * factor), self.compute_dtype)


class ShiftedConv2D(_PixelCNNLayer):
    """Shifted convolution with weight norm: `conv(x, g v / ||v||) + bias`.

    The norm is taken per output channel. At first v ~ N(0, 0.05^2), g is 1 and the bias 0; `initialize` then sets g and the bias
    from data.

    With shift `down`, output (i, j) sees rows up to i and columns around j; with `down_right`, rows up to i and columns up to j;
    with `same`, all around. With stride 2 only the outputs (2 i, 2 j) of these are kept (but `same` is padded as TensorFlow does
    it).

    Shapes: `[B, H, W, C] -> [B, H / strides, W / strides, filters]`, rounded up.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.networks import ShiftedConv2D
      >>> layer = ShiftedConv2D(filters=1, kernel_size=(2, 3), shift="down")
      >>> x = tf.Variable(tf.ones([1, 3, 3, 1]))
      >>> with tf.GradientTape() as tape:
      ...     centre = layer(x)[0, 1, 1, 0]
      >>> seen = tape.gradient(centre, x) != 0
      >>> tf.cast(seen[0, :, :, 0], tf.int32).numpy()
      array([[1, 1, 1],
             [1, 1, 1],
             [0, 0, 0]], dtype=int32)

    References:
      Salimans et al. 2017, https://arxiv.org/abs/1701.05517; released code (openai/pixel-cnn).
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        shift: str = SAME,
        strides: int = 1,
        init_scale: float = 1.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Creates the layer.

        Args:
          filters: Number of output channels.
          kernel_size: Side of the kernel, or `(height, width)`.
          shift: `'same'`, `'down'` or `'down_right'`.
          strides: Stride, in both directions.
          init_scale: Standard deviation of the outputs after `initialize`.
          seed: Seed of v.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).

        Raises:
          ValueError: If `shift` is unknown.
        """
        super().__init__(filters, kernel_size, shift, strides, init_scale, seed, **kwargs)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Creates the variables for inputs of `input_shape`."""
        self._build((*self.kernel_size, input_shape[-1], self.filters))

    def _full(self, x, kernel):
        if self.kernel_size == (1, 1):
            rows = tf.matmul(tf.reshape(x, [-1, kernel.shape[2]]), kernel[0, 0])
            out = tf.reshape(rows, tf.concat([tf.shape(x)[:-1], [self.filters]], axis=0))
            return tf.ensure_shape(out, [*x.shape[:-1], self.filters])
        if self.shift == SAME:
            return conv2d(x, kernel, strides=self.strides, padding="SAME")
        height, width = self.kernel_size
        side = (width - 1) // 2
        columns = [side, side] if self.shift == DOWN else [width - 1, 0]
        # Padding in the convolution itself would save a copy, but on CPU its gradient takes nearly twice as long.
        padded = tf.pad(x, [[0, 0], [height - 1, 0], columns, [0, 0]])
        return conv2d(padded, kernel, strides=self.strides, padding="VALID")

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Returns the shape of the output for inputs of `input_shape`."""
        *outer, height, width, _ = input_shape
        sides = (None if side is None else -(-side // self.strides) for side in (height, width))
        return (*outer, *sides, self.filters)


class ShiftedConv2DTranspose(_PixelCNNLayer):
    """Transposed convolution of stride 2 with weight norm: `[B, H, W, C] -> [B, 2 H, 2 W, filters]`.

    Kernels are 2x3 with shift `down`, 2x2 with `down_right` and 3x3 with `same`. With the former two, the outputs in rows 2 i and
    2 i + 1 come from row i alone.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.networks import ShiftedConv2DTranspose
      >>> layer = ShiftedConv2DTranspose(filters=2, shift="down")
      >>> layer(tf.ones([1, 4, 4, 3])).shape
      TensorShape([1, 8, 8, 2])
      >>> layer.kernel_size
      (2, 3)

    References:
      Salimans et al. 2017, https://arxiv.org/abs/1701.05517; released code (openai/pixel-cnn).
    """

    _filters_axis = -2
    _kernel_sizes: ClassVar = {DOWN: (2, 3), DOWN_RIGHT: (2, 2), SAME: (3, 3)}

    def __init__(self, filters: int, shift: str = SAME, init_scale: float = 1.0, seed: int = 0, **kwargs: Any) -> None:
        """Creates the layer.

        Args:
          filters: Number of output channels.
          shift: `'same'`, `'down'` or `'down_right'`.
          init_scale: Standard deviation of the outputs after `initialize`.
          seed: Seed of v.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).

        Raises:
          ValueError: If `shift` is unknown.
        """
        super().__init__(filters, self._kernel_sizes.get(shift, (1, 1)), shift, 2, init_scale, seed, **kwargs)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Creates the variables for inputs of `input_shape`."""
        self._build((*self.kernel_size, self.filters, input_shape[-1]))

    def _full(self, x, kernel):
        batch, height, width = tf.unstack(tf.shape(x)[:3])
        if self.shift == SAME:
            size = [batch, 2 * height, 2 * width, self.filters]
            return conv2d_transpose(x, kernel, size, strides=2, padding="SAME")
        rows, columns = self.kernel_size
        size = [batch, 2 * height + rows - 1, 2 * width + columns - 1, self.filters]
        return conv2d_transpose(x, kernel, size, strides=2, padding="VALID")

    def _crop(self, full):
        if self.shift == SAME:
            return full
        side = 1 if self.shift == DOWN else 0
        return full[:, :-1, side:-1]

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Computes the output that the class describes."""
        return tf.ensure_shape(super().call(x), self.compute_output_shape(x.shape))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Returns the shape of the output for inputs of `input_shape`."""
        *outer, height, width, _ = input_shape
        return (*outer, *(None if side is None else 2 * side for side in (height, width)), self.filters)


def shift_down(x: tf.Tensor) -> tf.Tensor:
    """Moves each row of `[B, H, W, C]` down by one; the first becomes zeros."""
    return tf.pad(x, [[0, 0], [1, 0], [0, 0], [0, 0]])[:, :-1]


def shift_right(x: tf.Tensor) -> tf.Tensor:
    """Moves each column of `[B, H, W, C]` to the right by one; the first becomes zeros."""
    return tf.pad(x, [[0, 0], [0, 0], [1, 0], [0, 0]])[:, :, :-1]
