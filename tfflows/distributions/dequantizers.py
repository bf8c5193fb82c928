"""Noise that makes discrete pixels continuous: uniform, or drawn by a flow that is given the image."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.distributions.conditional_noise import ConditionalNoise
from tfflows.math.random import RowKeys, fold_in, uniform_rows

tfb = tfp.bijectors


class UniformDequantizer(tf.Module):
    """`u ~ Uniform[0, 1)` whatever the image: the special case of variational dequantization with log-density 0.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.distributions.dequantizers import UniformDequantizer
      >>> from tfflows.math.random import row_keys
      >>> u, log_prob = UniformDequantizer().sample_and_log_prob(tf.zeros([3, 4, 4, 1]), row_keys(seed=0))
      >>> print(u.shape, bool(tf.reduce_all((u >= 0) & (u < 1))))
      (3, 4, 4, 1) True
      >>> print(log_prob.numpy())
      [0. 0. 0.]

    References:
      Theis et al. 2016, https://arxiv.org/abs/1511.01844.
    """

    def sample_and_log_prob(
        self, images: tf.Tensor, keys: RowKeys, dropout_keys: RowKeys | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws u.

        Args:
          images: float `[B, H, W, C]`, the lower edges of the bins, in [-1/2, 1/2).
          keys: Keys of the noise.
          dropout_keys: Not used.

        Returns:
          `(u, ln r(u | x))`: noise `[B, H, W, C]` and its log-density, nats `[B]`, which is 0.
        """
        noise = uniform_rows(fold_in(keys, "dequantization"), tf.shape(images)[0], images.shape[1:])
        return noise, tf.zeros(tf.shape(images)[:1])

    def initialize(self, images: tf.Tensor, keys: RowKeys, dropout_keys: RowKeys | None = None) -> tf.Tensor:
        """Returns the noise of a batch; there is nothing to set."""
        return self.sample_and_log_prob(images, keys)[0]


class VariationalDequantizer(ConditionalNoise):
    """`u = g(e; h(x))` in (0, 1), `e ~ N(0, I)`, x the lower edges of the bins: `ln r(u | x) = ln N(e) - ln |det dg/de|`.

    Example:
      >>> import tensorflow as tf
      >>> import tensorflow_probability as tfp
      >>> from tfflows.bijectors import AffineCoupling, Chain
      >>> from tfflows.distributions.dequantizers import VariationalDequantizer
      >>> from tfflows.math.random import row_keys
      >>> from tfflows.networks import EluCouplingNetwork, ResidualContextNetwork
      >>> context = ResidualContextNetwork(planes=(4, 4), filters=3)
      >>> context.build([None, 4, 4, 2])
      >>> network = EluCouplingNetwork(width=4, filters=2, context_filters=3)
      >>> network.build([None, 4, 4, 1])
      >>> coupling = AffineCoupling(network, parameter_order="contiguous", conditional=True)
      >>> sigmoid = tfp.bijectors.Invert(tfp.bijectors.Sigmoid())
      >>> dequantizer = VariationalDequantizer(Chain([coupling, sigmoid]), context, pattern=None)
      >>> u, log_prob = dequantizer.sample_and_log_prob(tf.zeros([3, 4, 4, 2]), row_keys(seed=0))
      >>> print(u.shape, log_prob.shape, bool(tf.reduce_all((u > 0) & (u < 1))))
      (3, 4, 4, 2) (3,) True

    References:
      Ho et al. 2019, section 3.1, https://arxiv.org/abs/1902.00275.
    """

    stream = "dequantization"

    def __init__(
        self,
        bijector: tfb.Bijector,
        context_network: keras.layers.Layer,
        pattern: str | None = "columns",
        name: str = "dequantizer",
    ) -> None:
        """Creates the dequantizer; the arguments are those of `ConditionalNoise`."""
        super().__init__(bijector, context_network, pattern, name=name)
