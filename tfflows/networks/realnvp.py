"""Networks of RealNVP: convolutions with weight norm, batch norm, and the residual conditioner of its couplings."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfflows.math.convolution import conv2d
from tfflows.math.coupling import COLOURS, colour_mask
from tfflows.math.random import derive_seed
from tfflows.math.shapes import sizes_of
from tfflows.tracing.batch_statistics import in_training_pass, normalizing_moments
from tfflows.tracing.of_parameters import ComputedTogether, given_to
from tfflows.tracing.variables import own_children, walk

_MOMENTUM = 0.9
_EPSILON = 1e-4


class UnitNormConv2D(ComputedTogether, keras.layers.Layer):
    """Convolution of stride 1 with zero padding whose kernel has, per output channel, norm 1 or a learned one.

    `conv(x, g v / ||v||) + bias`, each of g (`magnitude`) and the bias if asked for. The entries of v are drawn from
    U(-q, q) with `q = sqrt(2 / C)`, g starts at `k / sqrt(6)` for a k x k kernel, the bias at 0; there is no data-dependent
    init.

    Shapes: `[B, H, W, C] -> [B, H, W, filters]`; the output has the compute dtype.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.networks import UnitNormConv2D
      >>> layer = UnitNormConv2D(filters=2, kernel_size=1, scaled=False, biased=False)
      >>> layer.build([None, 4, 4, 3])
      >>> columns = layer(tf.reshape(tf.eye(3), [3, 1, 1, 3]))[:, 0, 0]  # the kernel
      >>> tf.norm(columns, axis=0).numpy().round(4)
      array([1., 1.], dtype=float32)

    References:
      Salimans & Kingma 2016, https://arxiv.org/abs/1602.07868; released code of Dinh et al. 2017 (tensorflow/models, real_nvp).
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        scaled: bool = True,
        biased: bool = True,
        normalized: bool = False,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Creates the layer.

        Args:
          filters: Number of output channels.
          kernel_size: Side of the kernel, odd.
          scaled: Whether the norm of the kernel is learned.
          biased: Whether there is a bias.
          normalized: Whether batch norm takes the bias out again, wherever the output goes. Then it has no gradient in a training
            pass: otherwise it had that of rounding, of which Adam makes steps as large as all others.
          seed: Seed of v.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).

        Raises:
          ValueError: If `kernel_size` is even.
        """
        super().__init__(autocast=False, **kwargs)
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}.")
        self.filters = filters
        self.kernel_size = kernel_size
        self.scaled = scaled
        self.biased = biased
        self.normalized = normalized
        self._seed = derive_seed(seed, "kernel")

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Creates the variables for inputs of `input_shape`."""
        size, channels = self.kernel_size, input_shape[-1]
        bound = math.sqrt(2 / channels)
        self.direction = self._add(
            "direction",
            (size, size, channels, self.filters),
            keras.initializers.RandomUniform(-bound, bound, seed=self._seed),
        )
        if self.scaled:
            self.magnitude = self._add("magnitude", (self.filters,), keras.initializers.Constant(size / math.sqrt(6)))
        if self.biased:
            self.bias = self._add("bias", (self.filters,), "zeros")
        self.built = True

    def _add(self, name, shape, initializer):
        return self.add_weight(shape=shape, initializer=initializer, name=name, autocast=False)

    def of_parameters(self) -> tuple[tf.Tensor]:
        """Computes the kernel; see `ComputedTogether`."""
        direction = tf.convert_to_tensor(self.direction)
        factor = tf.math.rsqrt(tf.reduce_sum(tf.square(direction), axis=[-4, -3, -2], keepdims=True))
        if self.scaled:
            factor *= tf.reshape(tf.convert_to_tensor(self.magnitude), factor.shape)
        return (direction * factor,)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Computes the output that the class describes."""
        (kernel,) = given_to(self) or self.of_parameters()
        out = self._convolve(tf.cast(x, self.compute_dtype), tf.cast(kernel, self.compute_dtype))
        if not self.biased:
            return out
        bias = tf.convert_to_tensor(self.bias)
        if self.normalized and in_training_pass():
            bias = tf.stop_gradient(bias) + 0.0 * bias  # a gradient of zeros, not none
        return out + tf.cast(bias, self.compute_dtype)

    def _convolve(self, x, kernel):
        if self.kernel_size > 1:
            return conv2d(x, kernel, strides=1, padding="SAME")
        rows = tf.matmul(tf.reshape(x, [-1, kernel.shape[2]]), kernel[0, 0])
        return tf.reshape(rows, [*sizes_of(x)[:-1], self.filters])

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Returns the shape of the output for inputs of `input_shape`."""
        return (*input_shape[:-1], self.filters)


class ShiftedBatchNorm(keras.layers.Layer):
    """Batch norm with a learned shift and no learned scale: `(x - mean) / sqrt(variance + 1e-4) + shift`, per channel.

    In a training pass (`tfflows.tracing.batch_statistics`) the moments are those of the batch, over batch and space and over
    all replicas, and the running ones take in a tenth of them, with the population variance. Otherwise they are the running
    ones, which start at 0 and 1. Under any policy the moments are computed in the variables' dtype.

    Shapes: `[..., C] -> [..., C]`; the output has the compute dtype.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.networks import ShiftedBatchNorm
      >>> from tfflows.tracing.batch_statistics import batch_statistics
      >>> norm = ShiftedBatchNorm()
      >>> norm.build([None, 1])
      >>> with batch_statistics():
      ...     print(norm(tf.constant([[1.0], [5.0]])).numpy().ravel().round(3))
      [-1.  1.]
      >>> print(norm.mean.numpy(), norm.variance.numpy())
      [0.3] [1.3]

    References:
      Ioffe & Szegedy 2015, https://arxiv.org/abs/1502.03167; released code of Dinh et al. 2017 (tensorflow/models, real_nvp).
    """

    uses_batch_statistics = True

    def __init__(self, momentum: float = _MOMENTUM, epsilon: float = _EPSILON, **kwargs: Any) -> None:
        """Creates the layer.

        Args:
          momentum: Share of a running statistic that stays at each step.
          epsilon: Added to the variance.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).
        """
        super().__init__(autocast=False, **kwargs)
        self.momentum = momentum
        self.epsilon = epsilon

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Creates the variables for inputs of `input_shape`."""
        self.shift = self._add("shift", input_shape, "zeros", trainable=True)
        self.mean = self._add("mean", input_shape, "zeros", trainable=False)
        self.variance = self._add("variance", input_shape, "ones", trainable=False)
        self.built = True

    def _add(self, name, input_shape, initializer, trainable):
        shape = (input_shape[-1],)
        return self.add_weight(shape=shape, initializer=initializer, name=name, trainable=trainable, autocast=False)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Computes the output that the class describes."""
        x = tf.cast(x, self.variable_dtype)
        mean, variance = normalizing_moments(x, self.mean, self.variance, self.momentum)
        out = (x - mean) * tf.math.rsqrt(variance + self.epsilon) + tf.convert_to_tensor(self.shift)
        return tf.cast(out, self.compute_dtype)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Returns the shape of the output, that of the input."""
        return tuple(input_shape)


class BatchNormResidual(keras.layers.Layer):
    """Residual unit `x + conv3x3(relu(BN(conv3x3(relu(BN(x))))))`; the last convolution has a bias and a learned norm.

    Shapes: `[B, H, W, C] -> [B, H, W, C]`.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.networks import BatchNormResidual
      >>> unit = BatchNormResidual()
      >>> unit.build([None, 4, 4, 5])
      >>> unit(tf.ones([2, 4, 4, 5])).shape
      TensorShape([2, 4, 4, 5])

    References:
      Dinh et al. 2017, section 3.3, https://arxiv.org/abs/1605.08803; released code (tensorflow/models, real_nvp).
    """

    def __init__(self, seed: int = 0, normalized: bool = False, **kwargs: Any) -> None:
        """Creates the layer.

        Args:
          seed: Seed of the initial parameters.
          normalized: As for `UnitNormConv2D`, of its last convolution.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).
        """
        super().__init__(autocast=False, **kwargs)
        self._seed = seed
        self._normalized = normalized

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Creates the variables for inputs of `input_shape`."""
        policy, width = {"dtype": self.dtype_policy}, input_shape[-1]
        self.first_norm = ShiftedBatchNorm(**policy)
        self.first = UnitNormConv2D(width, 3, scaled=False, biased=False, seed=derive_seed(self._seed, 1), **policy)
        self.second_norm = ShiftedBatchNorm(**policy)
        self.second = UnitNormConv2D(width, 3, normalized=self._normalized, seed=derive_seed(self._seed, 2), **policy)
        for layer in (self.first_norm, self.first, self.second_norm, self.second):
            layer.build(input_shape)
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Computes the output that the class describes."""
        hidden = self.first(tf.nn.relu(self.first_norm(x)))
        return x + self.second(tf.nn.relu(self.second_norm(hidden)))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Returns the shape of the output, that of the input."""
        return tuple(input_shape)


class ResidualConditioner(keras.layers.Layer):
    """Network of a RealNVP coupling: residual units, each of which adds to the output; `[B, H, W, C] -> [B, H, W, filters]`.

    With e the input after batch norm, it sees `relu([e, -e])`. In a checkerboard coupling, whose input is 0 where it is
    transformed, e is doubled and the mask of the conditioning `colour` is one more channel. Then `h = conv3x3`,
    `o = conv1x1(h)`; for each unit `h = unit(h)`, `o = o + conv1x1(h)`; the output is `conv1x1(relu(BN(o)))`, float32 under any
    policy.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.networks import ResidualConditioner
      >>> network = ResidualConditioner(width=4, filters=6, num_blocks=1, colour="even")
      >>> network.build([None, 8, 8, 3])
      >>> network(tf.ones([2, 8, 8, 3])).shape
      TensorShape([2, 8, 8, 6])

    References:
      Dinh et al. 2017, section 3.3 and figure 4, https://arxiv.org/abs/1605.08803; sums of skips, signs and mask as in the
      released code (tensorflow/models, real_nvp).
    """

    def __init__(
        self, width: int, filters: int, num_blocks: int, colour: str | None = None, seed: int = 0, **kwargs: Any
    ) -> None:
        """Creates the layers.

        Args:
          width: Number of hidden channels.
          filters: Number of output channels.
          num_blocks: Number of residual units.
          colour: The colour of the checkerboard that conditions, `'even'` or `'odd'`; None if all of the input does.
          seed: Seed of the initial parameters.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).

        Raises:
          ValueError: If `colour` is unknown.
        """
        super().__init__(autocast=False, **kwargs)
        if colour not in (None, *COLOURS):
            raise ValueError(f"colour must be None or one of {COLOURS}, got {colour!r}.")
        policy = {"dtype": self.dtype_policy}
        self.width = width
        self.colour = colour
        self.input_norm = ShiftedBatchNorm(**policy)
        inner = {**policy, "normalized": True}  # by the norms of the units and the last one
        self.first = UnitNormConv2D(width, 3, scaled=False, seed=derive_seed(seed, "first"), **inner)
        self.first_skip = UnitNormConv2D(width, 1, seed=derive_seed(seed, "first_skip"), **inner)
        self.units = [BatchNormResidual(derive_seed(seed, "unit", i), **inner) for i in range(num_blocks)]
        self.skips = [UnitNormConv2D(width, 1, seed=derive_seed(seed, "skip", i), **inner) for i in range(num_blocks)]
        self.last_norm = ShiftedBatchNorm(**policy)
        self.last = UnitNormConv2D(filters, 1, seed=derive_seed(seed, "last"), **policy)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Creates the variables for inputs of `input_shape`."""
        *outer, channels = input_shape
        hidden = (*outer, self.width)
        self.input_norm.build(input_shape)
        self.first.build((*outer, 2 * channels + (self.colour is not None)))
        for layer in (self.first_skip, *self.units, *self.skips, self.last_norm, self.last):
            layer.build(hidden)
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Computes the output that the class describes."""
        hidden = self.first(self._signed(x))
        total = self.first_skip(hidden)
        for unit, skip in zip(self.units, self.skips, strict=True):
            hidden = unit(hidden)
            total += skip(hidden)
        return tf.cast(self.last(tf.nn.relu(self.last_norm(total))), self.variable_dtype)

    def _signed(self, x):
        normed = self.input_norm(x)
        if self.colour is None:
            return tf.nn.relu(tf.concat([normed, -normed], axis=-1))
        batch, height, width, _ = sizes_of(x)
        mask = tf.cast(colour_mask(height, width, self.colour), normed.dtype)
        return tf.concat(
            [tf.nn.relu(2 * normed), tf.nn.relu(-2 * normed), tf.broadcast_to(mask, [batch, height, width, 1])], axis=-1
        )

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Returns the shape of the output for inputs of `input_shape`."""
        return self.last.compute_output_shape(input_shape)


def learned_norms(module: Any) -> list[tf.Variable]:
    """Lists the learned norms (`magnitude`) of all `UnitNormConv2D` below a bijector, distribution or other module.

    Example:
      >>> from tfflows.networks import ResidualConditioner, learned_norms
      >>> network = ResidualConditioner(width=4, filters=6, num_blocks=1)
      >>> network.build([None, 8, 8, 3])
      >>> sorted(norm.shape[0] for norm in learned_norms(network))  # the first convolution and the first of the unit have none
      [4, 4, 4, 6]
    """
    found = []

    def visit(value, path, place, number):
        del path, place
        if isinstance(value, UnitNormConv2D) and value.scaled and number is None:
            found.append(value.magnitude.value)
        return True

    walk(module, own_children, visit)
    return found
