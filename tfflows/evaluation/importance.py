"""The importance-weighted bound of a split, image by image."""

import dataclasses
import functools
import os
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfflows.data import ImageSource
from tfflows.data.sources import reading
from tfflows.devices.cores import parts_of_batch
from tfflows.devices.strategies import distributed_evaluation_batches, round_up_to_replicas, side_by_side
from tfflows.distributions.dequantizers import bits_per_dim
from tfflows.distributions.image_model import ImageModel
from tfflows.evaluation.bits_per_dim import BitsPerDim
from tfflows.evaluation.log_weights import LogWeights, load_log_weights, save_log_weights
from tfflows.math.random import fold_in, row_keys
from tfflows.progress import Progress
from tfflows.tracing.together import Together


@dataclasses.dataclass(frozen=True)
class ImportanceBitsPerDim(BitsPerDim):
    """Bits/dim by the importance-weighted bound.

    Attributes:
      per_image: float64 `[num_images]`.
      elbo: Bits/dim by the bound of single samples, with the same noise.
      noise_variances: float64 `[num_images]`, variances of `per_image` over the noise, by the delta method.
      effective_samples: float64 `[num_images]`, effective number of samples.
    """

    elbo: BitsPerDim
    noise_variances: np.ndarray
    effective_samples: np.ndarray

    @property
    def noise_standard_error(self) -> float:
        """Standard error of the mean over the noise, given these images: `sqrt(sum_i variance_i) / num_images`."""
        return float(np.sqrt(np.sum(self.noise_variances)) / len(self.noise_variances))


class ImportanceEvaluator:
    """Measures `-ln (1/S) sum_s exp(elbo_s) / (M ln 2)` of each image of a split, for any S in the memory of one sample.

    The noise is keyed by the seed, the image's position and the sample's number: the result depends neither on how the split is
    cut into batches and replicas nor on where a measurement was interrupted. Sums are in float64.

    Example:
      >>> import numpy as np
      >>> import tensorflow as tf
      >>> import tensorflow_probability as tfp
      >>> from tfflows.data import array_source
      >>> from tfflows.distributions.dequantized_flow import DequantizedFlow
      >>> from tfflows.evaluation.importance import ImportanceEvaluator
      >>> tfb, tfd = tfp.bijectors, tfp.distributions
      >>> base = tfd.Sample(tfd.Normal(0.0, 1.0), [4, 4, 1])
      >>> model = DequantizedFlow(tfd.TransformedDistribution(base, tfb.Identity()), num_bits=1)
      >>> source = array_source(np.zeros([3, 4, 4, 1], np.uint8))
      >>> strategy = tf.distribute.get_strategy()
      >>> evaluator = ImportanceEvaluator(strategy, model, source, num_samples=20, batch_size=3)
      >>> result = evaluator.evaluate(chief=False)
      >>> print(result.per_image.shape, result.mean < result.elbo.mean)
      (3,) True
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        model: ImageModel,
        source: ImageSource,
        *,
        num_samples: int,
        batch_size: int,
        seed: int = 0,
        jit_compile: bool = False,
        num_side_by_side: int | None = None,
        samples_per_call: int = 16,
    ) -> None:
        """Creates the evaluator.

        Args:
          strategy: Strategy that the model was made under.
          model: Model to measure.
          source: Split to measure it on.
          num_samples: S.
          batch_size: Images per batch, over all replicas; rounded up to a multiple of their number.
          seed: Seed of the noise.
          jit_compile: Whether XLA compiles the bound.
          num_side_by_side: As for `Evaluator`.
          samples_per_call: Samples of a batch per call of the device.

        Raises:
          ValueError: If `num_samples` or `samples_per_call` is not positive.
        """
        for name, number in {"num_samples": num_samples, "samples_per_call": samples_per_call}.items():
            if number < 1:
                raise ValueError(f"{name} must be at least 1, got {number}.")
        self._num_samples = num_samples
        self._samples_per_call = min(samples_per_call, num_samples)
        self._num_images = source.num_images
        self._num_dimensions = model.num_dimensions
        self._batch_size = round_up_to_replicas(min(batch_size, source.num_images), strategy)
        self._source = source
        self._batches = distributed_evaluation_batches(strategy, source, global_batch_size=self._batch_size, seed=seed)

        if jit_compile and num_side_by_side is None:
            num_side_by_side = 1
        num_parts = parts_of_batch(num_side_by_side, self._batch_size // strategy.num_replicas_in_sync)
        together = Together(model)

        def log_weights(images, labels, index, first_sample, given):
            def sample_of(sample):
                def elbo(images, labels, index):
                    keys = fold_in(row_keys(seed, 0, index[0]), "importance")
                    return model.elbo(images, fold_in(keys, sample), model.condition_of(labels))

                return side_by_side(elbo, (images, labels, index), num_parts)

            samples = first_sample + tf.range(self._samples_per_call)
            with together.giving(given):
                return tf.map_fn(sample_of, samples, fn_output_signature=tf.float32, parallel_iterations=1)

        compiled = tf.function(log_weights, jit_compile=True, autograph=False) if jit_compile else log_weights

        @tf.function(autograph=False)
        def evaluate_batch(batch, first_sample):
            def replica(batch, first_sample):
                mask = tf.cast(batch["mask"], tf.int64)  # workers cannot gather truth values, and GPUs hold no int32
                given = together.compute()
                weights = compiled(batch["image"], batch["label"], batch["index"], first_sample, given)
                return weights, batch["index"], mask

            weights, index, mask = strategy.run(replica, args=(batch, first_sample))
            return strategy.gather(weights, axis=1), strategy.gather(index, axis=0), strategy.gather(mask, axis=0)

        self._evaluate_batch = evaluate_batch

    def evaluate(
        self,
        path: str | os.PathLike | None = None,
        description: Mapping[str, Any] | None = None,
        *,
        chief: bool = True,
        seconds_between_saves: float = 30.0,
        stop: Callable[[], bool] = lambda: False,
    ) -> ImportanceBitsPerDim | None:
        """Measures the bound in one pass over the split.

        Args:
          path: File to save the sums to on the way, and to resume from; None: nothing is saved.
          description: JSON-able mapping that says what is measured; a file with another description is refused.
          chief: Whether this process writes the file and shows the progress.
          seconds_between_saves: Minimum time between two saves.
          stop: Called between two calls of the device, on every worker; once true, the sums are saved and None is returned.

        Returns:
          The result, or None if it was stopped.

        Raises:
          ValueError: If `path` holds the sums of something else or is corrupt, or if a bound is NaN or infinitely large.
        """
        described = {**(description or {}), "num_samples": self._num_samples, "num_images": self._num_images}
        sums = LogWeights.empty(self._num_images)
        if path is not None and pathlib.Path(path).exists():
            sums = load_log_weights(path, described)
        save = functools.partial(save_log_weights, path, sums, described)
        saves = chief and path is not None
        progress = Progress(
            self._num_images * self._num_samples,
            int(sums.counts.sum()),
            description="importance samples",
            chief=chief,
            compiles=self._evaluate_batch.experimental_get_tracing_count() == 0,
        )
        last_save = time.monotonic()
        with progress:
            for batch, first in self._batches_to_do(sums):
                while first < self._num_samples:
                    weights, index, mask = (value.numpy() for value in self._evaluate_batch(batch, tf.constant(first)))
                    rows = np.flatnonzero(mask)
                    # Sums saved with other batches may be ahead for some images of this one.
                    rows = rows[sums.counts[index[rows]] == first]
                    sums.add(index[rows], weights[: self._num_samples - first, rows])
                    first += self._samples_per_call
                    progress.update(int(sums.counts.sum()))
                    stopped = stop()
                    if saves and (stopped or time.monotonic() - last_save >= seconds_between_saves):
                        save()
                        last_save = time.monotonic()
                    if stopped:
                        return None
        if saves:
            save()
        return self._result(sums)

    def _batches_to_do(self, sums):
        """Batches that lack samples, each with the number of the first sample that it lacks."""
        first_image = 0
        for batch in reading(self._source, self._batches):
            counts = sums.counts[first_image : first_image + self._batch_size]
            first_image += self._batch_size
            if counts.min() < self._num_samples:
                yield batch, int(counts.min())

    def _result(self, sums):
        nats_per_bit = self._num_dimensions * np.log(2.0)
        return ImportanceBitsPerDim(
            per_image=bits_per_dim(sums.log_probs, self._num_dimensions),
            elbo=BitsPerDim(bits_per_dim(sums.elbos, self._num_dimensions)),
            noise_variances=sums.variances / nats_per_bit**2,
            effective_samples=sums.effective_samples,
        )
