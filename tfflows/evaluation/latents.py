"""Maps images to latents and back in batches of one size: traced once, in bounded memory."""

import functools
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from absl import logging

from tfflows.devices.cores import parts_of_batch
from tfflows.devices.strategies import side_by_side
from tfflows.distributions.image_model import ImageModel
from tfflows.math.random import fold_in, normal_rows, row_keys
from tfflows.networks.layers import TakesLabels
from tfflows.tracing.finite import naming_singular
from tfflows.tracing.together import computing_together
from tfflows.tracing.variables import own_children, walk

DEFAULT_BATCH_SIZE = 64
"""Default number of images per batch; the last batch is padded."""


def is_conditional(model: ImageModel) -> bool:
    """Whether the model takes labels."""
    return model.condition_of(tf.zeros([1], tf.int32)) is not None


def num_classes_of(model: ImageModel) -> int:
    """The number of classes that a model was built for; 0 if none of its networks takes labels."""
    found = []

    def visit(value, path, place, number):
        del path, place, number
        if isinstance(value, TakesLabels):
            found.append(value.num_classes)
        return True

    walk(model, own_children, visit)
    return max(found, default=0)


class LatentCodec:
    """Encodes, decodes and samples any number of images with one model, `batch_size` at a time.

    The noise of an image is keyed by the seed and the image's position, so that it does not depend on `batch_size`. A batch is
    computed in the parts that `tfflows.training.process_options` has set the process up for.

    Attributes:
      latent_shape: Shape of the latents of an image.
      conditional: Whether the model takes labels.

    Example:
      >>> import numpy as np
      >>> import tensorflow_probability as tfp
      >>> from tfflows.distributions.dequantized_flow import DequantizedFlow
      >>> from tfflows.evaluation.latents import LatentCodec
      >>> tfb, tfd = tfp.bijectors, tfp.distributions
      >>> base = tfd.Sample(tfd.Normal(0.0, 1.0), [2, 2, 1])
      >>> codec = LatentCodec(DequantizedFlow(tfd.TransformedDistribution(base, tfb.Identity())), batch_size=2)
      >>> images = np.arange(0, 240, 20, dtype=np.uint8).reshape([3, 2, 2, 1])
      >>> latents = codec.encode(images, seed=0)
      >>> print(latents.shape, np.array_equal(codec.decode(latents), images))
      (3, 2, 2, 1) True
    """

    def __init__(self, model: ImageModel, batch_size: int = DEFAULT_BATCH_SIZE, jit_compile: bool = False) -> None:
        """Creates the codec.

        Args:
          model: Model that `has_latent`.
          batch_size: Images encoded or decoded at once.
          jit_compile: Whether XLA compiles the model.

        Raises:
          TypeError: If the model has no latents.
          ValueError: If `batch_size` is not positive.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
        self.model = model
        self.batch_size = batch_size
        self.latent_shape = tuple(model.latent_shape.as_list())
        self.conditional = is_conditional(model)
        self._num_classes = num_classes_of(model) or 2**31

        num_parts = 1 if jit_compile else parts_of_batch(None, batch_size)

        def encode(images, labels, seed, start):
            def encode_part(images, labels, index):
                keys = fold_in(row_keys(seed, 0, index[0]), "encode")
                return model.encode(images, keys, model.condition_of(labels))

            return side_by_side(encode_part, (images, labels, start + tf.range(batch_size, dtype=tf.int64)), num_parts)

        def decode(latents, labels):
            def decode_part(latents, labels):
                return model.decode_and_check(latents, model.condition_of(labels))

            return side_by_side(decode_part, (latents, labels), num_parts)

        if not jit_compile:  # XLA has no kernel for the determinants of many matrices
            encode, decode = computing_together(model, encode), computing_together(model, decode)

        # Noise stays outside XLA, whose normal numbers may round differently.
        def noise(seed, start):
            return normal_rows(fold_in(row_keys(seed, 0, start), "sample"), batch_size, self.latent_shape)

        self._encode = tf.function(encode, jit_compile=jit_compile or None, autograph=False)
        self._decode = tf.function(decode, jit_compile=jit_compile or None, autograph=False)
        self._noise = tf.function(noise, autograph=False)

    def encode(self, images: np.ndarray, seed: int, labels: np.ndarray | None = None) -> np.ndarray:
        """Whitened latents, dequantization noise included; the noise of image i depends on (seed, i) alone.

        Args:
          images: uint8 `[N, H, W, C]`.
          seed: Seed of the dequantization noise.
          labels: int `[N]`; needed by conditional models, not used otherwise.

        Returns:
          float32 `[N, *latent_shape]`.

        Raises:
          ValueError: If the images do not have the model's shape and dtype, or there is not a valid label for each image.
        """
        images = np.asarray(images)
        expected = tuple(self.model.image_shape.as_list())
        if images.ndim != 4 or images.shape[1:] != expected or images.dtype != np.uint8 or not len(images):
            raise ValueError(
                f"The model encodes uint8 images [N, {', '.join(map(str, expected))}], got {images.dtype} of shape "
                f"{list(images.shape)}."
            )
        labels = self._labels(labels, len(images))
        latents = np.empty([len(images), *self.latent_shape], np.float32)
        for start, stop in self._batches(len(images)):
            rows = self._padded(images[start:stop])
            latents[start:stop] = self.encode_batch(rows, self._padded(labels[start:stop]), seed, start)[: stop - start]
        return latents

    def encode_batch(self, images: tf.Tensor, labels: tf.Tensor, seed: int, start: int | tf.Tensor) -> np.ndarray:
        """Latents of one batch, uint8 `[batch_size, H, W, C]`, whose first image has the position `start`."""
        return self._encode(images, labels, tf.constant(seed, tf.int64), tf.cast(start, tf.int64)).numpy()

    def decode(self, latents: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Images of latents; values that are not finite are shown black, with a warning.

        Args:
          latents: float `[N, *latent_shape]`.
          labels: int `[N]`; needed by conditional models, not used otherwise.

        Returns:
          uint8 `[N, H, W, C]`.

        Raises:
          NotFiniteError: If a matrix of the flow is singular; the message names the layer.
          ValueError: If the latents do not have the model's shape, or there is not a valid label for each image.
        """
        latents = np.asarray(latents, np.float32)
        if latents.shape[1:] != self.latent_shape or not len(latents):
            raise ValueError(
                f"The model decodes latents [N, {', '.join(map(str, self.latent_shape))}], got shape "
                f"{list(latents.shape)}."
            )
        return self._decode_rows(lambda start, stop: self._padded(latents[start:stop]), len(latents), labels)

    def sample(
        self, num_samples: int, seed: int, temperature: float = 1.0, labels: np.ndarray | None = None
    ) -> np.ndarray:
        """Images of `temperature * e`, e ~ N(0, I); e of image i depends on (seed, i) alone.

        Args:
          num_samples: N.
          seed: Seed of e.
          temperature: Factor of e, at least 0.
          labels: int `[N]`; needed by conditional models, not used otherwise.

        Returns:
          uint8 `[N, H, W, C]`. Warns as `decode` does.

        Raises:
          ValueError: If there is not a valid label for each image.
        """
        return self._collected(self.sample_batches(num_samples, seed, temperature, labels), num_samples)

    def sample_batches(
        self, num_samples: int, seed: int, temperature: float = 1.0, labels: np.ndarray | None = None
    ) -> Iterator[np.ndarray]:
        """The images of `sample`, at most `batch_size` at a time; warns after the last ones.

        Args:
          num_samples: As in `sample`.
          seed: As in `sample`.
          temperature: As in `sample`.
          labels: As in `sample`.

        Returns:
          Iterator of uint8 `[at most batch_size, H, W, C]`.

        Raises:
          ValueError: As for `sample`.
        """
        seed, temperature = tf.constant(seed, tf.int64), tf.constant(temperature, tf.float32)

        def latents(start, stop):
            del stop
            return temperature * self._noise(seed, tf.constant(start, tf.int64))

        return self._decoded(latents, num_samples, self._labels(labels, num_samples))

    def _decode_rows(self, latents_of, num_images, labels):
        return self._collected(self._decoded(latents_of, num_images, self._labels(labels, num_images)), num_images)

    def _collected(self, batches, num_images):
        images = np.empty([num_images, *self.model.image_shape.as_list()], np.uint8)
        start = 0
        for batch in batches:
            images[start : start + len(batch)] = batch
            start += len(batch)
        return images

    def _decoded(self, latents_of, num_images, labels):
        """Yields the images of the latents that `latents_of(start, stop)` gives; warns of those that are not finite."""
        bad = 0
        for start, stop in self._batches(num_images):
            rows = latents_of(start, stop), self._padded(labels[start:stop])
            with naming_singular(functools.partial(self._decode.python_function, *rows)):
                decoded = self._decode(*rows)
            images, finite = (part.numpy()[: stop - start] for part in decoded)
            bad += len(finite) - int(finite.sum())
            yield images
        if bad:
            logging.warning(
                "%d of %d decoded images hold values that are not finite; those values are shown black. A lower "
                "temperature or an earlier checkpoint may help.",
                bad,
                num_images,
            )

    def _labels(self, labels, num_images):
        if labels is None:
            if self.conditional:
                raise ValueError("The model is conditional: it needs a label for each image, got none.")
            return np.zeros([num_images], np.int32)
        labels = np.asarray(labels)
        if labels.shape != (num_images,) or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(
                f"Expected one integer label for each of {num_images} images, got {labels.dtype} of shape "
                f"{list(labels.shape)}."
            )
        wrong = [label for label in labels.tolist() if not 0 <= label < self._num_classes]
        if self.conditional and wrong:
            raise ValueError(f"Labels must be 0 to {self._num_classes - 1}, got {', '.join(map(str, wrong[:5]))}.")
        return labels.astype(np.int32)

    def _batches(self, count):
        return ((start, min(start + self.batch_size, count)) for start in range(0, count, self.batch_size))

    def _padded(self, rows):
        """Rows as a tensor of `batch_size` rows, the last one repeated."""
        missing = self.batch_size - len(rows)
        return tf.constant(np.concatenate([rows, np.repeat(rows[-1:], missing, axis=0)]) if missing else rows)
