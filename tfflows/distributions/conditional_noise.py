"""Noise that a flow shapes given data: what variational dequantization and augmentation share."""

import math

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.bijectors.parts import check_bijectors
from tfflows.math.random import RowKeys, fold_in, normal_rows
from tfflows.math.squeeze import split_colours
from tfflows.networks.layers import call_layer, initialize_layer
from tfflows.tracing.variables import CopiedWithoutLayers, variables_of_layers

tfb = tfp.bijectors


class ConditionalNoise(CopiedWithoutLayers, tf.Module):
    """`w = g(e; h(x))`, `e ~ N(0, I)`: `ln r(w | x) = ln N(e) - ln |det dg/de|`.

    w has the shape of x, or another number of channels.

    Example:
      >>> import numpy as np
      >>> import tensorflow as tf
      >>> from tfflows.bijectors import AffineCoupling
      >>> from tfflows.distributions.conditional_noise import ConditionalNoise
      >>> from tfflows.math.random import row_keys
      >>> from tfflows.networks import EluCouplingNetwork, ResidualContextNetwork
      >>> context = ResidualContextNetwork(planes=(4, 4), filters=3)
      >>> context.build([None, 4, 4, 2])
      >>> network = EluCouplingNetwork(width=4, filters=2, context_filters=3)
      >>> network.build([None, 4, 4, 1])
      >>> coupling = AffineCoupling(network, parameter_order="contiguous", conditional=True)
      >>> noise = ConditionalNoise(coupling, context, pattern=None)
      >>> x = tf.zeros([5, 4, 4, 2])
      >>> w, log_prob = noise.sample_and_log_prob(x, row_keys(seed=0))
      >>> print(w.shape)
      (5, 4, 4, 2)
      >>> print(np.allclose(noise.log_prob(w, x), log_prob, atol=1e-3))
      True
    """

    # Name of the stream of random numbers that e is drawn from.
    stream = "noise"

    def __init__(
        self,
        bijector: tfb.Bijector,
        context_network: keras.layers.Layer,
        pattern: str | None = "columns",
        num_channels: int | None = None,
        name: str = "conditional_noise",
    ) -> None:
        """Creates the noise.

        Args:
          bijector: Bijector of the library whose `inverse` maps e to w, so that training inverts nothing. It takes the condition
            `{'context': h, 'dropout': RowKeys}`, with the keys in training only.
          context_network: Layer `(x, dropout_keys) -> h` of x `[B, ..., C]`, or of images `[B, H, W/2, 2 C]` with their two
            colours side by side.
          pattern: Pattern of the colours, see `tfflows.math.squeeze`; None: the network is given x as it is.
          num_channels: Size of the last axis of w; default: that of x.
          name: Name of the module.

        Raises:
          TypeError: If `bijector` is none, or `context_network` cannot be called.
          ValueError: If `context_network` has not been built.
        """
        super().__init__(name=name)
        check_bijectors(type(self).__name__, bijector)
        self.bijector = bijector
        self.context_network = context_network
        self.num_channels = num_channels
        self._layer_variables = variables_of_layers(context_network)
        self._pattern = pattern

    def sample_and_log_prob(
        self, x: tf.Tensor, keys: RowKeys, dropout_keys: RowKeys | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws w given x.

        Args:
          x: float `[B, ..., C]`.
          keys: Keys of the noise.
          dropout_keys: Keys of the dropout, or None for no dropout.

        Returns:
          `(w, ln r(w | x))`: noise `[B, ..., num_channels]` and its log-density, nats `[B]`.
        """
        return self.transform_and_log_prob(self._noise(x, keys), x, dropout_keys)

    def transform_and_log_prob(
        self, noise: tf.Tensor, x: tf.Tensor, dropout_keys: RowKeys | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """`(w, ln r(w | x))` of given Gaussian noise e."""
        w, log_det = self.bijector.inverse_and_log_det(noise, self._condition(call_layer, x, dropout_keys))
        return w, log_standard_normal(noise) - log_det

    def log_prob(self, w: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """`ln r(w | x)` of given w, nats `[B]`; inverts the flow."""
        noise, log_det = self.bijector.forward_and_log_det(w, self._condition(call_layer, x, None))
        return log_standard_normal(noise) + log_det

    def initialize(self, x: tf.Tensor, keys: RowKeys, dropout_keys: RowKeys | None = None) -> tf.Tensor:
        """Data-dependent init of the context network and the flow from a batch; returns w."""
        return self.bijector.initialize(self._noise(x, keys), self._condition(initialize_layer, x, dropout_keys))

    def _noise(self, x, keys):
        return noise_beside(x, fold_in(keys, self.stream), self.num_channels)

    def _condition(self, run, x, dropout_keys):
        context_keys = None if dropout_keys is None else fold_in(dropout_keys, "context")
        seen = x if self._pattern is None else split_colours(x, self._pattern)
        context = run(self.context_network, seen, context_keys)
        condition = {"context": tf.cast(context, x.dtype)}
        return condition if dropout_keys is None else {**condition, "dropout": dropout_keys}


def noise_beside(x: tf.Tensor, keys: RowKeys, num_channels: int | None = None) -> tf.Tensor:
    """Standard normal numbers with the shape of x `[B, ..., C]`, or with `num_channels` channels instead of C."""
    shape = [*x.shape[1:-1], x.shape[-1] if num_channels is None else num_channels]
    return normal_rows(keys, tf.shape(x)[0], shape, x.dtype)


def log_standard_normal(noise: tf.Tensor) -> tf.Tensor:
    """`ln N(e; 0, I)` of events on all axes but the first, nats `[B]`."""
    each = -0.5 * (tf.square(noise) + math.log(2 * math.pi))
    return tf.reduce_sum(each, axis=list(range(1, noise.shape.rank)))
