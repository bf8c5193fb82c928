"""Pixels to points of the unit cube around zero and back, and the noise that makes them continuous."""

import math

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.distributions.conditional_noise import ConditionalNoise
from tfflows.math.random import RowKeys, fold_in, uniform_rows


def quantize(images: tf.Tensor, num_bits: int) -> tf.Tensor:
    """Levels of uint8 images at `num_bits` bits: `floor(x / 2**(8 - num_bits))`, uint8 in `0 ... 2**num_bits - 1`.

    Raises:
      ValueError: If `num_bits` is not in 1 ... 8, or `images` are not uint8.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.distributions.dequantizers import center, quantize, to_images
      >>> levels = quantize(tf.constant([0, 100, 255], tf.uint8), num_bits=2)
      >>> print(levels.numpy())
      [0 1 3]
      >>> print(center(levels, num_bits=2).numpy())
      [-0.5  -0.25  0.25]
      >>> print(to_images(center(levels, num_bits=2), num_bits=2).numpy())
      [  0  64 192]
    """
    if not 1 <= num_bits <= 8:
        raise ValueError(f"num_bits must be 1 to 8, got {num_bits}.")
    images = tf.convert_to_tensor(images)
    if images.dtype != tf.uint8:
        raise ValueError(f"Images must be uint8 in 0 ... 255, got {images.dtype}.")
    return tf.bitwise.right_shift(images, tf.cast(8 - num_bits, tf.uint8))


def center(levels: tf.Tensor, num_bits: int, dtype: tf.DType | str = tf.float32) -> tf.Tensor:
    """`q / 2**num_bits - 1/2`, in [-1/2, 1/2): the lower edges of the bins, which are `2**-num_bits` wide."""
    return tf.cast(levels, dtype) / 2**num_bits - 0.5


def to_images(values: tf.Tensor, num_bits: int) -> tf.Tensor:
    """uint8 images from continuous values: the lower edge of each value's bin, `floor((v + 1/2) n) * 256 / n`, clipped."""
    num_bins = 2**num_bits
    images = tf.floor((values + 0.5) * num_bins) * (256.0 / num_bins)
    # NaN has no place in an integer; clipping first keeps the cast defined.
    images = tf.where(tf.math.is_nan(images), tf.zeros_like(images), images)
    return tf.cast(tf.clip_by_value(images, 0.0, 255.0), tf.uint8)


def bits_per_dim(log_prob: tf.Tensor, num_dimensions: int) -> tf.Tensor:
    """`-log_prob / (ln 2 * num_dimensions)`: from nats per image to bits per dimension.

    Example:
      >>> import math
      >>> from tfflows.distributions.dequantizers import bits_per_dim
      >>> print(round(bits_per_dim(-12 * math.log(256), num_dimensions=12), 3))
      8.0
    """
    return -log_prob / (math.log(2.0) * num_dimensions)


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
        noise = uniform_rows(fold_in(keys, "dequantization"), tf.shape(images)[0], images.shape[1:], images.dtype)
        return noise, tf.zeros(tf.shape(images)[:1], images.dtype)

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
