"""What all models of images have in common, flows or not."""

import math

import tensorflow as tf

from tfflows.math.random import fold_in
from tfflows.tracing.memory import REVERSIBLE, memory_mode


class ImageModel(tf.Module):
    """Log-probabilities of uint8 images `[B, H, W, C]`, or lower bounds on them, in nats.

    A subclass implements `elbo`, `training_loss`, `initialize` and `sample`; one with an encoder also `reconstruct`. What models
    differ in is asked of `has_encoder`, `has_terms` and `condition_of`.

    Attributes:
      metric_names: Tuple of Python `str`, the metrics of `training_loss`; `bits_per_dim` is among them.
      has_encoder: Python `bool`, whether the model draws latents for an image, so that it has `reconstruct`.
      has_terms: Python `bool`, whether the bound has `terms`, as that of `AGAVE` has.
    """

    metric_names = ("bits_per_dim",)
    has_encoder = False
    has_terms = False

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
        """The `condition` of `elbo` and `sample` that labels int32 `[B]` make; None: the model is given no labels."""
        del labels

    def elbo(self, images, keys, condition=None):
        """One-sample bound on `ln P(images)`, nats `[B]`.

        Args:
          images: uint8 `[B, H, W, C]`.
          keys: `RowKeys` of the noise.
          condition: As `condition_of` gives it.
        """
        raise self._lacks("elbo")

    def importance_weighted_log_prob(self, images, keys, num_samples, condition=None):
        """`ln (1/S) sum_s exp(elbo_s)`, nats, float64 `[B]`: a tighter bound (Burda et al. 2016), in memory of one sample.

        `tfflows.evaluation.importance` measures it of a whole split, with its errors.

        Args:
          images: uint8 `[B, H, W, C]`.
          keys: `RowKeys`.
          num_samples: Python `int` S.
          condition: As in `elbo`.
        """
        return log_mean_weight(lambda keys: self.elbo(images, keys, condition), keys, num_samples, tf.shape(images)[0])

    def training_loss(self, images, labels, keys):
        """Loss of each image and the metrics to log, all of shape `[B]`.

        Args:
          images: uint8 `[B, H, W, C]`.
          labels: int32 `[B]`; used by models that are given labels.
          keys: `RowKeys`.

        Returns:
          `(loss, metrics)`: a tensor and a dictionary of tensors, by `metric_names`.
        """
        raise self._lacks("training_loss")

    def initialize(self, images, labels, keys):
        """Data-dependent init from one batch, eagerly and outside `strategy.run`; arguments as for `training_loss`."""
        raise self._lacks("initialize")

    def sample(self, num_samples, keys, temperature=1.0, condition=None):
        """uint8 images `[num_samples, H, W, C]`; all noise, of `RowKeys`, is multiplied by `temperature`."""
        raise self._lacks("sample")

    def sample_with_means(self, num_samples, keys, temperature=1.0):
        """A sample and before it what it was drawn given, if anything: a tuple of uint8 images `[num_samples, H, W, C]`."""
        return (self.sample(num_samples, keys, temperature),)

    def reconstruct(self, images, keys):
        """Tuple of uint8 images `[B, H, W, C]` that latents drawn for images give.

        Raises:
          TypeError: if the model has no encoder.
        """
        raise self._lacks("reconstruct")

    def _lacks(self, method):
        return TypeError(f"{type(self).__name__} has no {method}.")

    def _checked(self, images):
        images = tf.convert_to_tensor(images)
        if images.dtype != tf.uint8 or not images.shape[1:].is_compatible_with(self.image_shape):
            raise ValueError(
                f"The model is of uint8 images {self.image_shape}, got a batch of {images.dtype.name} of shape {images.shape}."
            )
        return images


def log_mean_weight(bound, keys, num_samples, batch_size):
    """`ln (1/S) sum_s exp(bound(keys_s))`, nats, float64 `[B]` (Burda et al. 2016), in memory of one sample.

    Args:
      bound: From `RowKeys` to one sample of the log-weights, `[B]`.
      keys: `RowKeys`; those of each sample are derived.
      num_samples: S, Python `int` or scalar tensor.
      batch_size: B, integer or tensor.
    """

    def add_sample(sample, running):
        weight = tf.cast(bound(fold_in(keys, sample)), tf.float64)
        return sample + 1, tf.reduce_logsumexp(tf.stack([running, weight]), axis=0)

    start = tf.fill([batch_size], tf.constant(-math.inf, tf.float64))
    _, total = tf.while_loop(lambda sample, _: sample < num_samples, add_sample, (tf.constant(0), start))
    return total - tf.math.log(tf.cast(num_samples, tf.float64))


def refuse_reversible():
    """Raises `ValueError` in the memory mode `reversible`."""
    if memory_mode() == REVERSIBLE:
        raise ValueError(
            "Only flows can be rebuilt from their latents: use the memory mode 'recompute', which keeps blocks' inputs."
        )
