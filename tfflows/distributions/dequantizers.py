"""Noise that makes discrete pixels continuous: uniform, or drawn by a flow that is given the image."""

import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.math.checkerboard import split_colours
from tfflows.math.random import fold_in, normal_rows, uniform_rows
from tfflows.networks.data_dependent import call_layer, initialize_layer

tfd = tfp.distributions


class UniformDequantizer(tf.Module):
    """`u ~ Uniform[0, 1)` whatever the image: the special case of variational dequantization with log-density 0."""

    def sample_and_log_prob(self, images, keys, dropout_keys=None):
        """`(u, ln r(u | x))`: noise `[B, H, W, C]` and its log-density, nats `[B]`, which is 0.

        Args:
          images: float `[B, H, W, C]`, the lower edges of the bins in [-1/2, 1/2).
          keys: `RowKeys` of the noise.
          dropout_keys: Not used.
        """
        noise = uniform_rows(fold_in(keys, "dequantization"), tf.shape(images)[0], images.shape[1:])
        return noise, tf.zeros(tf.shape(images)[:1])

    def initialize(self, images, keys, dropout_keys=None):
        """Noise of a batch; there is nothing to set."""
        return self.sample_and_log_prob(images, keys)[0]


class VariationalDequantizer(tf.Module):
    """`u = g(e; h(x))` in (0, 1), `e ~ N(0, I)`: `ln r(u | x) = ln N(e) - ln |det dg/de|`.

    #### References

    Ho et al. 2019, section 3.1.
    """

    def __init__(self, bijector, context_network, pattern="columns", name="dequantizer"):
        """Creates the dequantizer.

        Args:
          bijector: Of the library, its `inverse` maps noise to u, so that training inverts nothing; takes a condition
            `{'context': h, 'dropout': RowKeys}`, the keys only in training.
          context_network: Keras layer `(image, dropout_keys) -> h`, of the image `[B, H, W, C]`, or `[B, H, W/2, 2 C]` with its
            colours side by side.
          pattern: Of the colours, see `tfflows.math.checkerboard`; None for the image as it is.
          name: Python `str`.
        """
        super().__init__(name=name)
        self.bijector = bijector
        self.context_network = context_network
        self._context_variables = [variable.value for variable in context_network.variables]
        self._pattern = pattern

    def sample_and_log_prob(self, images, keys, dropout_keys=None):
        """As `UniformDequantizer.sample_and_log_prob`; dropout_keys: `RowKeys`, or None for no dropout."""
        noise = normal_rows(fold_in(keys, "dequantization"), tf.shape(images)[0], images.shape[1:])
        return self.transform_and_log_prob(noise, images, dropout_keys)

    def transform_and_log_prob(self, noise, images, dropout_keys=None):
        """`(u, ln r(u | x))` of given Gaussian noise `[B, H, W, C]`."""
        u, log_det = self.bijector.inverse_and_log_det(noise, self._condition(call_layer, images, dropout_keys))
        return u, _log_normal(noise) - log_det

    def log_prob(self, u, images):
        """`ln r(u | x)` of given u in (0, 1), nats `[B]`; inverts the flow."""
        noise, log_det = self.bijector.forward_and_log_det(u, self._condition(call_layer, images, None))
        return _log_normal(noise) + log_det

    def initialize(self, images, keys, dropout_keys=None):
        """Data-dependent init of the context network and the flow from a batch; returns u."""
        noise = normal_rows(fold_in(keys, "dequantization"), tf.shape(images)[0], images.shape[1:])
        return self.bijector.initialize(noise, self._condition(initialize_layer, images, dropout_keys))

    def _condition(self, run, images, dropout_keys):
        context_keys = None if dropout_keys is None else fold_in(dropout_keys, "context")
        seen = images if self._pattern is None else split_colours(images, self._pattern)
        context = run(self.context_network, seen, context_keys)
        condition = {"context": tf.cast(context, images.dtype)}
        return condition if dropout_keys is None else {**condition, "dropout": dropout_keys}


def _log_normal(noise):
    log_prob = tfd.Normal(tf.zeros([], noise.dtype), tf.ones([], noise.dtype)).log_prob(noise)
    return tf.reduce_sum(log_prob, axis=[1, 2, 3])
