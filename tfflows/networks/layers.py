"""Convolutions that several papers use: with weight norm, with masks, with data-dependent init."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfflows.math.convolution import conv2d, conv2d_transpose
from tfflows.math.masked_convolution import MASKED, causal_mask, check, convolve
from tfflows.math.random import derive_seed
from tfflows.tracing.of_parameters import ComputedTogether, given_to
from tfflows.tracing.variables import check_built, count_as_done

# From the released MaCow: the standard deviation of v, what data-dependent init adds to a standard deviation, and what is added
# to the norm of a masked kernel.
_DEVIATION = 0.05
_MOMENT_EPSILON = 1e-6
_MASKED_NORM_EPSILON = 1e-8
# What is added to a variance before its square root is taken, and the lower bound of a kernel's squared norm (released Flow++).
_VARIANCE_EPSILON = 1e-8
_NORM_EPSILON = 1e-12


class TakesLabels:
    """Mixin of layers that can be given integer labels `[B]`.

    Attributes:
      num_classes: Number of classes; 0 for a layer that takes no labels.

    Example:
      >>> from tfflows.networks import TopPrior
      >>> from tfflows.networks.layers import TakesLabels
      >>> prior = TopPrior([4, 4, 6], num_classes=10)
      >>> isinstance(prior, TakesLabels), prior.num_classes
      (True, 10)
    """

    num_classes: int = 0


class WeightNormLayer(ComputedTogether, keras.layers.Layer):
    """Base class of convolutions with weight norm, `conv(x, g v / ||v||) + bias`.

    It holds the variables v (`direction`), g (`gain`) and the bias, initializes them from data and casts as the dtype policy
    says. A subclass convolves: it defines `build` and `_convolve`. The output channels of its kernels lie on the axis
    `_filters_axis`.

    Example:
      A subclass that computes a linear map of the channels. The norm of each output channel's weights is its gain.

      >>> import tensorflow as tf
      >>> from tfflows.networks.layers import WeightNormLayer
      >>> class Pointwise(WeightNormLayer):
      ...     def build(self, input_shape):
      ...         self._build((1, 1, input_shape[-1], self.filters))
      ...     def _convolve(self, x, kernel):
      ...         return tf.nn.conv2d(x, kernel, strides=1, padding="SAME")
      >>> layer = Pointwise(filters=2, kernel_size=1, init_scale=1.0, seed=0)
      >>> layer.build((None, 4, 4, 3))
      >>> _ = layer.gain.assign([3.0, 5.0])
      >>> norm = tf.norm(layer.effective_kernel()[0, 0], axis=0)
      >>> norm.numpy().round(3)
      array([3., 5.], dtype=float32)

    References:
      Salimans & Kingma 2016, https://arxiv.org/abs/1602.07868.
    """

    _filters_axis = -1

    def __init__(
        self, filters: int, kernel_size: int | Sequence[int], init_scale: float, seed: int, **kwargs: Any
    ) -> None:
        """Creates the layer without its variables.

        Args:
          filters: Number of output channels.
          kernel_size: Side of the kernel, or `(height, width)`.
          init_scale: Standard deviation of the outputs after `initialize`.
          seed: Seed of v.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).
        """
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
        return tf.reshape(tf.sqrt(self._squared_norm(direction)), [self.filters])

    def _squared_norm(self, direction):
        """The squared norm of the kernel of each output channel, in a shape that multiplies kernels."""
        axes = [axis for axis in range(-4, 0) if axis != self._filters_axis]
        return tf.reduce_sum(tf.square(direction), axis=axes, keepdims=True)

    def _per_filter(self, factor):
        """A factor `[..., filters]` in a shape that multiplies kernels."""
        factor = tf.convert_to_tensor(factor)
        shape = [1, 1, 1, 1]
        shape[self._filters_axis] = self.filters
        return tf.reshape(factor, [*factor.shape[:-1], *shape])

    def effective_kernel(self) -> tf.Tensor:
        """Returns the kernel of the convolution, such as `g v / ||v||`, in the variables' dtype."""
        given = given_to(self)
        return self._kernel() if given is None else given[0]

    def of_parameters(self) -> tuple[tf.Tensor]:
        """Computes the kernel; see `ComputedTogether`."""
        return (self._kernel(),)

    def _kernel(self):
        direction = tf.convert_to_tensor(self.direction)
        return direction * (self._per_filter(self.gain) * tf.math.rsqrt(self._squared_norm(direction)))

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Computes the output that the class describes."""
        kernel = tf.cast(self.effective_kernel(), self.compute_dtype)
        out = self._convolve(tf.cast(x, self.compute_dtype), kernel)
        bias = tf.convert_to_tensor(self.bias)
        if self.compute_dtype == self.variable_dtype:
            return tf.nn.bias_add(out, bias)
        # On CPU the gradient of `bias_add` sums in bfloat16 until further terms round to nothing; that of a plain sum does not.
        return out + tf.cast(bias, self.compute_dtype)

    def initialize(self, x: tf.Tensor) -> tf.Tensor:
        """Initializes gain and bias from a batch `[B, H, W, C]` and returns the layer's output for it.

        Each output channel gets mean 0 and (unbiased) standard deviation `init_scale`. With an `init_scale` of 0, gain, bias and
        output become exactly 0.
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
        # The layer's output from now on, without a second convolution.
        return tf.cast((before - mean) * factor, self.compute_dtype)

    def _scale_gain(self, factor):
        self.gain.assign(tf.convert_to_tensor(self.gain) * factor)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Returns the shape of the output for inputs of `input_shape`."""
        return (*input_shape[:-1], self.filters)


def unbiased_moments(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and standard deviation over all axes but the last.

    The variance is the sum of squares over `N - 1`, as in the released MaCow.

    Args:
      x: Float tensor of shape `[..., C]`.

    Returns:
      Mean and standard deviation, `[C]` each, in the dtype of `x`.
    """
    count = tf.cast(tf.size(x) // x.shape[-1], x.dtype)
    mean, variance = tf.nn.moments(x, axes=list(range(x.shape.rank - 1)))
    return mean, tf.sqrt(variance * count / tf.maximum(count - 1, 1))


class WeightNormConv2D(WeightNormLayer):
    """Convolution with weight norm and zero padding, `conv(x, g v / ||v||) + bias`.

    The norm is taken per output channel. At first v ~ N(0, 0.05^2), g = ||v|| and the bias is 0; `initialize` then sets g and
    the bias from data. With stride s, output (i, j) is centred on input (s i, s j), as in PyTorch with a padding of half a
    kernel.

    Shapes: `[B, H, W, C] -> [B, H/s, W/s, filters]`, rounded up; the output has the compute dtype.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.networks import WeightNormConv2D
      >>> x = tf.random.stateless_normal([4, 8, 8, 3], seed=[0, 0])
      >>> layer = WeightNormConv2D(filters=5, strides=2, init_scale=0.1)
      >>> layer(x).shape
      TensorShape([4, 4, 4, 5])
      >>> layer.count_params()  # a kernel of 3 x 3 x 3 x 5, gain and bias
      145

      After data-dependent initialization the outputs for the batch have mean 0 and standard deviation `init_scale`.

      >>> out = layer.initialize(x)
      >>> tf.math.reduce_std(out, axis=[0, 1, 2]).numpy().round(2)
      array([0.1, 0.1, 0.1, 0.1, 0.1], dtype=float32)

    References:
      Salimans & Kingma 2016, https://arxiv.org/abs/1602.07868; released code (XuezheMax/macow).
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        strides: int = 1,
        init_scale: float = 1.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Creates the layer.

        Args:
          filters: Number of output channels.
          kernel_size: Side of the kernel, odd.
          strides: Stride s, in both directions.
          init_scale: Standard deviation of the outputs after `initialize`.
          seed: Seed of v.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).

        Raises:
          ValueError: If `kernel_size` is even.
        """
        super().__init__(filters, kernel_size, init_scale, seed, **kwargs)
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}.")
        self.strides = strides

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Creates the variables for inputs of `input_shape`."""
        self._build((*self.kernel_size, input_shape[-1], self.filters))

    def _convolve(self, x, kernel):
        if self.kernel_size == (1, 1) and self.strides == 1:
            rows = tf.matmul(tf.reshape(x, [-1, kernel.shape[2]]), kernel[0, 0])
            out = tf.reshape(rows, tf.concat([tf.shape(x)[:-1], [self.filters]], axis=0))
            return tf.ensure_shape(out, [*x.shape[:-1], self.filters])
        if self.strides == 1:
            return conv2d(x, kernel, strides=1, padding="SAME")
        side = self.kernel_size[0] // 2
        x = tf.pad(x, [[0, 0], [side, side], [side, side], [0, 0]])  # SAME would start one pixel later
        return conv2d(x, kernel, strides=self.strides, padding="VALID")

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Returns the shape of the output for inputs of `input_shape`."""
        *outer, height, width, _ = input_shape
        sides = (None if side is None else -(-side // self.strides) for side in (height, width))
        return (*outer, *sides, self.filters)


class WeightNormConv2DTranspose(WeightNormLayer):
    """Transposed 3x3 convolution of stride 2 with weight norm: `[B, H, W, C] -> [B, 2 H, 2 W, filters]`.

    The transpose of a `WeightNormConv2D` of stride 2. The norm is taken per output channel.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.networks import WeightNormConv2DTranspose
      >>> layer = WeightNormConv2DTranspose(filters=5)
      >>> layer(tf.ones([4, 8, 8, 3])).shape
      TensorShape([4, 16, 16, 5])

    References:
      Salimans & Kingma 2016, https://arxiv.org/abs/1602.07868; released code (XuezheMax/macow).
    """

    _filters_axis = -2

    def __init__(self, filters: int, init_scale: float = 1.0, seed: int = 0, **kwargs: Any) -> None:
        """Creates the layer.

        Args:
          filters: Number of output channels.
          init_scale: Standard deviation of the outputs after `initialize`.
          seed: Seed of v.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).
        """
        super().__init__(filters, 3, init_scale, seed, **kwargs)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Creates the variables for inputs of `input_shape`."""
        self._build((*self.kernel_size, self.filters, input_shape[-1]))

    def _convolve(self, x, kernel):
        batch, height, width = tf.unstack(tf.shape(x)[:3])
        size = [batch, 2 * height + 1, 2 * width + 1, self.filters]
        out = conv2d_transpose(x, kernel, size, strides=2, padding="VALID")[:, 1:, 1:]
        return tf.ensure_shape(out, self.compute_output_shape(x.shape))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Returns the shape of the output for inputs of `input_shape`."""
        *outer, height, width, _ = input_shape
        return (*outer, *(None if side is None else 2 * side for side in (height, width)), self.filters)


class MaskedConv2D(WeightNormLayer):
    """Masked convolution with weight norm, of one of the kinds of `tfflows.math.masked_convolution`.

    With the kind `shifted` the kernel is dense, `g v / ||v||`. With the kind `masked` it is `exp(gain) v m / (||v m|| + 1e-8)`
    with the mask m; the masked entries of v are 0 and stay 0.

    Shapes: `[B, H, W, C] -> [B, H, W, filters]`.

    Example:
      The output at a pixel does not depend on that pixel, nor on those after it in raster order.

      >>> import tensorflow as tf
      >>> from tfflows.networks import MaskedConv2D
      >>> layer = MaskedConv2D(filters=1, kernel_size=(3, 3), kind="masked", order="A")
      >>> x = tf.Variable(tf.ones([1, 3, 3, 1]))
      >>> with tf.GradientTape() as tape:
      ...     centre = layer(x)[0, 1, 1, 0]
      >>> seen = tape.gradient(centre, x) != 0
      >>> tf.cast(seen[0, :, :, 0], tf.int32).numpy()
      array([[1, 1, 1],
             [1, 0, 0],
             [0, 0, 0]], dtype=int32)

    References:
      Ma et al. 2019, section 3.1, https://arxiv.org/abs/1902.04208; gains as in the two versions of the released code
      (XuezheMax/macow).
    """

    def __init__(
        self, filters: int, kernel_size: Sequence[int], kind: str, order: str, seed: int = 0, **kwargs: Any
    ) -> None:
        """Creates the layer.

        Args:
          filters: Number of output channels.
          kernel_size: `(height, width)`.
          kind: `'masked'` or `'shifted'`.
          order: `'A'` or `'B'`; for the kind `shifted` also `'C'` or `'D'`.
          seed: Seed of v.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).

        Raises:
          ValueError: If there is no masked convolution of this kind, order and kernel size.
        """
        super().__init__(filters, kernel_size, 1.0, seed, **kwargs)
        check(kind, order, self.kernel_size)
        self.kind = kind
        self.order = order
        self.live_taps = causal_mask(self.kernel_size, order) if kind == MASKED else np.ones([1, 1, 1, 1])

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Creates the variables for inputs of `input_shape`."""
        self._build((*self.kernel_size, input_shape[-1], self.filters))

    def _initial_direction(self, shape, dtype):
        return self._initializer(shape, dtype) * tf.constant(self.live_taps, dtype)

    def _initial_gain(self, direction):
        norm = super()._initial_gain(direction)
        return tf.math.log(norm) if self.kind == MASKED else norm

    def _kernel(self):
        if self.kind != MASKED:
            return super()._kernel()
        direction = tf.convert_to_tensor(self.direction)
        direction *= tf.constant(self.live_taps, direction.dtype)
        norm = tf.sqrt(self._squared_norm(direction)) + _MASKED_NORM_EPSILON
        return direction * (tf.exp(self._per_filter(self.gain)) / norm)

    def _scale_gain(self, factor):
        if self.kind != MASKED:
            super()._scale_gain(factor)
        else:
            self.gain.assign(tf.convert_to_tensor(self.gain) + tf.math.log(factor))

    def _convolve(self, x, kernel):
        return convolve(x, kernel, self.kind, self.order)


class DataDependentConv2D(ComputedTogether, keras.layers.Layer):
    """Convolution `conv(x) + bias` of stride 1 with zero padding and data-dependent init.

    With `weight_norm` the kernel is `g v / ||v||`, with one norm per output channel. The kernel (or v) is drawn from
    N(0, 0.05^2), g is 1 and the bias 0. `initialize(x)` scales the kernel (or g) and sets the bias so that the outputs for a
    batch have mean 0 and standard deviation `init_scale` in each channel.

    A 1x1 kernel is a dense layer on the channels. Under the policy `mixed_bfloat16` the convolution is computed in bfloat16;
    variables and their gradients are float32.

    Shapes: `[B, H, W, C] -> [B, H, W, filters]`; the output has the compute dtype.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.networks import DataDependentConv2D
      >>> x = tf.random.stateless_normal([4, 8, 8, 3], seed=[0, 0])
      >>> layer = DataDependentConv2D(filters=2)
      >>> layer.build(x.shape)
      >>> out = layer.initialize(x)
      >>> tf.math.reduce_std(out, axis=[0, 1, 2]).numpy().round(3)
      array([1., 1.], dtype=float32)
      >>> bool(tf.reduce_all(tf.abs(layer(x) - out) < 1e-5))
      True

    References:
      Salimans & Kingma 2016, https://arxiv.org/abs/1602.07868; released Flow++ code (aravindsrinivas/flowpp), which has no
      weight norm in the CIFAR-10 and 64x64 models.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        init_scale: float = 1.0,
        weight_norm: bool = False,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Creates the layer.

        Args:
          filters: Number of output channels.
          kernel_size: Side of the kernel.
          init_scale: Standard deviation of the outputs after `initialize`.
          weight_norm: Whether the kernel has weight norm.
          seed: Seed of the kernel.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).
        """
        super().__init__(autocast=False, **kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.init_scale = init_scale
        self.weight_norm = weight_norm
        self._initializer = keras.initializers.RandomNormal(stddev=0.05, seed=derive_seed(seed, "kernel"))

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Creates the variables for inputs of `input_shape`."""
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

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Computes the output that the class describes."""
        bias = tf.convert_to_tensor(self.bias)
        if self.compute_dtype == self.variable_dtype:
            return tf.nn.bias_add(self._convolve(x), bias)
        # On CPU the gradient of `bias_add` sums in bfloat16 until further terms round to nothing; that of a plain sum does not.
        return self._convolve(x) + tf.cast(bias, self.compute_dtype)

    @property
    def num_of_parameters(self) -> int:
        """0 without weight norm: then there is nothing to compute together."""
        return int(self.weight_norm)

    def of_parameters(self) -> tuple[tf.Tensor]:
        """Computes the kernel; see `ComputedTogether`."""
        kernel = tf.convert_to_tensor(self.kernel)
        if not self.weight_norm:
            return (kernel,)
        squared_norm = tf.reduce_sum(tf.square(kernel), axis=[-4, -3, -2], keepdims=True)
        norm = tf.reshape(tf.convert_to_tensor(self.norm), squared_norm.shape)
        return (kernel * (norm * tf.math.rsqrt(tf.maximum(squared_norm, _NORM_EPSILON))),)

    def initialize(self, x: tf.Tensor) -> tf.Tensor:
        """Initializes the variables from a batch `[B, H, W, C]` and returns the layer's output for it."""
        check_built(self, "its initialize")
        before = tf.cast(self._convolve(x), self.variable_dtype)
        bias = tf.convert_to_tensor(self.bias) if self.weight_norm else tf.zeros([self.filters], before.dtype)
        mean, variance = tf.nn.moments(before + bias, axes=[0, 1, 2])
        scale = self.init_scale * tf.math.rsqrt(variance + _VARIANCE_EPSILON)
        scaled = self.norm if self.weight_norm else self.kernel
        scaled.assign(tf.convert_to_tensor(scaled) * scale)
        self.bias.assign(bias - mean * scale)
        # The layer's output from now on, without a second convolution.
        return tf.cast(before * scale + tf.convert_to_tensor(self.bias), self.compute_dtype)

    def _convolve(self, x):
        (kernel,) = given_to(self) or self.of_parameters()
        x, kernel = tf.cast(x, self.compute_dtype), tf.cast(kernel, self.compute_dtype)
        if self.kernel_size > 1:
            return conv2d(x, kernel, strides=1, padding="SAME")
        rows = tf.matmul(tf.reshape(x, [-1, kernel.shape[2]]), kernel[0, 0])
        out = tf.reshape(rows, tf.concat([tf.shape(x)[:-1], [self.filters]], axis=0))
        return tf.ensure_shape(out, [*x.shape[:-1], self.filters])

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Returns the shape of the output for inputs of `input_shape`."""
        return (*input_shape[:-1], self.filters)


def call_layer(layer: keras.layers.Layer, *inputs: Any) -> tf.Tensor:
    """Returns `layer(*inputs)`: one of the two ways to run a network, see `initialize_layer`."""
    return layer(*inputs)


def initialize_layer(layer: keras.layers.Layer, *inputs: Any) -> tf.Tensor:
    """Initializes a layer from data if it can do that, otherwise calls it; returns its output in both cases."""
    output = getattr(layer, "initialize", layer)(*inputs)
    count_as_done(layer)
    return output
