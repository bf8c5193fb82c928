"""Invertible 1x1 convolution with a dense matrix."""

import tensorflow as tf

from tfflows.bijectors.base import Bijector, broadcast_log_det
from tfflows.math import invertible_conv
from tfflows.tracing.finite import refuse


class InvertibleConv(Bijector):
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

    def _known_event_shape(self, direction):
        return self._known_channels(self.weight.shape[0])

    def _log_det(self, x, weight):
        log_det = _num_positions(x, self.forward_min_event_ndims) * invertible_conv.log_abs_det(weight)
        return broadcast_log_det(log_det, x, self.forward_min_event_ndims)

    def _checked_weight(self):
        """The weight; in eager mode an error if it is singular, where a graph has one that does not say which weight it is."""
        weight = tf.convert_to_tensor(self.weight)
        if tf.executing_eagerly() and not invertible_conv.is_invertible(weight):
            refuse(self, f"The weight of {self._described()} has no inverse: it is singular or not finite.")
        return weight

    def _inverse_and_log_det(self, y):
        weight = self._checked_weight()
        return invertible_conv.matmul_channels(y, weight), self._log_det(y, weight)

    def _forward_and_log_det(self, x):
        weight = self._checked_weight()
        # In a graph, TensorFlow's error about a singular matrix holds the name of the scope and says no more.
        with tf.name_scope(f"weight_of_{self.name}"):
            inverse = invertible_conv.inverse_matrix(weight)
        y = invertible_conv.matmul_channels(x, inverse)
        return y, -self._log_det(x, weight)


def _num_positions(x, event_ndims):
    """Number of pixels of an event, a float64 scalar (1 for vectors)."""
    spatial = tf.shape(x)[x.shape.rank - event_ndims : x.shape.rank - 1]
    return tf.cast(tf.reduce_prod(spatial), tf.float64)
