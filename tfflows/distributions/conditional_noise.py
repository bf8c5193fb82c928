"""Noise that a flow shapes given data: what variational dequantization and augmentation share."""

import math

import tensorflow as tf

from tfflows.math.random import fold_in, normal_rows
from tfflows.math.squeeze import split_colours
from tfflows.networks.layers import call_layer, initialize_layer
from tfflows.tracing.walk import variables_of_layers


class ConditionalNoise(tf.Module):
    """`w = g(e; h(x))`, `e ~ N(0, I)`: `ln r(w | x) = ln N(e) - ln |det dg/de|`; w has the shape of x, or other channels."""

    # Of the stream of random numbers that e is drawn from.
    stream = "noise"

    def __init__(self, bijector, context_network, pattern="columns", num_channels=None, name="conditional_noise"):
        """Creates the noise.

        Args:
          bijector: Of the library, its `inverse` maps e to w, so that training inverts nothing; takes a condition
            `{'context': h, 'dropout': RowKeys}`, the keys only in training.
          context_network: Keras layer `(x, dropout_keys) -> h`, of x `[B, ..., C]`, or of images `[B, H, W/2, 2 C]` with their
            colours side by side.
          pattern: Of the colours, see `tfflows.math.squeeze`; None for x as it is.
          num_channels: Python `int`, size of the last axis of w; default: that of x.
          name: Python `str`.
        """
        super().__init__(name=name)
        self.bijector = bijector
        self.context_network = context_network
        self.num_channels = num_channels
        self._layer_variables = variables_of_layers(context_network)
        self._pattern = pattern

    def sample_and_log_prob(self, x, keys, dropout_keys=None):
        """`(w, ln r(w | x))`: noise `[B, ..., num_channels]` and its log-density, nats `[B]`.

        Args:
          x: float `[B, ..., C]`.
          keys: `RowKeys` of the noise.
          dropout_keys: `RowKeys`, or None for no dropout.
        """
        return self.transform_and_log_prob(self._noise(x, keys), x, dropout_keys)

    def transform_and_log_prob(self, noise, x, dropout_keys=None):
        """`(w, ln r(w | x))` of given Gaussian noise e."""
        w, log_det = self.bijector.inverse_and_log_det(noise, self._condition(call_layer, x, dropout_keys))
        return w, log_standard_normal(noise) - log_det

    def log_prob(self, w, x):
        """`ln r(w | x)` of given w, nats `[B]`; inverts the flow."""
        noise, log_det = self.bijector.forward_and_log_det(w, self._condition(call_layer, x, None))
        return log_standard_normal(noise) + log_det

    def initialize(self, x, keys, dropout_keys=None):
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


def noise_beside(x, keys, num_channels=None):
    """Standard normal numbers of the shape of x `[B, ..., C]`, or with another number of channels."""
    shape = [*x.shape[1:-1], x.shape[-1] if num_channels is None else num_channels]
    return normal_rows(keys, tf.shape(x)[0], shape, x.dtype)


def log_standard_normal(noise):
    """`ln N(e; 0, I)` of events on all axes but the first, nats `[B]`."""
    each = -0.5 * (tf.square(noise) + math.log(2 * math.pi))
    return tf.reduce_sum(each, axis=list(range(1, noise.shape.rank)))
