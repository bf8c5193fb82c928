"""Bits/dim of a split, image by image."""

import copy
import dataclasses

import numpy as np
import tensorflow as tf

from tfflows.devices.inputs import distributed_evaluation_batches, round_up_to_replicas
from tfflows.devices.side_by_side import side_by_side
from tfflows.distributions.quantization import bits_per_dim
from tfflows.math.random import fold_in, row_keys


@dataclasses.dataclass(frozen=True)
class BitsPerDim:
    """Bits/dim of the images of a split, in its order.

    Attributes:
      per_image: float64 `[num_images]`.
    """

    per_image: np.ndarray

    @property
    def mean(self) -> float:
        """Mean over the images."""
        return float(np.mean(self.per_image))

    @property
    def standard_error(self) -> float:
        """Standard error of the mean over the images: `std / sqrt(num_images)`, 0 for a single one."""
        count = len(self.per_image)
        return float(np.std(self.per_image, ddof=1) / np.sqrt(count)) if count > 1 else 0.0


class Evaluator:
    """Measures a model's bits/dim on a split, one noise draw an image; traces once, for any number of evaluations.

    Each image counts exactly once under any number of replicas. The noise is keyed by the seed and the image's position, so
    that two models are compared under the same noise.
    """

    def __init__(
        self, strategy, model, source, *, batch_size, seed=0, jit_compile=False, num_side_by_side=1, measure=None
    ):
        """Creates the evaluator.

        Args:
          strategy: `tf.distribute.Strategy` of the model.
          model: `DequantizedFlow` or like it.
          source: `ImageSource`.
          batch_size: Python `int`, over all replicas.
          seed: Python `int`, of the noise.
          jit_compile: Python `bool`.
          num_side_by_side: As in `make_train_step`.
          measure: `(images, labels, keys) -> [B, ...]`, what `values` are; default: the model's bits/dim.
        """
        self._strategy = strategy
        self._batch_size = round_up_to_replicas(batch_size, strategy)
        self._seed = seed
        self._take(source)

        def bits(images, labels, keys):
            elbo = model.elbo(images, keys, model.condition_of(labels))
            return bits_per_dim(elbo, model.num_dimensions)

        def keyed(images, labels, index):
            return (measure or bits)(images, labels, fold_in(row_keys(seed, 0, index[0]), "evaluation"))

        compiled = tf.function(keyed, jit_compile=True) if jit_compile else keyed

        @tf.function
        def evaluate_batch(batch):
            def replica(batch):
                mask = tf.cast(batch["mask"], tf.int32)  # workers cannot gather truth values
                rows = (batch["image"], batch["label"], batch["index"])
                return side_by_side(compiled, rows, num_side_by_side), batch["index"], mask

            return tuple(strategy.gather(value, axis=0) for value in strategy.run(replica, args=(batch,)))

        self._evaluate_batch = evaluate_batch

    def on(self, source) -> "Evaluator":
        """The same measurement of another `ImageSource` with images of the same shape, by what was traced for this one."""
        other = copy.copy(self)
        other._take(source)
        return other

    def _take(self, source):
        self._source = source
        self._batches = distributed_evaluation_batches(
            self._strategy, source, global_batch_size=self._batch_size, seed=self._seed
        )

    def evaluate(self) -> BitsPerDim:
        """One pass over the split."""
        return BitsPerDim(self.values())

    def values(self) -> np.ndarray:
        """One pass over the split: what is measured, float64 `[num_images, ...]`."""
        per_image = None
        for batch in self._batches:
            values, index, mask = (value.numpy() for value in self._evaluate_batch(batch))
            if per_image is None:
                per_image = np.full([self._source.num_images, *values.shape[1:]], np.nan)
            real = mask > 0
            per_image[index[real]] = values[real]
        return per_image
