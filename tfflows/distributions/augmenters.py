"""Channels z beside the data x, drawn from q(z | x): independent of x, Gaussian, or from a flow that is given x."""

from collections.abc import Sequence

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfflows import networks
from tfflows.bijectors import ActNorm, AffineCoupling, Chain, InvertibleConv, Squeeze, Unsqueeze
from tfflows.choices import AUGMENTERS
from tfflows.distributions.conditional_noise import ConditionalNoise, log_standard_normal, noise_beside
from tfflows.math.random import RowKeys, derive_seed, fold_in
from tfflows.networks.layers import call_layer, initialize_layer
from tfflows.tracing.finite import check_finite
from tfflows.tracing.variables import CopiedWithoutLayers, variables_of_layers

tfb = tfp.bijectors

STREAM = "augmentation"
_CONTEXT_FILTERS = 4


class NormalAugmenter(tf.Module):
    """`z ~ N(0, I)` whatever the data: it has no parameters, so that p alone is trained.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.distributions.augmenters import NormalAugmenter
      >>> from tfflows.math.random import row_keys
      >>> augmenter = NormalAugmenter(num_channels=2)
      >>> z, log_prob = augmenter.sample_and_log_prob(tf.zeros([5, 4, 4, 3]), row_keys(seed=0))
      >>> print(z.shape, log_prob.shape)
      (5, 4, 4, 2) (5,)
      >>> print(round(float(augmenter.log_prob(tf.zeros([1, 1, 1, 2]), None)[0]), 3))  # -2 ln(2 pi) / 2
      -1.838

    References:
      Chen et al. 2020, remark 2, https://arxiv.org/abs/2002.09741.
    """

    def __init__(self, num_channels: int, name: str = "normal_augmenter") -> None:
        """Creates the augmenter.

        Args:
          num_channels: Number of channels of z.
          name: Name of the module.
        """
        super().__init__(name=name)
        self.num_channels = num_channels

    def sample_and_log_prob(
        self, x: tf.Tensor, keys: RowKeys, dropout_keys: RowKeys | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws z given x.

        Args:
          x: float `[B, ..., C]`.
          keys: Keys of the noise.
          dropout_keys: Not used.

        Returns:
          `(z, ln q(z | x))`: float `[B, ..., num_channels]`, and nats `[B]`.
        """
        return self.transform_and_log_prob(noise_beside(x, fold_in(keys, STREAM), self.num_channels), x)

    def transform_and_log_prob(
        self, noise: tf.Tensor, x: tf.Tensor, dropout_keys: RowKeys | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """`(z, ln q(z | x))` of given Gaussian noise; z is the noise itself."""
        return noise, log_standard_normal(noise)

    def log_prob(self, z: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """`ln q(z | x)`, nats `[B]`."""
        return log_standard_normal(z)

    def initialize(self, x: tf.Tensor, keys: RowKeys, dropout_keys: RowKeys | None = None) -> tf.Tensor:
        """Returns z of a batch; there is nothing to set."""
        return self.sample_and_log_prob(x, keys)[0]


class GaussianAugmenter(CopiedWithoutLayers, tf.Module):
    """`z = mean(x) + exp(log_scale(x)) e`, `e ~ N(0, I)`: `ln q(z | x) = ln N(e) - sum log_scale`.

    With a network whose output is zero, as that of many networks is at init, q is N(0, I).

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.distributions.augmenters import GaussianAugmenter
      >>> from tfflows.math.random import row_keys
      >>> from tfflows.networks import CouplingNetwork
      >>> network = CouplingNetwork(width=8, filters=2 * 1)
      >>> network.build([None, 4, 4, 3])
      >>> augmenter = GaussianAugmenter(network, num_channels=1)
      >>> x = tf.zeros([5, 4, 4, 3])
      >>> z, log_prob = augmenter.sample_and_log_prob(x, row_keys(seed=0))
      >>> print(z.shape)
      (5, 4, 4, 1)
      >>> print(bool(tf.reduce_all(augmenter.log_prob(z, x) == log_prob)))
      True

    References:
      Chen et al. 2020, section 5 (the q of its one-dimensional z), https://arxiv.org/abs/2002.09741.
    """

    def __init__(self, network: keras.layers.Layer, num_channels: int, name: str = "gaussian_augmenter") -> None:
        """Creates the augmenter.

        Args:
          network: Built layer `[B, ..., C] -> [B, ..., 2 num_channels]`: first the means, then the log-scales.
          num_channels: Number of channels of z.
          name: Name of the module.
        """
        super().__init__(name=name)
        self.network = network
        self.num_channels = num_channels
        self._layer_variables = variables_of_layers(network)

    def sample_and_log_prob(
        self, x: tf.Tensor, keys: RowKeys, dropout_keys: RowKeys | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws z given x, as `NormalAugmenter.sample_and_log_prob` does.

        Raises:
          ValueError: If the network's output has another shape than `[B, ..., 2 num_channels]`.
        """
        return self.transform_and_log_prob(noise_beside(x, fold_in(keys, STREAM), self.num_channels), x)

    def transform_and_log_prob(
        self, noise: tf.Tensor, x: tf.Tensor, dropout_keys: RowKeys | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """`(z, ln q(z | x))` of given Gaussian noise e."""
        pair = self._transformed(noise, *self._mean_and_log_scale(call_layer, x))
        check_finite(self, pair, (noise, x), "draw")
        return pair

    def log_prob(self, z: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """`ln q(z | x)` of given z, nats `[B]`."""
        mean, log_scale = self._mean_and_log_scale(call_layer, x)
        log_prob = log_standard_normal((z - mean) * tf.exp(-log_scale)) - _sum_of(log_scale)
        check_finite(self, log_prob, (z, x), "log_prob")
        return log_prob

    def initialize(self, x: tf.Tensor, keys: RowKeys, dropout_keys: RowKeys | None = None) -> tf.Tensor:
        """Data-dependent init of the network from a batch; returns z."""
        noise = noise_beside(x, fold_in(keys, STREAM), self.num_channels)
        return self._transformed(noise, *self._mean_and_log_scale(initialize_layer, x))[0]

    def _mean_and_log_scale(self, run, x):
        out = run(self.network, x)
        expected = [*x.shape[:-1], 2 * self.num_channels]
        # Broadcasting would hide a wrong shape.
        if not out.shape.is_compatible_with(expected):
            raise ValueError(
                f"The network of {self.name} gave {out.shape} for data of shape {x.shape}; it must be {expected}."
            )
        return tf.split(tf.cast(out, x.dtype), 2, axis=-1)

    def _transformed(self, noise, mean, log_scale):
        return mean + tf.exp(log_scale) * noise, log_standard_normal(noise) - _sum_of(log_scale)


class FlowAugmenter(ConditionalNoise):
    """`z = g(e; h(x))`, `e ~ N(0, I)`, with `num_channels` channels: `ln q(z | x) = ln N(e) - ln |det dg/de|`.

    Example:
      >>> import numpy as np
      >>> import tensorflow as tf
      >>> from tfflows.bijectors import AffineCoupling
      >>> from tfflows.distributions.augmenters import FlowAugmenter
      >>> from tfflows.math.random import row_keys
      >>> from tfflows.networks import EluCouplingNetwork, ResidualContextNetwork
      >>> context = ResidualContextNetwork(planes=(4, 4), filters=3)
      >>> context.build([None, 4, 4, 1])
      >>> network = EluCouplingNetwork(width=4, filters=2, context_filters=3)
      >>> network.build([None, 4, 4, 1])
      >>> coupling = AffineCoupling(network, parameter_order="contiguous", conditional=True)
      >>> augmenter = FlowAugmenter(coupling, context, num_channels=2, pattern=None)
      >>> x = tf.zeros([5, 4, 4, 1])
      >>> z, log_prob = augmenter.sample_and_log_prob(x, row_keys(seed=0))
      >>> print(z.shape)
      (5, 4, 4, 2)
      >>> print(np.allclose(augmenter.log_prob(z, x), log_prob, atol=1e-3))
      True

    References:
      Chen et al. 2020, section 3, https://arxiv.org/abs/2002.09741.
    """

    stream = STREAM

    def __init__(
        self,
        bijector: tfb.Bijector,
        context_network: keras.layers.Layer,
        num_channels: int,
        pattern: str | None = "columns",
        name: str = "flow_augmenter",
    ) -> None:
        """Creates the augmenter; the arguments are those of `ConditionalNoise`."""
        super().__init__(bijector, context_network, pattern, num_channels, name)


def _sum_of(values):
    return tf.reduce_sum(values, axis=list(range(1, values.shape.rank)))


def make_augmenter(
    kind: str,
    image_shape: Sequence[int],
    num_channels: int,
    width: int = 64,
    num_steps: int = 4,
    seed: int = 0,
    dtype: str = "float32",
) -> tf.Module:
    """Makes the augmenter of one of three kinds, for images.

    - `normal`: N(0, I), with nothing to learn.
    - `gaussian`: mean and scale from a coupling network of Glow, which is zero at init, so that q begins as N(0, I).
    - `flow`: `num_steps` steps of actnorm, 1x1 convolution and affine coupling on squeezed noise, given the output of a residual
      network for the image.

    Args:
      kind: One of `AUGMENTERS`.
      image_shape: `[H, W, C]`; `flow` needs even sides.
      num_channels: Number of channels of z.
      width: Hidden channels of the networks.
      num_steps: Number of steps of `flow`.
      seed: Seed of the initial parameters.
      dtype: Keras dtype policy of the networks.

    Returns:
      `NormalAugmenter`, `GaussianAugmenter` or `FlowAugmenter`.

    Raises:
      ValueError: If `kind` is unknown, or a number is not positive.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.distributions.augmenters import make_augmenter
      >>> from tfflows.math.random import row_keys
      >>> augmenter = make_augmenter("gaussian", image_shape=[4, 4, 3], num_channels=2, width=8)
      >>> z, log_prob = augmenter.sample_and_log_prob(tf.zeros([5, 4, 4, 3]), row_keys(seed=0))
      >>> print(z.shape, log_prob.shape)
      (5, 4, 4, 2) (5,)
    """
    if kind not in AUGMENTERS:
        raise ValueError(f"The augmenter must be one of {', '.join(AUGMENTERS)}, got {kind!r}.")
    for name, number in {"num_channels": num_channels, "width": width, "num_steps": num_steps}.items():
        if number < 1:
            raise ValueError(f"{name} of an augmenter must be at least 1, got {number}.")
    if kind == "normal":
        return NormalAugmenter(num_channels)
    if kind == "gaussian":
        network = networks.CouplingNetwork(width, 2 * num_channels, seed=seed, dtype=dtype)
        network.build([None, *image_shape])
        return GaussianAugmenter(network, num_channels)
    context = networks.ResidualContextNetwork(
        (width, width), _CONTEXT_FILTERS, input_scale=2.0, seed=derive_seed(seed, "context"), dtype=dtype
    )
    context.build([None, *image_shape])
    steps = [_step(4 * num_channels, width, derive_seed(seed, "step", number), dtype) for number in range(num_steps)]
    squeeze, unsqueeze = Squeeze(order="position_first"), Unsqueeze(order="position_first")
    return FlowAugmenter(Chain([squeeze, *steps, unsqueeze], name="augmenter"), context, num_channels, pattern=None)


def _step(channels, width, seed, dtype):
    network = networks.EluCouplingNetwork(
        width, channels, 4 * _CONTEXT_FILTERS, seed=derive_seed(seed, "coupling"), dtype=dtype
    )
    network.build([None, None, None, channels // 2])
    coupling = AffineCoupling(network, parameter_order="contiguous", conditional=True)
    return Chain([ActNorm([channels]), InvertibleConv(channels, derive_seed(seed, "mixing")), coupling], name="step")
