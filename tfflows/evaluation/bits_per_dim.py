"""Bits/dim of a split, image by image."""

import copy
import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfflows.data import ImageSource
from tfflows.data.sources import reading
from tfflows.devices.cores import parts_of_batch
from tfflows.devices.strategies import (
    distributed_evaluation_batches,
    is_chief,
    round_up_to_replicas,
    side_by_side,
)
from tfflows.distributions.dequantizers import bits_per_dim
from tfflows.distributions.image_model import ImageModel
from tfflows.math.random import RowKeys, fold_in, row_keys
from tfflows.progress import Task
from tfflows.tracing.finite import naming_singular
from tfflows.tracing.together import Together


@dataclasses.dataclass(frozen=True)
class BitsPerDim:
    """Bits/dim of the images of a split, in its order.

    Attributes:
      per_image: float64 `[num_images]`.

    Example:
      >>> import numpy as np
      >>> from tfflows.evaluation.bits_per_dim import BitsPerDim
      >>> result = BitsPerDim(np.array([3.0, 4.0, 5.0, 4.0]))
      >>> print(result.mean, round(result.standard_error, 3))
      4.0 0.408
    """

    per_image: np.ndarray

    @property
    def mean(self) -> float:
        """Mean over the images."""
        return float(np.mean(self.per_image))

    @property
    def standard_error(self) -> float:
        """Standard error of the mean over the images: `std / sqrt(num_images)`, 0 for a single image."""
        count = len(self.per_image)
        return float(np.std(self.per_image, ddof=1) / np.sqrt(count)) if count > 1 else 0.0


class Evaluator:
    """Measures a model's bits/dim on a split with one noise draw per image; traces once, for any number of evaluations.

    Each image counts exactly once under any number of replicas. The noise is keyed by the seed and the image's position, so that
    two models are compared under the same noise.

    Example:
      Uniform noise within the bins under a standard normal density of each pixel.

      >>> import numpy as np
      >>> import tensorflow as tf
      >>> import tensorflow_probability as tfp
      >>> from tfflows.data import array_source
      >>> from tfflows.distributions.dequantized_flow import DequantizedFlow
      >>> from tfflows.evaluation.bits_per_dim import Evaluator
      >>> tfb, tfd = tfp.bijectors, tfp.distributions
      >>> base = tfd.Sample(tfd.Normal(0.0, 1.0), [4, 4, 1])
      >>> model = DequantizedFlow(tfd.TransformedDistribution(base, tfb.Identity()), num_bits=8)
      >>> source = array_source(np.full([5, 4, 4, 1], 128, np.uint8))
      >>> evaluator = Evaluator(tf.distribute.get_strategy(), model, source, batch_size=2)
      >>> result = evaluator.evaluate()
      >>> print(result.per_image.shape, round(result.mean, 2))  # 8 + log2 sqrt(2 pi)
      (5,) 9.33
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        model: ImageModel,
        source: ImageSource,
        *,
        batch_size: int,
        seed: int = 0,
        jit_compile: bool = False,
        num_side_by_side: int | None = None,
        measure: Callable[[tf.Tensor, tf.Tensor, RowKeys], tf.Tensor] | None = None,
    ) -> None:
        """Creates the evaluator.

        Args:
          strategy: Strategy that the model was made under.
          model: Model to measure.
          source: Split to measure it on.
          batch_size: Images per batch, over all replicas; rounded up to a multiple of their number.
          seed: Seed of the noise.
          jit_compile: Whether XLA compiles the measurement.
          num_side_by_side: Number of parts of a batch that are computed side by side, see `tfflows.devices.strategies`. None:
            what `process_options` has set the process up for.
          measure: Function `(images, labels, keys) -> [B, ...]` that gives `values`; default: the model's bits/dim.
        """
        self._strategy = strategy
        self._batch_size = round_up_to_replicas(batch_size, strategy)
        self._seed = seed
        self._take(source)
        if jit_compile and num_side_by_side is None:
            num_side_by_side = 1
        num_parts = parts_of_batch(num_side_by_side, self._batch_size // strategy.num_replicas_in_sync)

        def bits(images, labels, keys):
            elbo = model.elbo(images, keys, model.condition_of(labels))
            return bits_per_dim(elbo, model.num_dimensions)

        together = Together(model)

        def keyed(images, labels, index, given):
            with together.giving(given):
                return (measure or bits)(images, labels, fold_in(row_keys(seed, 0, index[0]), "evaluation"))

        compiled = tf.function(keyed, jit_compile=True, autograph=False) if jit_compile else keyed

        @tf.function(autograph=False)
        def evaluate_batch(batch):
            def replica(batch):
                mask = tf.cast(batch["mask"], tf.int64)  # workers cannot gather truth values, and GPUs hold no int32
                rows = (batch["image"], batch["label"], batch["index"])
                run = functools.partial(compiled, given=[] if tf.executing_eagerly() else together.compute())
                return side_by_side(run, rows, num_parts), batch["index"], mask

            return tuple(strategy.gather(value, axis=0) for value in strategy.run(replica, args=(batch,)))

        self._evaluate_batch = evaluate_batch

    def on(self, source: ImageSource) -> "Evaluator":
        """The same measurement on another split with images of the same shape; reuses what was traced for this one."""
        other = copy.copy(self)
        other._take(source)
        return other

    def _take(self, source):
        self._source = source
        self._batches = distributed_evaluation_batches(
            self._strategy, source, global_batch_size=self._batch_size, seed=self._seed
        )

    def evaluate(self) -> BitsPerDim:
        """Measures bits/dim in one pass over the split."""
        return BitsPerDim(self.values())

    def values(self) -> np.ndarray:
        """What `measure` gives, in one pass over the split: float64 `[num_images, ...]`."""
        num_images, compiles = self._source.num_images, self._evaluate_batch.experimental_get_tracing_count() == 0
        measured = []
        with Task("evaluation", num_images, compiles, is_chief(self._strategy)) as task:
            for batch in reading(self._source, self._batches):
                with naming_singular(functools.partial(self._evaluate_batch.python_function, batch)):
                    measured.append(self._evaluate_batch(batch))  # read at the end: a GPU would stand still after each
                task.update(min(num_images, self._batch_size * len(measured)))
            values, index, mask = (np.concatenate(parts) for parts in zip(*measured, strict=True))
        real = mask > 0
        per_image = np.full([num_images, *values.shape[1:]], np.nan)
        per_image[index[real]] = values[real]
        return per_image
