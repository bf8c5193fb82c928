"""What models of images that are no flow have in common."""

import tensorflow as tf

from tfflows.distributions.importance import log_mean_weight
from tfflows.tracing.memory import REVERSIBLE, memory_mode


class ImageModel(tf.Module):
    """Log-probabilities of uint8 images `[B, H, W, C]`, or lower bounds on them, in nats; see `DequantizedFlow` for the methods.

    A subclass implements `elbo(images, keys)`, `training_loss`, `initialize` and `sample`.
    """

    # What `training_loss` reports.
    metric_names = ("bits_per_dim",)

    def __init__(self, image_shape, name):
        """Args: image_shape: Python `int`s `[H, W, C]`; name: Python `str`."""
        super().__init__(name=name)
        self._image_shape = tf.TensorShape(image_shape)

    @property
    def image_shape(self):
        """Static shape `[H, W, C]`."""
        return self._image_shape

    @property
    def num_dimensions(self):
        """Python `int`, `H * W * C`: what bits are counted over."""
        return self.image_shape.num_elements()

    def condition_of(self, labels):
        """None: no such model is given labels."""
        del labels

    def elbo(self, images, keys, condition=None):
        """One-sample bound on `ln P(images)`, nats `[B]`; keys: `RowKeys`; condition: None."""
        raise TypeError(f"{type(self).__name__} does not say what its bound is.")

    def importance_weighted_log_prob(self, images, keys, num_samples, condition=None):
        """`ln (1/S) sum_s exp(elbo_s)`, nats, float64 `[B]`: a tighter bound (Burda et al. 2016), in memory of one sample.

        Args:
          images: uint8 `[B, H, W, C]`.
          keys: `RowKeys`.
          num_samples: Python `int` S.
          condition: None.
        """
        return log_mean_weight(lambda keys: self.elbo(images, keys, condition), keys, num_samples, tf.shape(images)[0])

    def _checked(self, images):
        images = tf.convert_to_tensor(images)
        if images.dtype != tf.uint8 or not images.shape[1:].is_compatible_with(self.image_shape):
            raise ValueError(
                f"The model is of uint8 images {self.image_shape}, got a batch of {images.dtype.name} of shape {images.shape}."
            )
        return images


def refuse_reversible():
    """Raises `ValueError` in the memory mode `reversible`."""
    if memory_mode() == REVERSIBLE:
        raise ValueError(
            "Only flows can be rebuilt from their latents: use the memory mode 'recompute', which keeps blocks' inputs."
        )
