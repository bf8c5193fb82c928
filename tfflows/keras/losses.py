"""The losses of image models and of densities, and what Keras hands over for them."""

import contextlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.bijectors.base import Bijector, takes_condition
from tfflows.data import ImageSource, as_source
from tfflows.distributions.dequantizers import bits_per_dim
from tfflows.distributions.image_model import ImageModel
from tfflows.math.random import RowKeys
from tfflows.tracing.batch_statistics import BatchStatistics, batch_statistics, has_batch_statistics
from tfflows.training.parameters import equalize_replicas, initialize_from_data

tfd = tfp.distributions


class ImageLoss:
    """The loss of an `ImageModel`.

    Attributes:
      metric_names: Names of the metrics of a training step, beside `loss`.
      evaluation_names: Names of the metrics of an evaluation, beside `loss` and equal to it.
      needs_adapting: Whether something may depend on data.
    """

    needs_adapting = True
    evaluation_names = ("bits_per_dim",)

    def __init__(self, model: ImageModel) -> None:
        self._model = model
        self.metric_names = model.metric_names
        self._needs_labels = model.condition_of(tf.zeros([1], tf.int32)) is not None

    def training_loss(
        self, images: tf.Tensor, labels: tf.Tensor | None, keys: RowKeys
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """`(loss, metrics)` of each image, `[B]`."""
        return self._model.training_loss(images, self._labels(images, labels), keys)

    def training_pass(self) -> contextlib.AbstractContextManager[BatchStatistics]:
        """The context of `training_loss`, whose caller updates running statistics."""
        return self._model.training_pass(update=False)

    def evaluation_loss(self, images: tf.Tensor, labels: tf.Tensor | None, keys: RowKeys) -> tf.Tensor:
        """Bits/dim of each image, `[B]`."""
        model = self._model
        elbo = model.elbo(images, keys, model.condition_of(self._labels(images, labels)))
        return bits_per_dim(elbo, model.num_dimensions)

    def initialize(
        self,
        strategy: tf.distribute.Strategy,
        images: np.ndarray | ImageSource | tuple,
        labels: Any,
        batch_size: int,
        seed: int,
    ) -> None:
        """Sets what depends on data."""
        if not self._needs_labels:
            images, labels = images[0] if isinstance(images, tuple) else images, None
        source = as_source(images, labels)
        expected = self._model.image_shape.as_list()
        if list(source.image_shape) != expected:
            raise ValueError(f"The model takes images of shape {expected}, got {list(source.image_shape)}.")
        if self._needs_labels and not source.labels_available:
            raise ValueError("The model is conditional: call adapt(images, labels).")
        size = min(batch_size, source.num_images)
        initialize_from_data(strategy, self._model, source, batch_size=size, seed=seed, augmentation="none")

    def _labels(self, images, labels):
        if not self._needs_labels:
            return tf.zeros([tf.shape(images)[0]], tf.int32)
        if labels is None:
            raise ValueError("The model is conditional: give labels [B] as y, or to predict as [images, labels].")
        labels = tf.convert_to_tensor(labels)
        if labels.shape.rank is None:  # Keras has seen labels of two ranks
            labels = tf.reshape(labels, tf.shape(images)[:1])
        if labels.shape.rank == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if labels.shape.rank != 1 or not labels.dtype.is_integer:
            raise ValueError(f"Labels must be integers [B], got {labels.dtype.name} of shape {labels.shape}.")
        return tf.cast(labels, tf.int32)


class DensityLoss:
    """The loss of a `tfd.Distribution`; attributes and methods as of `ImageLoss`."""

    metric_names = ()
    evaluation_names = ()

    def __init__(self, distribution: tfd.Distribution) -> None:
        if not isinstance(distribution, tfd.Distribution):
            raise TypeError(
                f"A FlowModel needs an ImageModel or a tfd.Distribution, got {distribution!r}, a "
                f"{type(distribution).__name__}; a bijector makes one as tfd.TransformedDistribution(base, bijector), with a "
                "standard normal as the base."
            )
        if distribution.batch_shape.rank != 0:
            raise ValueError(
                f"A FlowModel needs one distribution, got a batch {distribution.batch_shape} of them: make its axes part of the "
                "event with tfd.Independent or tfd.Sample."
            )
        self._distribution = distribution
        self._bijector = getattr(distribution, "bijector", None)
        self._is_conditional = takes_condition(self._bijector)
        self.needs_adapting = isinstance(self._bijector, Bijector)
        self._has_batch_statistics = has_batch_statistics(distribution)

    def training_loss(self, x: tf.Tensor, condition: Any, keys: RowKeys) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """`(loss, {})` of each row, `[B]`."""
        return self.evaluation_loss(x, condition, keys), {}

    def training_pass(self) -> contextlib.AbstractContextManager[BatchStatistics]:
        """The context of `training_loss`, whose caller updates running statistics."""
        if self._has_batch_statistics:
            return batch_statistics(update=False)
        return contextlib.nullcontext(BatchStatistics())

    def evaluation_loss(self, x: tf.Tensor, condition: Any, keys: RowKeys) -> tf.Tensor:
        """`-log_prob` of each row, nats `[B]`."""
        del keys  # there is no noise
        kwargs = {"bijector_kwargs": {"condition": condition}} if self._is_conditional else {}
        return -self._distribution.log_prob(self._checked(x), **kwargs)

    def initialize(
        self, strategy: tf.distribute.Strategy, x: np.ndarray | tuple, condition: Any, batch_size: int, seed: int
    ) -> None:
        """Sets what depends on data."""
        del seed
        if isinstance(x, tuple):
            x, condition = x
        x = self._checked(tf.convert_to_tensor(x[:batch_size]))
        if self.needs_adapting:
            self._bijector.initialize(x, condition[:batch_size] if self._is_conditional else None)
            equalize_replicas(strategy, self._distribution.variables)

    def _checked(self, x):
        distribution = self._distribution
        if not x.dtype.is_floating or not x.shape[1:].is_compatible_with(distribution.event_shape):
            raise ValueError(
                f"{distribution.name} takes batches of floats {distribution.event_shape}, got a batch of {x.dtype.name} of shape "
                f"{x.shape}. For images, make a DequantizedFlow of it."
            )
        return tf.cast(x, distribution.dtype)


def first_rows(dataset: tf.data.Dataset, num_rows: int) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """The first rows of a data set of batches: an array, or a pair `(inputs, labels)`.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.keras.losses import first_rows
      >>> first_rows(tf.data.Dataset.range(10).batch(4), num_rows=6).tolist()
      [0, 1, 2, 3, 4, 5]
    """
    parts, count = [], 0
    for batch in dataset:
        x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
        parts.append([np.asarray(each)[: num_rows - count] for each in (x, y) if each is not None])
        count += len(parts[-1][0])
        if count >= num_rows:
            break
    if not parts:
        raise ValueError("The data set that adapt was given is empty.")
    rows = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
    return rows[0] if len(rows) == 1 else tuple(rows)
