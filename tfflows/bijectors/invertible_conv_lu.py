"""Invertible 1x1 convolution with its matrix held as LU factors."""

import tensorflow as tf

from tfflows.bijectors.base import Bijector
from tfflows.bijectors.invertible_conv import per_position_log_det
from tfflows.math import invertible_conv
from tfflows.tracing.of_parameters import ComputedTogether, given_to

DIAGONALS = ("sign_log", "direct")


class InvertibleConvLU(ComputedTogether, Bijector):
    """Data to latent: `inverse(y) = y W` per pixel with `W = P L (U + diag(s))`; log-determinant `H * W * sum ln |s|`.

    P is a fixed permutation matrix, L is unit lower triangular, U is strictly upper triangular. L and U are stored as full
    arrays of which only the strict triangles are used. The diagonal is stored as in the released code, a fixed sign and a
    trained `log |s|` (`'sign_log'`), or as the paper writes it, s itself (`'direct'`).

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.bijectors import InvertibleConvLU
      >>> conv = InvertibleConvLU(channels=3, diagonal="direct")
      >>> images = tf.random.stateless_normal([1, 4, 4, 3], seed=[0, 0])
      >>> print(abs(float(conv.inverse_log_det_jacobian(images)[0])) < 1e-5)  # it starts as a rotation
      True
      >>> _ = conv.diagonal.assign(2 * conv.diagonal)
      >>> latent, log_det = conv.inverse_and_log_det(images)
      >>> print(round(float(log_det[0]), 3))  # 4 * 4 * 3 * ln 2
      33.271
      >>> print(float(tf.reduce_max(tf.abs(conv.forward(latent) - images))) < 1e-5)
      True

    References:
      Kingma & Dhariwal 2018, eq. 10-11, https://arxiv.org/abs/1807.03039; released code (openai/glow).
    """

    num_of_parameters = 3

    def __init__(
        self,
        channels: int,
        seed: int = 0,
        diagonal: str = "sign_log",
        event_ndims: int = 3,
        dtype: tf.DType | str = tf.float32,
        validate_args: bool = False,
        name: str = "invertible_conv_lu",
    ) -> None:
        """Creates the factors of a random orthogonal matrix.

        Args:
          channels: Number of channels C.
          seed: Seed of the initial matrix.
          diagonal: `'sign_log'` or `'direct'`.
          event_ndims: Number of axes of an event.
          dtype: Dtype of the factors and the data. The factors are multiplied in float64.
          validate_args: As in TFP.
          name: As in TFP.

        Raises:
          ValueError: If `diagonal` is unknown.
        """
        parameters = dict(locals())
        if diagonal not in DIAGONALS:
            raise ValueError(f"diagonal must be one of {DIAGONALS}, got {diagonal!r}.")
        self._diagonal = diagonal
        rotation = invertible_conv.orthogonal_matrix(channels, [seed, 0], dtype)
        permutation, lower, upper, s = invertible_conv.lu_factors(rotation)
        self.permutation = tf.Variable(permutation, trainable=False, name="permutation")
        self.lower = tf.Variable(lower, name="lower")
        self.upper = tf.Variable(upper, name="upper")
        if diagonal == "sign_log":
            self.sign = tf.Variable(tf.sign(s), trainable=False, name="sign")
            self.log_abs_diagonal = tf.Variable(tf.math.log(tf.abs(s)), name="log_abs_diagonal")
        else:
            self.diagonal = tf.Variable(s, name="diagonal")
        super().__init__(
            forward_min_event_ndims=event_ndims,
            is_constant_jacobian=True,
            dtype=dtype,
            validate_args=validate_args,
            parameters=parameters,
            name=name,
        )

    @property
    def diagonal_form(self) -> str:
        """How the diagonal is stored, one of `DIAGONALS`."""
        return self._diagonal

    def of_parameters(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Computes the weight, `sum ln |s|` and the inverse of the weight; see `ComputedTogether`."""
        diagonal, log_abs_det = self._diagonal_and_log_abs_det()
        factors = self.permutation, self.lower, self.upper, diagonal
        weight, inverse = invertible_conv.lu_compose(*factors), invertible_conv.lu_compose_inverse(*factors)
        return weight, tf.cast(log_abs_det, weight.dtype), inverse

    def _diagonal_and_log_abs_det(self):
        if self._diagonal == "sign_log":
            log_abs = tf.convert_to_tensor(self.log_abs_diagonal)
            diagonal = self.sign * tf.exp(log_abs)
        else:
            diagonal = tf.convert_to_tensor(self.diagonal)
            log_abs = tf.math.log(tf.abs(diagonal))
        return diagonal, tf.reduce_sum(tf.cast(log_abs, tf.float64), axis=-1)

    def _known_event_shape(self, direction):
        return self._known_channels(self.lower.shape[0])

    def _inverse_and_log_det(self, y):
        given = given_to(self)
        if given is None:
            diagonal, log_abs_det = self._diagonal_and_log_abs_det()
            weight = invertible_conv.lu_compose(self.permutation, self.lower, self.upper, diagonal)
        else:
            weight, log_abs_det, _ = given
        return invertible_conv.matmul_channels(y, weight), per_position_log_det(self, log_abs_det, y)

    def _forward_and_log_det(self, x):
        given = given_to(self)
        if given is None:
            diagonal, log_abs_det = self._diagonal_and_log_abs_det()
            inverse = invertible_conv.lu_compose_inverse(self.permutation, self.lower, self.upper, diagonal)
        else:
            _, log_abs_det, inverse = given
        return invertible_conv.matmul_channels(x, inverse), -per_position_log_det(self, log_abs_det, x)
