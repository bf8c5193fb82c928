"""Channels z beside the data x, drawn from q(z | x): independent of x, Gaussian, or from a flow that is given x."""

import tensorflow as tf

from tfflows.distributions.conditional_noise import ConditionalNoise, log_standard_normal, noise_beside
from tfflows.math.random import fold_in
from tfflows.networks.layers import call_layer, initialize_layer
from tfflows.tracing.walk import variables_of_layers

STREAM = "augmentation"


class NormalAugmenter(tf.Module):
    """`z ~ N(0, I)` whatever the data: nothing to learn, so that p alone is trained (Chen et al. 2020, remark 2)."""

    def __init__(self, num_channels, name="normal_augmenter"):
        """Args: num_channels: Python `int`, of z; name: Python `str`."""
        super().__init__(name=name)
        self.num_channels = num_channels

    def sample_and_log_prob(self, x, keys, dropout_keys=None):
        """`(z, ln q(z | x))`: `[B, ..., num_channels]`, and nats `[B]`.

        Args:
          x: float `[B, ..., C]`.
          keys: `RowKeys` of the noise.
          dropout_keys: Not used.
        """
        return self.transform_and_log_prob(noise_beside(x, fold_in(keys, STREAM), self.num_channels), x)

    def transform_and_log_prob(self, noise, x, dropout_keys=None):
        """`(z, ln q(z | x))` of given Gaussian noise: the noise itself."""
        return noise, log_standard_normal(noise)

    def log_prob(self, z, x):
        """`ln q(z | x)`, nats `[B]`."""
        return log_standard_normal(z)

    def initialize(self, x, keys, dropout_keys=None):
        """z of a batch; there is nothing to set."""
        return self.sample_and_log_prob(x, keys)[0]


class GaussianAugmenter(tf.Module):
    """`z = mean(x) + exp(log_scale(x)) e`, `e ~ N(0, I)`: `ln q(z | x) = ln N(e) - sum log_scale`.

    With a network that is zero, as many are at their init, q is N(0, I).

    #### References

    Chen et al. 2020, section 5 (the q of its one-dimensional z).
    """

    def __init__(self, network, num_channels, name="gaussian_augmenter"):
        """Creates the augmenter.

        Args:
          network: Built Keras layer `[B, ..., C] -> [B, ..., 2 num_channels]`, first the means, then the log-scales.
          num_channels: Python `int`, of z.
          name: Python `str`.
        """
        super().__init__(name=name)
        self.network = network
        self.num_channels = num_channels
        self._layer_variables = variables_of_layers(network)

    def sample_and_log_prob(self, x, keys, dropout_keys=None):
        """As `NormalAugmenter.sample_and_log_prob`."""
        return self.transform_and_log_prob(noise_beside(x, fold_in(keys, STREAM), self.num_channels), x)

    def transform_and_log_prob(self, noise, x, dropout_keys=None):
        """`(z, ln q(z | x))` of given Gaussian noise e."""
        return self._transformed(noise, *self._mean_and_log_scale(call_layer, x))

    def log_prob(self, z, x):
        """`ln q(z | x)` of given z, nats `[B]`."""
        mean, log_scale = self._mean_and_log_scale(call_layer, x)
        return log_standard_normal((z - mean) * tf.exp(-log_scale)) - _sum_of(log_scale)

    def initialize(self, x, keys, dropout_keys=None):
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
    """`z = g(e; h(x))`, `e ~ N(0, I)`, of `num_channels` channels: `ln q(z | x) = ln N(e) - ln |det dg/de|`.

    #### References

    Chen et al. 2020, section 4.
    """

    stream = STREAM

    def __init__(self, bijector, context_network, num_channels, pattern="columns", name="flow_augmenter"):
        """Args: as for `ConditionalNoise`."""
        super().__init__(bijector, context_network, pattern, num_channels, name)


def _sum_of(values):
    return tf.reduce_sum(values, axis=list(range(1, values.shape.rank)))
