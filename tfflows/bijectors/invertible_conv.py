"""Invertible 1x1 convolution with a dense matrix."""

import tensorflow as tf

from tfflows.bijectors.base import Bijector, broadcast_log_det
from tfflows.math import invertible_conv
from tfflows.math.shapes import product_as_factor, sizes_of
from tfflows.tracing.finite import refuse
from tfflows.tracing.of_parameters import ComputedTogether, given_to


class InvertibleConv(ComputedTogether, Bijector):
    """Data to latent: `inverse(y)[..., j] = sum_i y[..., i] weight[i, j]`; log-determinant `H * W * ln |det weight|`.

    Works on images (`event_ndims=3`) and on vectors (`event_ndims=1`). The matrix starts orthogonal or, with `identity_noise`,
    at `I + identity_noise * N(0, 1)` (released Flow++). The determinant is computed in float64. In eager mode, a singular matrix
    raises a `NotFiniteError`, whatever the direction.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.bijectors import InvertibleConv
      >>> conv = InvertibleConv(channels=2)
      >>> images = tf.ones([1, 4, 4, 2])
      >>> print(abs(float(conv.inverse_log_det_jacobian(images)[0])) < 1e-5)  # a rotation
      True
      >>> _ = conv.weight.assign([[2.0, 1.0], [0.0, 1.0]])  # determinant 2
      >>> latent, log_det = conv.inverse_and_log_det(images)
      >>> print(latent[0, 0, 0].numpy(), log_det.numpy().round(4))  # 4 * 4 * ln 2
      [2. 2.] [11.0904]

    References:
      Kingma & Dhariwal 2018, section 3.2, https://arxiv.org/abs/1807.03039 (there `y = W x`, the transpose of `weight`).
    """

    num_of_parameters = 3

    def __init__(
        self,
        channels: int,
        seed: int = 0,
        event_ndims: int = 3,
        identity_noise: float | None = None,
        dtype: tf.DType | str = tf.float32,
        validate_args: bool = False,
        name: str = "invertible_conv",
    ) -> None:
        """Creates the matrix.

        Args:
          channels: Number of channels C.
          seed: Seed of the initial matrix.
          event_ndims: Number of axes of an event.
          identity_noise: Standard deviation of the entries around the identity; None for an orthogonal matrix.
          dtype: Dtype of the matrix and the data.
          validate_args: As in TFP.
          name: As in TFP.
        """
        parameters = dict(locals())
        self.weight = tf.Variable(
            lambda: (
                invertible_conv.orthogonal_matrix(channels, [seed, 0], dtype)
                if identity_noise is None
                else invertible_conv.matrix_near_identity(channels, [seed, 0], identity_noise, dtype)
            ),
            shape=[channels, channels],
            dtype=dtype,
            name="weight",
        )
        super().__init__(
            forward_min_event_ndims=event_ndims,
            is_constant_jacobian=True,
            dtype=dtype,
            validate_args=validate_args,
            parameters=parameters,
            name=name,
        )

    def of_parameters(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Computes the weight, `ln |det weight|` and the inverse; see `ComputedTogether`."""
        weight = tf.convert_to_tensor(self.weight)
        log_abs_det, inverse = invertible_conv.log_abs_det_and_inverse(weight)
        return weight, tf.cast(log_abs_det, weight.dtype), inverse

    def _known_event_shape(self, direction):
        return self._known_channels(self.weight.shape[0])

    def _checked_weight(self):
        """The weight; in eager mode an error if it is singular, where a graph has one that does not say which weight it is."""
        weight = tf.convert_to_tensor(self.weight)
        if tf.executing_eagerly() and not invertible_conv.is_invertible(weight):
            refuse(self, f"The weight of {self._described()} has no inverse: it is singular or not finite.")
        return weight

    def _inverse_and_log_det(self, y):
        given = given_to(self)
        if given is None:
            weight = self._checked_weight()
            log_abs_det = invertible_conv.log_abs_det(weight)
        else:
            weight, log_abs_det, _ = given
        return invertible_conv.matmul_channels(y, weight), per_position_log_det(self, log_abs_det, y)

    def _forward_and_log_det(self, x):
        given = given_to(self)
        if given is None:
            weight = self._checked_weight()
            log_abs_det = invertible_conv.log_abs_det(weight)
            # In a graph, TensorFlow's error about a singular matrix holds the name of the scope and says no more.
            with tf.name_scope(f"weight_of_{self.name}"):
                inverse = invertible_conv.inverse_matrix(weight)
        else:
            _, log_abs_det, inverse = given
        return invertible_conv.matmul_channels(x, inverse), -per_position_log_det(self, log_abs_det, x)


def per_position_log_det(bijector: Bijector, log_abs_det: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Log-determinants of a bijector that multiplies the channels of each pixel by a matrix with `log_abs_det`: the batch shape.

    Args:
      bijector: The bijector, whose events are images or vectors.
      log_abs_det: Scalar, nats.
      x: Its input or output.
    """
    event_ndims = bijector.forward_min_event_ndims
    positions = product_as_factor(sizes_of(x)[x.shape.rank - event_ndims : -1], log_abs_det.dtype)  # 1 for vectors
    return broadcast_log_det(positions * log_abs_det, x, event_ndims)
