"""Networks of the IAF-VAE: convolutions whose gains are logarithms, the autoregressive network, the head of the image."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfflows.math.convolution import conv2d, conv2d_transpose
from tfflows.math.masked_convolution import autoregressive_mask
from tfflows.math.random import derive_seed
from tfflows.networks.layers import WeightNormLayer, call_layer, initialize_layer
from tfflows.tracing.variables import check_built

RELEASED, FIXED = COMPATIBILITIES = ("released", "fixed")

_VARIANCE_EPSILON = 1e-10
# The released code stores a third of the log-gain that it intends, because its predecessor exponentiated three times the gain.
_KEPT = {RELEASED: 1 / 3, FIXED: 1.0}
# Factor of the outputs of an `AutoregressiveNetwork` (released code).
_OUTPUT_SCALE = 0.1
# Distance that the means of an `ImageHead` keep from -1/2 and 1/2.
_HALF_LEVEL = 1 / 512


class _ExponentialGain(WeightNormLayer):
    """`conv(x, exp(g) v / ||v||) + bias`; data-dependent init uses the response of the direction alone."""

    def __init__(
        self, filters: int, kernel_size: int, init_scale: float, compatibility: str, seed: int, **kwargs: Any
    ) -> None:
        super().__init__(filters, kernel_size, init_scale, seed, **kwargs)
        if compatibility not in COMPATIBILITIES:
            raise ValueError(f"compatibility must be one of {COMPATIBILITIES}, got {compatibility!r}.")
        self.compatibility = compatibility

    def _initial_gain(self, direction):
        return tf.zeros([self.filters], direction.dtype)

    def _unit_kernel(self):
        direction = tf.convert_to_tensor(self.direction)
        return direction * tf.math.rsqrt(self._squared_norm(direction))

    def _kernel(self):
        return self._unit_kernel() * tf.exp(self._per_filter(self.gain))

    def initialize(self, x: tf.Tensor) -> tf.Tensor:
        """Initializes gain and bias from a batch.

        Args:
          x: Tensor of shape `[B, H, W, C]`.

        Returns:
          Outputs with mean 0 and standard deviation `init_scale` in each channel. With the compatibility `fixed` these are the
          layer's outputs from now on (a constant channel gets a gain of 1); with `released` its gain is the third root of the
          one that would give them.
        """
        check_built(self, "its initialize")
        kernel = tf.cast(self._unit_kernel(), self.compute_dtype)
        response = tf.cast(self._convolve(tf.cast(x, self.compute_dtype), kernel), self.variable_dtype)
        mean, variance = tf.nn.moments(response, axes=[0, 1, 2])
        scale = self.init_scale * tf.math.rsqrt(variance + _VARIANCE_EPSILON)
        if self.compatibility == FIXED:
            # The top of a ladder is 0 at first: with a gain of 1e4, training would diverge at the first step.
            scale = tf.where(variance > _VARIANCE_EPSILON, scale, tf.ones_like(scale))
        self.gain.assign(_KEPT[self.compatibility] * tf.math.log(scale))
        self.bias.assign(-mean * scale)
        return tf.cast((response - mean) * scale, self.compute_dtype)


class ExponentialGainConv2D(_ExponentialGain):
    """Convolution with weight norm whose gain is a logarithm: `conv(x, exp(g) v / ||v||) + bias`, padding SAME.

    The norm is taken per output channel. At first v ~ N(0, 0.05^2), g and the bias are 0; `initialize` then sets them from data.

    Shapes: `[B, H, W, C] -> [B, H / strides, W / strides, filters]`, rounded up.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.networks import ExponentialGainConv2D
      >>> x = tf.random.stateless_normal([4, 8, 8, 3], seed=[0, 0])
      >>> layer = ExponentialGainConv2D(filters=2, strides=2, init_scale=0.1, compatibility="fixed")
      >>> layer(x).shape
      TensorShape([4, 4, 4, 2])
      >>> tf.math.reduce_std(layer.initialize(x), axis=[0, 1, 2]).numpy().round(3)
      array([0.1, 0.1], dtype=float32)
      >>> tf.math.reduce_std(layer(x), axis=[0, 1, 2]).numpy().round(3)
      array([0.1, 0.1], dtype=float32)

    References:
      Released code of Kingma et al. 2016 (openai/iaf).
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        strides: int = 1,
        init_scale: float = 0.1,
        compatibility: str = RELEASED,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Creates the layer.

        Args:
          filters: Number of output channels.
          kernel_size: Side of the kernel.
          strides: Stride, in both directions.
          init_scale: Standard deviation of the outputs, see `initialize`.
          compatibility: `'released'` or `'fixed'`, see `initialize`.
          seed: Seed of v.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).

        Raises:
          ValueError: If `compatibility` is unknown.
        """
        super().__init__(filters, kernel_size, init_scale, compatibility, seed, **kwargs)
        self.strides = strides

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Creates the variables for inputs of `input_shape`."""
        self._build((*self.kernel_size, input_shape[-1], self.filters))

    def _convolve(self, x, kernel):
        return conv2d(x, kernel, strides=self.strides, padding="SAME")

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Returns the shape of the output for inputs of `input_shape`."""
        *outer, height, width, _ = input_shape
        sides = (None if side is None else -(-side // self.strides) for side in (height, width))
        return (*outer, *sides, self.filters)


class ExponentialGainConv2DTranspose(_ExponentialGain):
    """Transpose of an `ExponentialGainConv2D` of stride 2: `[B, H, W, C] -> [B, 2 H, 2 W, filters]`.

    With the compatibility `released` there is one norm per input channel, taken over the output channels; with `fixed` there is
    one norm per output channel, taken over the input channels.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.networks import ExponentialGainConv2DTranspose
      >>> ExponentialGainConv2DTranspose(filters=2)(tf.ones([4, 8, 8, 3])).shape
      TensorShape([4, 16, 16, 2])

    References:
      Released code of Kingma et al. 2016 (openai/iaf).
    """

    _filters_axis = -2

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        init_scale: float = 0.1,
        compatibility: str = RELEASED,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Creates the layer.

        Args:
          filters: Number of output channels.
          kernel_size: Side of the kernel.
          init_scale: Standard deviation of the outputs, see `initialize`.
          compatibility: `'released'` or `'fixed'`, see `initialize`.
          seed: Seed of v.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).

        Raises:
          ValueError: If `compatibility` is unknown.
        """
        super().__init__(filters, kernel_size, init_scale, compatibility, seed, **kwargs)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Creates the variables for inputs of `input_shape`."""
        self._build((*self.kernel_size, self.filters, input_shape[-1]))

    def _squared_norm(self, direction):
        axis = -2 if self.compatibility == RELEASED else -1
        return tf.reduce_sum(tf.square(direction), axis=[-4, -3, axis], keepdims=True)

    def _convolve(self, x, kernel):
        batch, height, width = tf.unstack(tf.shape(x)[:3])
        out = conv2d_transpose(x, kernel, [batch, 2 * height, 2 * width, self.filters], strides=2, padding="SAME")
        return tf.ensure_shape(out, self.compute_output_shape(x.shape))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Returns the shape of the output for inputs of `input_shape`."""
        *outer, height, width, _ = input_shape
        return (*outer, *(None if side is None else 2 * side for side in (height, width)), self.filters)


class AutoregressiveConv2D(_ExponentialGain):
    """Autoregressive 3x3 convolution with the kernel `exp(g) v m / ||v m||`, where m masks what does not come before an output.

    `autoregressive_mask` gives the order of pixels and channels: an output sees the pixel to its right, those in the row below
    and, at its own pixel, the channels before it. The masked entries of v are 0 and stay 0.

    Shapes: `[B, H, W, C] -> [B, H, W, filters]`.

    Example:
      The centre of an image sees only pixels after it in raster order, and with `strict` not itself.

      >>> import tensorflow as tf
      >>> from tfflows.networks import AutoregressiveConv2D
      >>> layer = AutoregressiveConv2D(filters=1, strict=True)
      >>> x = tf.Variable(tf.ones([1, 3, 3, 1]))
      >>> with tf.GradientTape() as tape:
      ...     centre = layer(x)[0, 1, 1, 0]
      >>> seen = tape.gradient(centre, x) != 0
      >>> tf.cast(seen[0, :, :, 0], tf.int32).numpy()
      array([[0, 0, 0],
             [0, 0, 1],
             [1, 1, 1]], dtype=int32)

    References:
      Kingma et al. 2016, https://arxiv.org/abs/1606.04934; released code (openai/iaf).
    """

    def __init__(
        self,
        filters: int,
        strict: bool = False,
        init_scale: float = 1.0,
        compatibility: str = RELEASED,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Creates the layer.

        Args:
          filters: Number of output channels.
          strict: Whether an output does not see its own group of channels at its own pixel.
          init_scale: Standard deviation of the outputs, see `initialize`.
          compatibility: `'released'` or `'fixed'`, see `initialize`.
          seed: Seed of v.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).

        Raises:
          ValueError: If `compatibility` is unknown.
        """
        super().__init__(filters, 3, init_scale, compatibility, seed, **kwargs)
        self.strict = strict

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Creates the variables for inputs of `input_shape`."""
        self.live_taps = autoregressive_mask(input_shape[-1], self.filters, self.strict)
        self._build((*self.kernel_size, input_shape[-1], self.filters))

    def _initial_direction(self, shape, dtype):
        return self._initializer(shape, dtype) * tf.constant(self.live_taps, dtype)

    def _unit_kernel(self):
        direction = tf.convert_to_tensor(self.direction)
        direction *= tf.constant(self.live_taps, direction.dtype)
        return direction * tf.math.rsqrt(self._squared_norm(direction))

    def _convolve(self, x, kernel):
        return conv2d(x, kernel, strides=1, padding="SAME")


class AutoregressiveNetwork(keras.layers.Layer):
    """Shifts and log-scales of each number given those before it: `[B, H, W, C] -> [B, H, W, 2 C]`, float32 under any policy.

    ELU(masked 3x3 + context), ELU(masked 3x3), and then 0.1 times a strictly masked 3x3 convolution for the shifts and another
    for the log-scales. Called with `(z, condition)`, where the condition is None, a context `[B, H, W, width]`, or a dictionary
    with the context as its entry `context`.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.networks import AutoregressiveNetwork
      >>> network = AutoregressiveNetwork(channels=2, width=4)
      >>> network(tf.ones([3, 4, 4, 2])).shape
      TensorShape([3, 4, 4, 4])
      >>> network(tf.ones([3, 4, 4, 2]), tf.zeros([3, 4, 4, 4])).shape
      TensorShape([3, 4, 4, 4])

    References:
      Kingma et al. 2016, https://arxiv.org/abs/1606.04934; released code (openai/iaf, `ar_multiconv2d`).
    """

    def __init__(self, channels: int, width: int, compatibility: str = RELEASED, seed: int = 0, **kwargs: Any) -> None:
        """Creates and builds the layers.

        Args:
          channels: Number of channels C.
          width: Number of hidden channels, a multiple or a divisor of C.
          compatibility: `'released'` or `'fixed'`, see `ExponentialGainConv2D`.
          seed: Seed of the initial parameters.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).

        Raises:
          ValueError: If neither of `width` and `channels` divides the other, or `compatibility` is unknown.
        """
        super().__init__(autocast=False, **kwargs)
        self.channels = channels
        self.width = width

        def layer(name, filters, strict, in_channels):
            own_seed = derive_seed(seed, name)
            made = AutoregressiveConv2D(
                filters, strict, compatibility=compatibility, seed=own_seed, dtype=self.dtype_policy
            )
            made.build([None, None, None, in_channels])
            return made

        self.hidden1 = layer("hidden1", width, False, channels)
        self.hidden2 = layer("hidden2", width, False, width)
        self.shift = layer("shift", channels, True, width)
        self.log_scale = layer("log_scale", channels, True, width)
        self.built = True

    def call(self, z: tf.Tensor, condition: Any = None) -> tf.Tensor:
        """Computes the output that the class describes."""
        return self._run(call_layer, z, condition)

    def initialize(self, z: tf.Tensor, condition: Any = None) -> tf.Tensor:
        """Initializes the layers one after another from a batch and returns the output for it.

        With the compatibility `released` that is not the output from now on, see `AutoregressiveConv2D.initialize`.
        """
        return self._run(initialize_layer, z, condition)

    def _run(self, run, z, condition):
        context = condition.get("context") if isinstance(condition, dict) else condition
        hidden = run(self.hidden1, z)
        if context is not None:
            hidden += tf.cast(context, hidden.dtype)
        hidden = tf.nn.elu(run(self.hidden2, tf.nn.elu(hidden)))
        out = tf.concat([run(self.shift, hidden), run(self.log_scale, hidden)], axis=-1)
        return _OUTPUT_SCALE * tf.cast(out, self.variable_dtype)

    def compute_output_shape(self, input_shape: Sequence[int | None], *rest: Any) -> tuple[int | None, ...]:
        """Returns the shape of the output for inputs of `input_shape`."""
        return (*input_shape[:-1], 2 * self.channels)


class ImageHead(keras.layers.Layer):
    """Means of an image's pixels, `clip(conv5x5(elu(h)))`: `[B, H, W, width] -> [B, s H, s W, C]`, float32 under any policy.

    They are clipped to `[-1/2 + 1/512, 1/2 - 1/512]`. The scale s is 2, 1 or 1/2: the convolution is transposed for s = 2 and has
    stride 2 for s = 1/2.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.networks import ImageHead
      >>> ImageHead(width=8, scale=2)(tf.ones([4, 16, 16, 8])).shape
      TensorShape([4, 32, 32, 3])
      >>> ImageHead(width=8, scale=0.5)(tf.ones([4, 16, 16, 8])).shape
      TensorShape([4, 8, 8, 3])

    References:
      Released code of Kingma et al. 2016 (openai/iaf; s = 2); sizes of auxiliary images: Lucas & Verbeek 2018, section 4.2,
      https://arxiv.org/abs/1711.11479.
    """

    def __init__(
        self,
        width: int,
        scale: float = 2,
        channels: int = 3,
        compatibility: str = RELEASED,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Creates and builds the layer.

        Args:
          width: Number of channels of the features.
          scale: Width of the image over the width of the features: 2, 1 or 0.5.
          channels: Number of channels of the image.
          compatibility: `'released'` or `'fixed'`, see `ExponentialGainConv2D`.
          seed: Seed of the initial parameters.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).

        Raises:
          ValueError: If `scale` is not 2, 1 or 0.5, or `compatibility` is unknown.
        """
        super().__init__(autocast=False, **kwargs)
        if scale not in (2, 1, 0.5):
            raise ValueError(
                f"scale must be 2, 1 or 0.5: the image is 2, 1 or 0.5 times as wide as the features; got {scale}."
            )
        self.scale = scale
        options = {"compatibility": compatibility, "seed": seed, "dtype": self.dtype_policy}
        if scale == 2:
            self.last = ExponentialGainConv2DTranspose(channels, 5, **options)
        else:
            self.last = ExponentialGainConv2D(channels, 5, strides=1 if scale == 1 else 2, **options)
        self.last.build([None, None, None, width])
        self.built = True

    def call(self, h: tf.Tensor) -> tf.Tensor:
        """Computes the output that the class describes."""
        return self._clipped(self.last(tf.nn.elu(h)))

    def initialize(self, h: tf.Tensor) -> tf.Tensor:
        """Initializes the layer from a batch and returns the output for it.

        With the compatibility `released` that is not the output from now on, see `ExponentialGainConv2D.initialize`.
        """
        return self._clipped(self.last.initialize(tf.nn.elu(h)))

    def _clipped(self, mean):
        mean = tf.cast(mean, self.variable_dtype)
        return tf.clip_by_value(mean, -0.5 + _HALF_LEVEL, 0.5 - _HALF_LEVEL)
