"""Invertible 1x1 convolution: a matrix product over the channel axis.

References:
  Kingma & Dhariwal 2018, section 3.2, https://arxiv.org/abs/1807.03039.
"""

from collections.abc import Sequence

import tensorflow as tf

from tfflows.math.shapes import shape_of


def matmul_channels(x: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """`y[..., j] = sum_i x[..., i] * weight[i, j]`: the channels of each position are a row vector.

    Args:
      x: Float `[..., C]`.
      weight: Float `[C, C]`.

    Returns:
      `[..., C]`.

    Example:
      >>> import numpy as np
      >>> import tensorflow as tf
      >>> from tfflows.math.invertible_conv import inverse_matrix, log_abs_det, matmul_channels
      >>> x, weight = tf.ones([1, 1, 1, 2]), tf.constant([[2.0, 0.0], [1.0, 3.0]])
      >>> y = matmul_channels(x, weight)
      >>> y.numpy().ravel().tolist()
      [3.0, 3.0]
      >>> np.round(matmul_channels(y, inverse_matrix(weight)), 4).ravel().tolist()
      [1.0, 1.0]
      >>> print(round(float(log_abs_det(weight)), 4))  # per position: ln 6
      1.7918
    """
    channels = weight.shape[0]
    rows = tf.matmul(tf.reshape(x, [-1, channels]), weight)
    return tf.reshape(rows, shape_of(x))


@tf.custom_gradient
def log_abs_det(weight: tf.Tensor) -> tf.Tensor:
    """`ln |det weight|` from a QR decomposition in float64: float64 `[...]`, nats.

    QR compiles under XLA on CPU, where LU-based determinants do not, and it neither overflows nor underflows. The gradient is
    `weight^-T`.

    Args:
      weight: Float `[..., C, C]`.
    """
    double = tf.cast(weight, tf.float64)
    r = tf.linalg.qr(double).r
    value = tf.reduce_sum(tf.math.log(tf.abs(tf.linalg.diag_part(r))), axis=-1)

    def gradient(upstream):
        inverse = tf.linalg.inv(double)
        return tf.cast(upstream[..., tf.newaxis, tf.newaxis] * tf.linalg.matrix_transpose(inverse), weight.dtype)

    return value, gradient


def log_abs_det_and_inverse(weight: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """`ln |det weight|` of `log_abs_det`, and the inverse of `inverse_matrix`, for many matrices by two decompositions in all.

    TensorFlow decomposes a batch of matrices on a GPU by LU, but QR, which `log_abs_det` takes for XLA, on the host. The inverse
    is also the gradient of the determinant.

    Args:
      weight: Float `[..., C, C]`.

    Returns:
      Float64 `[...]`, nats; and `[..., C, C]`, in the dtype of `weight`.
    """
    double = tf.cast(weight, tf.float64)
    inverse = tf.linalg.inv(double)

    @tf.custom_gradient
    def log_abs_det_of(double):
        def gradient(upstream):
            return upstream[..., tf.newaxis, tf.newaxis] * tf.linalg.matrix_transpose(inverse)

        return tf.linalg.slogdet(double).log_abs_determinant, gradient

    return log_abs_det_of(double), tf.cast(inverse, weight.dtype)


def is_invertible(weight: tf.Tensor) -> bool:
    """Tells in eager mode whether `inverse_matrix` would find an inverse of `weight`, without gradients."""
    double = tf.stop_gradient(tf.cast(weight, tf.float64))
    return bool(tf.math.is_finite(tf.linalg.slogdet(double).log_abs_determinant))


def inverse_matrix(weight: tf.Tensor) -> tf.Tensor:
    """Inverse of `weight`, computed in float64 and given in the dtype of `weight`."""
    return tf.cast(tf.linalg.inv(tf.cast(weight, tf.float64)), weight.dtype)


def orthogonal_matrix(channels: int, seed: Sequence[int] | tf.Tensor, dtype: tf.DType | str = tf.float32) -> tf.Tensor:
    """A random orthogonal matrix: the Q factor of a Gaussian one, `|det| = 1`; shape `[channels, channels]`.

    The signs of R's diagonal are not normalized, as in the released Glow: the matrix may be a reflection.

    Args:
      channels: Number of channels.
      seed: Pair of integers for stateless randomness.
      dtype: Dtype of the result; the decomposition runs in float64.
    """
    gaussian = tf.random.stateless_normal([channels, channels], seed=seed, dtype=tf.float64)
    return tf.cast(tf.linalg.qr(gaussian).q, dtype)


def matrix_near_identity(
    channels: int, seed: Sequence[int] | tf.Tensor, noise: float, dtype: tf.DType | str = tf.float32
) -> tf.Tensor:
    """`I + noise * N(0, 1)`: shape `[channels, channels]`.

    Args:
      channels: Number of channels.
      seed: Pair of integers for stateless randomness.
      noise: Standard deviation of the entries around the identity.
      dtype: Dtype of the result; the sum is taken in float64.
    """
    gaussian = tf.random.stateless_normal([channels, channels], seed=seed, dtype=tf.float64)
    return tf.cast(tf.eye(channels, dtype=tf.float64) + noise * gaussian, dtype)


def lu_factors(weight: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Factors `P, L, U, s` with `weight = P L (U + diag(s))` (Glow, eq. 10), in the dtype of `weight`.

    Args:
      weight: Float `[C, C]`.

    Returns:
      `(permutation, lower, upper, diagonal)`: a permutation matrix; a unit lower triangular matrix, without its diagonal; a
      strictly upper triangular matrix; and a vector.

    Example:
      >>> import numpy as np
      >>> import tensorflow as tf
      >>> from tfflows.math.invertible_conv import lu_compose, lu_factors
      >>> factors = lu_factors(tf.constant([[1.0, 2.0], [4.0, 2.0]]))
      >>> np.round(factors[3], 4).tolist()  # |det| = 4 * 1.5
      [4.0, 1.5]
      >>> np.round(lu_compose(*factors), 4).tolist()
      [[1.0, 2.0], [4.0, 2.0]]
    """
    double = tf.cast(weight, tf.float64)
    packed, rows = tf.linalg.lu(double)
    channels = weight.shape[0]
    # tf.linalg.lu gives rows with weight[rows[i]] = (L U)[i], hence P[rows[i], i] = 1.
    permutation = tf.transpose(tf.one_hot(rows, channels, dtype=tf.float64))
    lower = tf.linalg.set_diag(tf.linalg.band_part(packed, -1, 0), tf.zeros([channels], tf.float64))
    upper = tf.linalg.set_diag(tf.linalg.band_part(packed, 0, -1), tf.zeros([channels], tf.float64))
    diagonal = tf.linalg.diag_part(packed)
    return tuple(tf.cast(factor, weight.dtype) for factor in (permutation, lower, upper, diagonal))


def _triangular_factors(lower, upper, diagonal):
    """Float64 `L` (unit lower) and `U` (upper with `diagonal`), from full arrays whose other entries are ignored."""
    channels = lower.shape[-1]
    strictly_lower = tf.constant([[float(j < i) for j in range(channels)] for i in range(channels)], tf.float64)
    lower = tf.cast(lower, tf.float64) * strictly_lower + tf.eye(channels, dtype=tf.float64)
    upper = tf.cast(upper, tf.float64) * tf.transpose(strictly_lower) + tf.linalg.diag(tf.cast(diagonal, tf.float64))
    return lower, upper


def lu_compose(permutation: tf.Tensor, lower: tf.Tensor, upper: tf.Tensor, diagonal: tf.Tensor) -> tf.Tensor:
    """`W = P L (U + diag(s))` (Glow, eq. 10), multiplied in float64; entries outside the strict triangles are ignored.

    Args:
      permutation: `[..., C, C]`.
      lower: `[..., C, C]`.
      upper: `[..., C, C]`.
      diagonal: `[..., C]`.

    Returns:
      `[..., C, C]`, in the dtype of `lower`.
    """
    l_matrix, u_matrix = _triangular_factors(lower, upper, diagonal)
    weight = tf.matmul(tf.cast(permutation, tf.float64), tf.matmul(l_matrix, u_matrix))
    return tf.cast(weight, lower.dtype)


def lu_compose_inverse(permutation: tf.Tensor, lower: tf.Tensor, upper: tf.Tensor, diagonal: tf.Tensor) -> tf.Tensor:
    """`W^-1 = (U + diag(s))^-1 L^-1 P^-1` by triangular solves in float64; in the dtype of `lower`."""
    l_matrix, u_matrix = _triangular_factors(lower, upper, diagonal)
    inverse_permutation = tf.linalg.matrix_transpose(tf.cast(permutation, tf.float64))
    inner = tf.linalg.triangular_solve(l_matrix, inverse_permutation, lower=True)
    return tf.cast(tf.linalg.triangular_solve(u_matrix, inner, lower=False), lower.dtype)
