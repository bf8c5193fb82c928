"""Noise that makes discrete pixels continuous: uniform, or drawn by a flow that is given the image."""

import tensorflow as tf

from tfflows.distributions.conditional_noise import ConditionalNoise
from tfflows.math.random import fold_in, uniform_rows


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


class VariationalDequantizer(ConditionalNoise):
    """`u = g(e; h(x))` in (0, 1), `e ~ N(0, I)`, x the lower edges of the bins: `ln r(u | x) = ln N(e) - ln |det dg/de|`.

    #### References

    Ho et al. 2019, section 3.1.
    """

    stream = "dequantization"

    def __init__(self, bijector, context_network, pattern="columns", name="dequantizer"):
        """Args: as for `ConditionalNoise`."""
        super().__init__(bijector, context_network, pattern, name=name)
