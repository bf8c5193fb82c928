"""Convolutions of several papers: with weight norm, with masks, with data-dependent init."""

import keras
import numpy as np
import tensorflow as tf

from tfflows.math.convolution import conv2d, conv2d_transpose
from tfflows.math.masked_convolution import MASKED, causal_mask, check, convolve
from tfflows.math.random import derive_seed

# Of the released MaCow: the deviation of v, what data-dependent init adds to a standard deviation, and what a masked kernel's
# norm has added.
_DEVIATION = 0.05
_MOMENT_EPSILON = 1e-6
_MASKED_NORM_EPSILON = 1e-8
# Under the square root of the variance, and the least squared norm of a kernel (released Flow++).
_VARIANCE_EPSILON = 1e-8
_NORM_EPSILON = 1e-12


class WeightNormLayer(keras.layers.Layer):
    """`conv(x, g v / ||v||) + bias`: v, g and bias, the data-dependent init, and what a policy casts.

    A subclass convolves; in its kernels the output channels lie on the axis `_filters_axis`.
    """

    _filters_axis = -1

    def __init__(self, filters, kernel_size, init_scale, seed, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.filters = filters
        self.kernel_size = (kernel_size, kernel_size) if isinstance(kernel_size, int) else tuple(kernel_size)
        self.init_scale = init_scale
        self._initializer = keras.initializers.RandomNormal(stddev=_DEVIATION, seed=derive_seed(seed, "kernel"))

    def _build(self, kernel_shape):
        with tf.init_scope():
            direction = self._initial_direction(kernel_shape, self.variable_dtype)
            gain = self._initial_gain(direction)
        self.direction = self._add("direction", kernel_shape, lambda shape, dtype: direction)
        self.gain = self._add("gain", (self.filters,), lambda shape, dtype: gain)
        self.bias = self._add("bias", (self.filters,), "zeros")
        self.built = True

    def _add(self, name, shape, initializer):
        return self.add_weight(shape=shape, initializer=initializer, name=name, autocast=False)

    def _initial_direction(self, shape, dtype):
        return self._initializer(shape, dtype)

    def _initial_gain(self, direction):
        return tf.sqrt(self._squared_norm(direction))

    def _squared_norm(self, direction):
        axes = [axis for axis in range(4) if axis != self._filters_axis % 4]
        return tf.reduce_sum(tf.square(direction), axis=axes)

    def effective_kernel(self):
        """`g v / ||v||`, of the variables' dtype."""
        direction = tf.convert_to_tensor(self.direction)
        factor = tf.convert_to_tensor(self.gain) * tf.math.rsqrt(self._squared_norm(direction))
        return direction * (factor if self._filters_axis == -1 else factor[:, tf.newaxis])

    def call(self, x):
        kernel = tf.cast(self.effective_kernel(), self.compute_dtype)
        out = self._convolve(tf.cast(x, self.compute_dtype), kernel)
        bias = tf.convert_to_tensor(self.bias)
        if self.compute_dtype == self.variable_dtype:
            return tf.nn.bias_add(out, bias)
        # On CPU the gradient of `bias_add` adds bfloat16 to bfloat16 until nothing is added any more; a plain sum's does not.
        return out + tf.cast(bias, self.compute_dtype)

    def initialize(self, x):
        """Data-dependent init from a batch `[B, H, W, C]`; returns the layer's output on it.

        Each output channel gets mean 0 and (unbiased) standard deviation `init_scale`; with an `init_scale` of 0 gain and bias
        become exactly 0, and so does the output.
        """
        before = tf.cast(self(x), self.variable_dtype)
        if not self.init_scale:
            self.gain.assign(tf.zeros_like(self.gain.value))
            self.bias.assign(tf.zeros_like(self.bias.value))
            return tf.cast(tf.zeros_like(before), self.compute_dtype)
        mean, deviation = unbiased_moments(before)
        factor = self.init_scale / (deviation + _MOMENT_EPSILON)
        self._scale_gain(factor)
        self.bias.assign((tf.convert_to_tensor(self.bias) - mean) * factor)
        # What the layer now gives, without a second convolution.
        return tf.cast((before - mean) * factor, self.compute_dtype)

    def _scale_gain(self, factor):
        self.gain.assign(tf.convert_to_tensor(self.gain) * factor)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)


def unbiased_moments(x):
    """Mean and standard deviation (`1 / (N - 1)`, as in the released MaCow) over all axes but the last."""
    count = tf.cast(tf.size(x) // x.shape[-1], x.dtype)
    mean, variance = tf.nn.moments(x, axes=list(range(x.shape.rank - 1)))
    return mean, tf.sqrt(variance * count / tf.maximum(count - 1, 1))


class WeightNormConv2D(WeightNormLayer):
    """`conv(x, g v / ||v||) + bias`, zeros as padding; v ~ N(0, 0.05^2), g = ||v||, bias 0; then `initialize`.

    With stride s output (i, j) is centred on input (s i, s j), as in PyTorch with a padding of half a kernel.

    Shapes: `[B, H, W, C] -> [B, H/s, W/s, filters]`, of the compute dtype. Source: Salimans & Kingma 2016; released MaCow.
    """

    def __init__(self, filters, kernel_size=3, strides=1, init_scale=1.0, seed=0, **kwargs):
        """Creates the layer.

        Args:
          filters: Python `int`, output channels.
          kernel_size: Python `int`, odd.
          strides: Python `int`.
          init_scale: Python `float`, standard deviation of the outputs after `initialize`.
          seed: Python `int` of v.
          **kwargs: As in Keras.

        Raises:
          ValueError: if the kernel is even.
        """
        super().__init__(filters, kernel_size, init_scale, seed, **kwargs)
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}.")
        self.strides = strides

    def build(self, input_shape):
        self._build((*self.kernel_size, input_shape[-1], self.filters))

    def _convolve(self, x, kernel):
        if self.kernel_size == (1, 1) and self.strides == 1:
            rows = tf.matmul(tf.reshape(x, [-1, kernel.shape[2]]), kernel[0, 0])
            out = tf.reshape(rows, tf.concat([tf.shape(x)[:-1], [self.filters]], axis=0))
            return tf.ensure_shape(out, [*x.shape[:-1], self.filters])
        if self.strides == 1:
            return conv2d(x, kernel, strides=1, padding="SAME")
        side = self.kernel_size[0] // 2
        x = tf.pad(x, [[0, 0], [side, side], [side, side], [0, 0]])  # SAME would begin a pixel later
        return conv2d(x, kernel, strides=self.strides, padding="VALID")

    def compute_output_shape(self, input_shape):
        *outer, height, width, _ = input_shape
        sides = (None if side is None else -(-side // self.strides) for side in (height, width))
        return (*outer, *sides, self.filters)


class WeightNormConv2DTranspose(WeightNormLayer):
    """Transposed convolution with weight norm, a norm an output channel, kernel 3x3, stride 2: `[B, 2 H, 2 W, filters]`.

    The transpose of `WeightNormConv2D` of stride 2. Source: released MaCow.
    """

    _filters_axis = -2

    def __init__(self, filters, init_scale=1.0, seed=0, **kwargs):
        """Args: as for `WeightNormConv2D`."""
        super().__init__(filters, 3, init_scale, seed, **kwargs)

    def build(self, input_shape):
        self._build((*self.kernel_size, self.filters, input_shape[-1]))

    def _convolve(self, x, kernel):
        batch, height, width = tf.unstack(tf.shape(x)[:3])
        size = [batch, 2 * height + 1, 2 * width + 1, self.filters]
        out = conv2d_transpose(x, kernel, size, strides=2, padding="VALID")[:, 1:, 1:]
        return tf.ensure_shape(out, self.compute_output_shape(x.shape))

    def compute_output_shape(self, input_shape):
        *outer, height, width, _ = input_shape
        return (*outer, *(None if side is None else 2 * side for side in (height, width)), self.filters)


class MaskedConv2D(WeightNormLayer):
    """A masked convolution with weight norm, of one of the kinds of `tfflows.math.masked_convolution`.

    Of kind `shifted` the kernel is dense, `g v / ||v||`. Of kind `masked` it is `exp(gain) v m / (||v m|| + 1e-8)` with the mask
    m; the entries of v under the mask are 0 and stay it.

    Shapes: `[B, H, W, C] -> [B, H, W, filters]`. Source: MaCow, section 3.1; gains: its code, of two dates.
    """

    def __init__(self, filters, kernel_size, kind, order, seed=0, **kwargs):
        """Creates the layer.

        Args:
          filters: Python `int`.
          kernel_size: Python `int`s `(height, width)`.
          kind: `'masked'` or `'shifted'`.
          order: `'A'`, `'B'`; shifted also `'C'`, `'D'`.
          seed: Python `int` of v.
          **kwargs: As in Keras.

        Raises:
          ValueError: if there is no such masked convolution.
        """
        super().__init__(filters, kernel_size, 1.0, seed, **kwargs)
        check(kind, order, self.kernel_size)
        self.kind = kind
        self.order = order
        self.live_taps = causal_mask(self.kernel_size, order) if kind == MASKED else np.ones([1, 1, 1, 1])

    def build(self, input_shape):
        self._build((*self.kernel_size, input_shape[-1], self.filters))

    def _initial_direction(self, shape, dtype):
        return self._initializer(shape, dtype) * tf.constant(self.live_taps, dtype)

    def _initial_gain(self, direction):
        norm = super()._initial_gain(direction)
        return tf.math.log(norm) if self.kind == MASKED else norm

    def effective_kernel(self):
        if self.kind != MASKED:
            return super().effective_kernel()
        direction = tf.convert_to_tensor(self.direction)
        direction *= tf.constant(self.live_taps, direction.dtype)
        norm = tf.sqrt(self._squared_norm(direction)) + _MASKED_NORM_EPSILON
        return direction * (tf.exp(tf.convert_to_tensor(self.gain)) / norm)

    def _scale_gain(self, factor):
        if self.kind != MASKED:
            super()._scale_gain(factor)
        else:
            self.gain.assign(tf.convert_to_tensor(self.gain) + tf.math.log(factor))

    def _convolve(self, x, kernel):
        return convolve(x, kernel, self.kind, self.order)


class DataDependentConv2D(keras.layers.Layer):
    """`conv(x) + bias`, stride 1, zeros as padding; with `weight_norm` the kernel is `g v / ||v||`, a norm an output channel.

    Kernel (or v) N(0, 0.05^2), g = 1, bias 0. `initialize(x)` scales the kernel (or g) and sets the bias so that the outputs of
    a batch have mean 0 and standard deviation `init_scale` in each channel.

    A kernel of 1x1 is a dense layer on the channels. Under the policy `mixed_bfloat16` the convolution is computed in
    bfloat16; variables and their gradients are float32.

    Shapes: `[B, H, W, C] -> [B, H, W, filters]`, of the compute dtype. Source: Salimans & Kingma 2016; released Flow++ code
    (without weight norm in the CIFAR-10 and 64x64 models).
    """

    def __init__(self, filters, kernel_size=3, init_scale=1.0, weight_norm=False, seed=0, **kwargs):
        """Args: filters, kernel_size: Python `int`s; init_scale: Python `float`; seed: of the kernel; rest: as in Keras."""
        super().__init__(autocast=False, **kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.init_scale = init_scale
        self.weight_norm = weight_norm
        self._initializer = keras.initializers.RandomNormal(stddev=0.05, seed=derive_seed(seed, "kernel"))

    def build(self, input_shape):
        size = self.kernel_size
        self.kernel = self.add_weight(
            shape=(size, size, input_shape[-1], self.filters),
            initializer=self._initializer,
            name="kernel",
            autocast=False,
        )
        if self.weight_norm:
            self.norm = self.add_weight(shape=(self.filters,), initializer="ones", name="norm", autocast=False)
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias", autocast=False)
        self.built = True

    def call(self, x):
        bias = tf.convert_to_tensor(self.bias)
        if self.compute_dtype == self.variable_dtype:
            return tf.nn.bias_add(self._convolve(x), bias)
        # On CPU the gradient of `bias_add` adds bfloat16 to bfloat16 until nothing is added any more; a plain sum's does not.
        return self._convolve(x) + tf.cast(bias, self.compute_dtype)

    def initialize(self, x):
        """Data-dependent init from a batch `[B, H, W, C]`; returns the layer's output on it."""
        before = tf.cast(self._convolve(x), self.variable_dtype)
        bias = tf.convert_to_tensor(self.bias) if self.weight_norm else tf.zeros([self.filters], before.dtype)
        mean, variance = tf.nn.moments(before + bias, axes=[0, 1, 2])
        scale = self.init_scale * tf.math.rsqrt(variance + _VARIANCE_EPSILON)
        scaled = self.norm if self.weight_norm else self.kernel
        scaled.assign(tf.convert_to_tensor(scaled) * scale)
        self.bias.assign(bias - mean * scale)
        # What the layer now gives, without a second convolution.
        return tf.cast(before * scale + tf.convert_to_tensor(self.bias), self.compute_dtype)

    def _convolve(self, x):
        kernel = tf.convert_to_tensor(self.kernel)
        if self.weight_norm:
            squared_norm = tf.reduce_sum(tf.square(kernel), axis=[0, 1, 2])
            kernel = kernel * (tf.convert_to_tensor(self.norm) * tf.math.rsqrt(tf.maximum(squared_norm, _NORM_EPSILON)))
        x, kernel = tf.cast(x, self.compute_dtype), tf.cast(kernel, self.compute_dtype)
        if self.kernel_size > 1:
            return conv2d(x, kernel, strides=1, padding="SAME")
        rows = tf.matmul(tf.reshape(x, [-1, kernel.shape[2]]), kernel[0, 0])
        out = tf.reshape(rows, tf.concat([tf.shape(x)[:-1], [self.filters]], axis=0))
        return tf.ensure_shape(out, [*x.shape[:-1], self.filters])

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)


def call_layer(layer, *inputs):
    """`layer(*inputs)`: one of the two ways to run a network, see `initialize_layer`."""
    return layer(*inputs)


def initialize_layer(layer, *inputs):
    """Data-dependent init of a layer that has it, else a plain call; returns the layer's output either way."""
    return getattr(layer, "initialize", layer)(*inputs)
