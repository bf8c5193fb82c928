"""A flow whose loss has an L2 penalty on some of its parameters."""

from collections.abc import Sequence

import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.math.random import RowKeys

tfd = tfp.distributions


class PenalizedFlow(DequantizedFlow):
    """A `DequantizedFlow` whose loss is `-ln p(v) + penalty * sum_i theta_i**2`, in nats per image.

    The penalty is part of the gradient, before an optimizer clips it, but not of bits/dim.

    Example:
      >>> import tensorflow as tf
      >>> import tensorflow_probability as tfp
      >>> from tfflows.bijectors import ActNorm
      >>> from tfflows.distributions.penalized_flow import PenalizedFlow
      >>> from tfflows.math.random import row_keys
      >>> tfd = tfp.distributions
      >>> actnorm = ActNorm([1])
      >>> actnorm.bias.assign([3.0])
      <tf.Variable ... numpy=array([3.], dtype=float32)>
      >>> base = tfd.Sample(tfd.Normal(0.0, 1.0), [2, 2, 1])
      >>> flow = tfd.TransformedDistribution(base, actnorm)
      >>> images, labels = tf.zeros([1, 2, 2, 1], tf.uint8), tf.zeros([1], tf.int32)
      >>> def loss(penalty):
      ...     model = PenalizedFlow(flow, penalized=[actnorm.bias], penalty=penalty)
      ...     return model.training_loss(images, labels, row_keys(seed=0))[0]
      >>> print((loss(0.1) - loss(0.0)).numpy().round(4))  # 0.1 * 3**2
      [0.9]

    References:
      Dinh et al. 2017, section 4.1, https://arxiv.org/abs/1605.08803: 5e-5 on the scales of weight norm.
    """

    def __init__(
        self,
        flow: tfd.TransformedDistribution,
        num_bits: int = 8,
        penalized: Sequence[tf.Variable] = (),
        penalty: float = 5e-5,
        name: str = "penalized_flow",
    ) -> None:
        """Creates the model.

        Args:
          flow: Density over `v`, as for `DequantizedFlow`.
          num_bits: Bits per colour, 1 to 8.
          penalized: Variables of the flow.
          penalty: Factor of the sum of their squares, at least 0.
          name: Name of the module.

        Raises:
          ValueError: If the penalty is negative.
        """
        super().__init__(flow, num_bits, loss_unit="nats", name=name)
        if penalty < 0:
            raise ValueError(f"penalty must be at least 0, got {penalty}.")
        self.penalty = penalty
        self._penalized_variables = list(penalized)

    def penalty_term(self) -> tf.Tensor:
        """`penalty * sum_i theta_i**2`, a scalar."""
        squares = [tf.reduce_sum(tf.square(tf.convert_to_tensor(each))) for each in self._penalized_variables]
        return self.penalty * tf.add_n(squares) if squares else tf.constant(0.0, self.flow.dtype)

    def training_loss(
        self, images: tf.Tensor, labels: tf.Tensor, keys: RowKeys
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """As `DequantizedFlow.training_loss`, with the penalty added to the loss of each image."""
        loss, metrics = super().training_loss(images, labels, keys)
        return loss + self.penalty_term(), metrics
