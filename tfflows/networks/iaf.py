"""The networks of the IAF-VAE: convolutions whose gains are logarithms, the autoregressive network, the image's head."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfflows.math.convolution import conv2d, conv2d_transpose
from tfflows.math.masked_convolution import autoregressive_mask
from tfflows.math.random import derive_seed
from tfflows.networks.layers import WeightNormLayer, call_layer, initialize_layer

RELEASED, FIXED = COMPATIBILITIES = ("released", "fixed")

_VARIANCE_EPSILON = 1e-10
# The released code keeps a third of the gain that it means, as its predecessor used the exponential of three times it.
_KEPT = {RELEASED: 1 / 3, FIXED: 1.0}
# Of what the last layers of an `AutoregressiveNetwork` give (released code).
_OUTPUT_SCALE = 0.1
# How far the means of an `ImageHead` stay from -1/2 and 1/2.
_HALF_LEVEL = 1 / 512


class _ExponentialGain(WeightNormLayer):
    """`conv(x, exp(g) v / ||v||) + bias`; data-dependent init after the response of the direction alone."""

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

    def effective_kernel(self):
        return self._unit_kernel() * tf.exp(tf.convert_to_tensor(self.gain))

    def initialize(self, x: tf.Tensor) -> tf.Tensor:
        """Data-dependent init from a batch `[B, H, W, C]`.

        Returns:
          Outputs of mean 0 and standard deviation `init_scale` in each channel. What the layer gives from then on has these
          moments with the compatibility `fixed` (a channel that is constant has a gain of 1); with `released` its gain is the
          third root of that.
        """
        kernel = tf.cast(self._unit_kernel(), self.compute_dtype)
        response = tf.cast(self._convolve(tf.cast(x, self.compute_dtype), kernel), self.variable_dtype)
        mean, variance = tf.nn.moments(response, axes=[0, 1, 2])
        scale = self.init_scale * tf.math.rsqrt(variance + _VARIANCE_EPSILON)
        if self.compatibility == FIXED:
            # The top of a ladder is 0 at first: a gain of 1e4 would make its first step the last.
            scale = tf.where(variance > _VARIANCE_EPSILON, scale, tf.ones_like(scale))
        self.gain.assign(_KEPT[self.compatibility] * tf.math.log(scale))
        self.bias.assign(-mean * scale)
        return tf.cast((response - mean) * scale, self.compute_dtype)


class ExponentialGainConv2D(_ExponentialGain):
    """`conv(x, exp(g) v / ||v||) + bias`, SAME, a norm an output channel; v ~ N(0, 0.05^2), g and bias 0; then `initialize`.

    Shapes: `[B, H, W, C] -> [B, H / strides, W / strides, filters]`. Source: released IAF code.
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
          kernel_size: Python `int`.
          strides: Python `int`.
          init_scale: Python `float`, see `initialize`.
          compatibility: `'released'` or `'fixed'`, see `initialize`.
          seed: Python `int` of v.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).

        Raises:
          ValueError: if the compatibility is unknown.
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
    """The transpose of an `ExponentialGainConv2D` of stride 2: `[B, H, W, C] -> [B, 2 H, 2 W, filters]`.

    With the compatibility `released` a norm is taken over the output channels, for each input channel; with `fixed` over the
    input channels, for each output channel.
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
        """Args: as for `ExponentialGainConv2D`."""
        super().__init__(filters, kernel_size, init_scale, compatibility, seed, **kwargs)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Creates the variables for inputs of `input_shape`."""
        self._build((*self.kernel_size, self.filters, input_shape[-1]))

    def _squared_norm(self, direction):
        axis = 2 if self.compatibility == RELEASED else 3
        return tf.reduce_sum(tf.square(direction), axis=[0, 1, axis], keepdims=True)

    def effective_kernel(self):
        return self._unit_kernel() * tf.exp(tf.convert_to_tensor(self.gain))[:, tf.newaxis]

    def _convolve(self, x, kernel):
        batch, height, width = tf.unstack(tf.shape(x)[:3])
        out = conv2d_transpose(x, kernel, [batch, 2 * height, 2 * width, self.filters], strides=2, padding="SAME")
        return tf.ensure_shape(out, self.compute_output_shape(x.shape))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Returns the shape of the output for inputs of `input_shape`."""
        *outer, height, width, _ = input_shape
        return (*outer, *(None if side is None else 2 * side for side in (height, width)), self.filters)


class AutoregressiveConv2D(_ExponentialGain):
    """A 3x3 convolution of which the taps that are not before the own pixel and channel are dead: `exp(g) v m / ||v m||`.

    The order is that of `autoregressive_mask`. Entries of v under the mask m are 0 and stay it.

    Shapes: `[B, H, W, C] -> [B, H, W, filters]`. Source: Kingma et al. 2016; released code.
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
        """Args: strict: Python `bool`, whether the own group of channels is not seen; rest as for `ExponentialGainConv2D`."""
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
    """Shifts and log-scales of each number given those before it: `[B, H, W, C] -> [B, H, W, 2 C]`; float32 under any policy.

    ELU(masked 3x3 + context), ELU(masked 3x3), and a strictly masked 3x3 convolution for each of the two, times 0.1. Called with
    `(z, condition)`: None, a context `[B, H, W, width]`, or a dictionary that holds it as `context`.

    Source: Kingma et al. 2016; released code (`ar_multiconv2d`).
    """

    def __init__(self, channels: int, width: int, compatibility: str = RELEASED, seed: int = 0, **kwargs: Any) -> None:
        """Creates and builds the layers.

        Args:
          channels: Python `int` C.
          width: Python `int`, hidden channels: a multiple of C, or a divisor of it.
          compatibility: As for `ExponentialGainConv2D`.
          seed: Seed of the initial parameters.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).

        Raises:
          ValueError: if of width and channels neither divides the other.
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
        """Initializes the layers one after another from a batch and returns the output for it."""
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
    """`clip(conv5x5(elu(h)))` within `[-1/2 + 1/512, 1/2 - 1/512]`: `[B, H, W, width] -> [B, s H, s W, C]`, s = 2, 1 or 1/2.

    The convolution is transposed for s = 2, has stride 2 for s = 1/2. Float32 comes out under any policy.

    Source: Kingma et al. 2016, released code (s = 2). Sizes of auxiliary images: Lucas & Verbeek 2018, section 4.2.
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
          width: Python `int`, channels of the features.
          scale: 2, 1 or 0.5: how many times as wide as the features the image is.
          channels: Python `int`, of the image.
          compatibility: As for `ExponentialGainConv2D`.
          seed: Seed of the initial parameters.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).

        Raises:
          ValueError: if there is no such scale.
        """
        super().__init__(autocast=False, **kwargs)
        if scale not in (2, 1, 0.5):
            raise ValueError(f"An image is 2, 1 or 0.5 times as wide as the features, got {scale}.")
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
        """Data-dependent init from a batch; returns the output on it."""
        return self._clipped(self.last.initialize(tf.nn.elu(h)))

    def _clipped(self, mean):
        mean = tf.cast(mean, self.variable_dtype)
        return tf.clip_by_value(mean, -0.5 + _HALF_LEVEL, 0.5 - _HALF_LEVEL)
