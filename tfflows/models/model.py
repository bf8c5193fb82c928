"""A trained model in hand: probabilities, samples, latents of uint8 images."""

import functools
import itertools
import math
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from tfflows.devices.cores import parts_of_batch
from tfflows.distributions.dequantizers import bits_per_dim
from tfflows.distributions.image_model import ImageModel
from tfflows.evaluation.interpolation import interpolate_with
from tfflows.evaluation.latents import is_conditional, num_classes_of
from tfflows.models.description import ModelDescription
from tfflows.models.functions import FUNCTIONS, random_labels, rows_of_labels
from tfflows.tracing.finite import naming_singular
from tfflows.tracing.sampler import current_sampler
from tfflows.tracing.together import computing_together

if TYPE_CHECKING:
    from tfflows.evaluation.checks import CheckReport
    from tfflows.training import Execution, LoopSettings, TrainingSummary

Images = np.ndarray | tf.Tensor
Labels = np.ndarray | tf.Tensor | Sequence[int] | int | str


class Model:
    """A model of uint8 images with what it was trained as; `tfflows.load` gives one.

    Outside of `tf.function`, any number of images is computed `batch_size` at a time, by functions that are compiled at their
    first call; in parts side by side if `tfflows.training.process_options` was called first. Inside, all are computed at once;
    sizes of batches and numbers of samples may be tensors. The noise of an image depends on the seed and its position alone.

    Attributes:
      distribution: The `ImageModel`; the `flow` of a flow is a `tfd.TransformedDistribution`, or an `AugmentedFlow`.
      experiment: The experiment that it was trained as, a dataclass; None for a model without one.
      record: What its run measured, as a dictionary; None if its run has measured nothing at this step.
      description: `ModelDescription`: the shape of the images, the classes.
      step: Number of training steps behind the weights.
      path: Its directory, None if it was made in memory.
      batch_size: Images that are computed at once.

    Example:
      All images under a standard normal density of their pixels.

      >>> import numpy as np
      >>> import tensorflow_probability as tfp
      >>> from tfflows.distributions.dequantized_flow import DequantizedFlow
      >>> from tfflows.models import Model
      >>> tfb, tfd = tfp.bijectors, tfp.distributions
      >>> base = tfd.Sample(tfd.Normal(0.0, 1.0), [2, 2, 3])
      >>> model = Model(DequantizedFlow(tfd.TransformedDistribution(base, tfb.Identity())))
      >>> images = np.full([5, 2, 2, 3], 128, np.uint8)
      >>> print(model.bits_per_dim(images).numpy().round(2), model.is_exact)
      [9.33 9.33 9.33 9.33 9.33] False
      >>> z = model.encode(images, seed=0)
      >>> print(z.shape, np.array_equal(model.decode(z), images))
      (5, 2, 2, 3) True
      >>> print(model.sample(16, temperature=0.7, seed=0).shape)
      (16, 2, 2, 3)
    """

    def __init__(
        self,
        distribution: ImageModel,
        *,
        paper: Any = None,
        experiment: Any = None,
        description: ModelDescription | None = None,
        settings: Mapping[str, Any] | None = None,
        step: int = 0,
        record: Mapping[str, Any] | None = None,
        path: str | os.PathLike | None = None,
        batch_size: int = 64,
    ) -> None:
        """Creates the model around an `ImageModel`.

        Args:
          distribution: The `ImageModel`.
          paper: `tfflows.papers.Paper` of the experiment; None: `fit` needs an optimizer.
          experiment: Experiment of the paper.
          description: Default: one without names of classes.
          settings: Content of the `experiment.json` of its run.
          step: Number of training steps.
          record: What its run measured.
          path: Directory that it is from.
          batch_size: Images that are computed at once, at least 1.

        Raises:
          TypeError: If `distribution` is no `ImageModel`.
          ValueError: If `batch_size` is not positive.
        """
        if not isinstance(distribution, ImageModel):
            raise TypeError(
                f"A Model needs an ImageModel, got {type(distribution).__name__}. Make a DequantizedFlow of a flow."
            )
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
        self.distribution = distribution
        self.paper, self.experiment, self.settings = paper, experiment, settings
        self.description = description or ModelDescription(tuple(distribution.image_shape.as_list()), self.num_classes)
        self.step, self.record = step, record
        self.path = None if path is None else pathlib.Path(path)
        self.batch_size = batch_size

    def __repr__(self) -> str:
        name = self.distribution.name if self.experiment is None else self.experiment.name
        return f"Model({name!r}, images {self.image_shape}, step {self.step:,})"

    # ----------------------------------------------------------------------------------------------------- what it is

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(H, W, C)`."""
        return tuple(self.distribution.image_shape.as_list())

    @property
    def is_exact(self) -> bool:
        """Whether `log_prob` and `bits_per_dim` are exact, or bounds: a log-probability from below, bits/dim from above."""
        return self.distribution.is_exact

    @property
    def has_latent(self) -> bool:
        """Whether images have latents, and so the model has `encode`, `decode`, `interpolate`, `reconstruct`."""
        return self.distribution.has_latent

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of the latents of an image.

        Raises:
          TypeError: If the model has no latents.
        """
        return tuple(self.distribution.latent_shape.as_list())

    @functools.cached_property
    def is_conditional(self) -> bool:
        """Whether the model takes labels."""
        with tf.init_scope():
            return is_conditional(self.distribution)

    @functools.cached_property
    def num_classes(self) -> int:
        """Number of classes of a conditional model, 0 for another one."""
        return num_classes_of(self.distribution) if self.is_conditional else 0

    # ------------------------------------------------------------------------------------------------- probabilities

    def bits_per_dim(self, images: Images, labels: Labels | None = None, seed: int | tf.Tensor = 0) -> tf.Tensor:
        """Bits per dimension of each image, `-log_prob / (ln 2 * H * W * C)`.

        With seed 0 and the test images in their order they are those of the model's record.

        Args:
          images: uint8 `[B, H, W, C]`.
          labels: For a conditional model: `[B]` integers, or one for all, or the name of a class.
          seed: Seed of the noise of bounds.

        Returns:
          float `[B]`, in bits.

        Raises:
          ValueError: If the images are not uint8 of the model's shape, or there is not a valid label for each image.
        """
        bits = functools.partial(bits_per_dim, num_dimensions=self.distribution.num_dimensions)
        return bits(self.log_prob(images, labels, seed=seed))

    def log_prob(
        self,
        images: Images,
        labels: Labels | None = None,
        seed: int | tf.Tensor = 0,
        num_samples: int | tf.Tensor | None = None,
    ) -> tf.Tensor:
        """`ln P(image)` of each image as a probability of discrete images, or its bound where not `is_exact`; in nats.

        Args:
          images: As in `bits_per_dim`.
          labels: As in `bits_per_dim`.
          seed: Seed of the noise of bounds.
          num_samples: Number S of samples of the importance-weighted bound `ln (1/S) sum_s exp(elbo_s)`, which rises towards
            `ln P` with S; None: the bound of one sample.

        Returns:
          float `[B]`, in nats; float64 with `num_samples`.

        Raises:
          ValueError: As for `bits_per_dim`, or if `num_samples` is not positive.

        References:
          Burda et al. 2016, https://arxiv.org/abs/1509.00519.
        """
        images, labels = self._images(images), self._labels(labels, images)
        if num_samples is None:
            return self._run("log_prob", (images, labels), seed)
        num_samples = _integer("num_samples", num_samples)
        static = tf.get_static_value(num_samples)
        if static is not None and static < 1:
            raise ValueError(f"num_samples must be at least 1, got {static}.")
        return self._run("importance_log_prob", (images, labels), seed, num_samples)

    # ------------------------------------------------------------------------------------------------ samples, latents

    def sample(
        self,
        num_samples: int | tf.Tensor = 1,
        temperature: float | tf.Tensor = 1.0,
        label: Labels | None = None,
        seed: int | tf.Tensor = 0,
    ) -> tf.Tensor:
        """Images drawn from the model.

        Args:
          num_samples: Number N of images.
          temperature: Factor of all noise, at least 0.
          label: For a conditional model: a class by number or name, or `[N]` numbers; None: classes drawn uniformly.
          seed: Seed of the noise.

        Returns:
          uint8 `[N, H, W, C]`. Warns of images that are not finite, which are shown black.

        Raises:
          ValueError: If a number is out of range, or the model takes no labels.
        """
        num_samples = _integer("num_samples", num_samples)
        number, degree = tf.get_static_value(num_samples), _number("temperature", temperature)
        if number is not None and number < 1:
            raise ValueError(f"num_samples must be at least 1, got {number}.")
        if degree is not None and not (math.isfinite(degree) and degree >= 0):
            raise ValueError(f"A temperature must be finite and at least 0, got {degree}.")
        if label is None and self.is_conditional:
            labels = random_labels(num_samples, self.num_classes, seed)
        else:
            labels = self._labels(label, num_rows=num_samples)
        return self._finite(self._run("sample", (labels,), seed, tf.cast(temperature, tf.float32)))

    def encode(self, images: Images, labels: Labels | None = None, seed: int | tf.Tensor = 0) -> tf.Tensor:
        """Latents of images, standard normal under the model.

        Those of flows with the noise of dequantization; those of a latent-variable model drawn from `q(z | image)`.

        Args:
          images: As in `bits_per_dim`.
          labels: As in `bits_per_dim`.
          seed: Seed of the noise.

        Returns:
          float `[B, *latent_shape]`.

        Raises:
          TypeError: If the model has no latents.
          ValueError: As for `bits_per_dim`.
        """
        self._check_latents("encode")
        images, labels = self._images(images), self._labels(labels, images)
        return self._run("encode", (images, labels), seed)

    def decode(self, latents: Images, labels: Labels | None = None, seed: int | tf.Tensor | None = None) -> tf.Tensor:
        """Images of latents: of flows the images that were encoded, at the model's bits per colour.

        An image that the model finds all but impossible may come back wrong: where a coupling saturates, float32 cannot tell its
        values apart. `check(images)` measures by how many grey levels.

        Args:
          latents: float `[B, *latent_shape]`.
          labels: As in `bits_per_dim`.
          seed: For a latent-variable model: seed of the noise that pixels are drawn with; None: their means.

        Returns:
          uint8 `[B, H, W, C]`. Warns as `sample` does.

        Raises:
          TypeError: If the model has no latents.
          ValueError: If the latents do not have the model's shape, or there is not a valid label for each image.
        """
        self._check_latents("decode")
        latents = tf.cast(tf.convert_to_tensor(latents), self._dtype)
        shape = latents.shape
        if shape.rank is not None and not shape[1:].is_compatible_with(self.latent_shape):
            raise ValueError(f"The model decodes latents [B, {_listed(self.latent_shape)}], got shape {shape}.")
        labels = self._labels(labels, latents)
        if seed is None:
            return self._finite(self._run("decode", (latents, labels), 0))
        return self._finite(self._run("decode_drawn", (latents, labels), seed))

    def reconstruct(
        self, images: Images, labels: Labels | None = None, seed: int | tf.Tensor = 0, drawn: bool = False
    ) -> tf.Tensor:
        """`decode(encode(images))`: what is left of images in their latents.

        A flow gives back the images at its bits per colour; a latent-variable model decodes a draw from `q(z | image)`.

        Args:
          images: As in `bits_per_dim`.
          labels: As in `bits_per_dim`.
          seed: Seed of the noise.
          drawn: Whether a latent-variable model draws the pixels given the latents, instead of decoding means.

        Returns:
          uint8 `[B, H, W, C]`.

        Raises:
          TypeError: If the model has no latents.
          ValueError: As for `bits_per_dim`.
        """
        self._check_latents("reconstruct")
        return self.decode(self.encode(images, labels, seed), labels, seed if drawn else None)

    def interpolate(
        self,
        images_a: Images,
        images_b: Images,
        num_frames: int = 9,
        labels: tuple[Labels, Labels] | None = None,
        seed: int = 0,
    ) -> np.ndarray:
        """Images along the straight line between the latents of two images, both ends included.

        Args:
          images_a: uint8 `[H, W, C]`, or `[P, H, W, C]` for several pairs.
          images_b: As `images_a`.
          num_frames: Number of images of each pair, at least 2.
          labels: For a conditional model: the labels of `images_a` and of `images_b`.
          seed: Seed of the noise of both encodings.

        Returns:
          uint8 `[num_frames, H, W, C]`, or `[P, num_frames, H, W, C]`.

        Raises:
          TypeError: If the model has no latents.
          ValueError: If the images do not pair up or are not the model's, or a number is out of range.

        References:
          Kingma & Dhariwal 2018, figure 5, https://arxiv.org/abs/1807.03039.
        """
        self._check_latents("interpolate")
        if not isinstance(num_frames, int | np.integer) or num_frames < 2:
            raise ValueError(f"num_frames must be an integer of at least 2, counting both ends, got {num_frames!r}.")
        ends = [np.asarray(images_a), np.asarray(images_b)]
        single = all(end.ndim == 3 for end in ends)
        if single:
            ends = [end[np.newaxis] for end in ends]
        if labels is not None and (isinstance(labels, str | int) or len(labels) != 2):
            raise ValueError(f"labels must be a pair, those of images_a and those of images_b, got {labels!r}.")
        if labels is not None or self.is_conditional:
            given = (None, None) if labels is None else labels
            labels = [self._labels(own, end).numpy() for own, end in zip(given, ends, strict=True)]
        frames = interpolate_with(
            lambda images, labels: self.encode(images, labels, seed).numpy(),
            lambda latents, labels: self.decode(latents, labels).numpy(),
            *ends,
            num_frames,
            labels,
        )
        return frames[0] if single else frames

    # -------------------------------------------------------------------------------------------- checks, training, export

    def check(self, images: Images, labels: Labels | None = None, seed: int = 0) -> "CheckReport":
        """Looks for faults of the model on some images, layer by layer; `print(report)` says what to do.

        Args:
          images: As in `bits_per_dim`; a few are enough.
          labels: As in `bits_per_dim`.
          seed: Seed of all noise.

        Returns:
          What was found; see `tfflows.evaluation.checks`.

        Raises:
          ValueError: As for `bits_per_dim`.
        """
        from tfflows.evaluation.checks import check_model

        images = self._images(images)
        if not len(images):
            raise ValueError("Give at least one image, got none.")
        return check_model(self.distribution, images, labels=self._labels(labels, images), seed=seed)

    def fit(
        self,
        images: Any,
        num_steps: int,
        *,
        workdir: str | os.PathLike | None = None,
        labels: np.ndarray | None = None,
        optimizer: keras.optimizers.Optimizer | None = None,
        seed: int = 0,
        validation: Any = None,
        settings: "LoopSettings | None" = None,
        execution: "Execution | None" = None,
        callbacks: Sequence[Callable[[int, Mapping], None]] = (),
        **changes: Any,
    ) -> "TrainingSummary":
        """Goes on training from these weights, as a new run; the model has the trained weights afterwards.

        Optimizer, learning rate, batch size, augmentation and averages are those of the experiment, begun anew. A warm-up and
        cool-down that are longer than the new run are shortened in proportion. Nothing is initialized from data again. The same
        call goes on from the workdir's newest checkpoint, and `tfflows.load(workdir)` gives the model back.

        Args:
          images: uint8 `[N, H, W, C]`, a pair `(images, labels)`, an `ImageSource`.
          num_steps: Total number of steps of the new run.
          workdir: A new working directory; None: nothing is written.
          labels: Integers `[N]` for an array of images.
          optimizer: Keras optimizer, not built yet, in place of the experiment's.
          seed: Seed of the order of the images and of all noise.
          validation: What `settings.evaluate_every` measures, as in `Trainer.fit`.
          settings: How often there are logs, checkpoints and evaluations.
          execution: How steps are computed.
          callbacks: As for `Trainer`.
          **changes: Fields of the experiment that differ, such as `learning_rate=1e-4, batch_size=16, warmup_steps=0`.

        Returns:
          What was done and logged.

        Raises:
          ValueError: If the images are not the model's, a field is unknown or out of range, or the workdir is the model's own.
          WorkdirError: If the workdir holds another run.
          TrainingDiverged: As for `Trainer.fit`.
        """
        from tfflows.models import fitting

        options = {"settings": settings, "execution": execution, "callbacks": callbacks}
        return fitting.continue_training(
            self,
            images,
            num_steps,
            workdir=workdir,
            labels=labels,
            optimizer=optimizer,
            seed=seed,
            validation=validation,
            trainer_options=options,
            changes=changes,
        )

    def export(self, directory: str | os.PathLike) -> pathlib.Path:
        """Writes a SavedModel, which loads with TensorFlow alone; its functions are those of `tfflows.models.export`.

        Args:
          directory: Directory to write; a SavedModel that is there is replaced.

        Returns:
          Its path.

        Raises:
          FileExistsError: If the directory holds something else.
        """
        from tfflows.models.export import export

        return export(self.distribution, directory, self.num_classes)

    def save(self, directory: str | os.PathLike) -> pathlib.Path:
        """Writes weights, experiment and record as a folder that `tfflows.load` reads, by its path or by its name.

        Args:
          directory: A new directory, or one that `save` has written.

        Returns:
          Its path.

        Raises:
          ValueError: If the model belongs to no experiment, so that nothing could say how to build it.
          MissingExtraError: If safetensors is not installed.
          FileExistsError: If the directory holds other files.
        """
        from tfflows.models.saving import save

        if self.settings is None:
            raise ValueError(
                "The model belongs to no experiment: save its variables by tf.train.Checkpoint, or export it."
            )
        return save(self.distribution, directory, self.settings, self.description, self.record, self.step)

    # -------------------------------------------------------------------------------------------------------- inside

    def _check_latents(self, method):
        if not self.has_latent:
            raise TypeError(f"{type(self.distribution).__name__} has no latents, so it has no {method}.")

    def _images(self, images):
        if images is None:
            raise ValueError(f"Give uint8 images [B, {_listed(self.image_shape)}], got None.")
        return self.distribution.check_images(images)

    @functools.cached_property
    def _dtype(self):
        variables = self.distribution.variables
        return variables[0].dtype if variables else tf.float32

    def _labels(self, labels, like=None, num_rows=None):
        """int32 labels, one for each row of `like`, or `num_rows` of them; zeros for a model that takes none."""
        num_rows = tf.shape(like)[0] if num_rows is None else num_rows
        if not self.is_conditional:
            if labels is not None:
                raise ValueError("The model takes no labels, got some; leave them out.")
            return tf.zeros([num_rows], tf.int32)
        if labels is None:
            raise ValueError("The model is conditional: it needs a label for each image, got none.")
        if isinstance(labels, str):
            labels = self._class_number(labels)
        elif isinstance(labels, list | tuple):
            labels = [self._class_number(label) if isinstance(label, str) else label for label in labels]
        labels = tf.convert_to_tensor(labels)
        if not labels.dtype.is_integer or labels.shape.rank not in (0, 1, None):
            raise ValueError(f"Labels must be integers [B], or one for all, got {labels.dtype.name} {labels.shape}.")
        values, rows = tf.get_static_value(labels), tf.get_static_value(num_rows)
        if values is not None:
            wrong = [int(label) for label in np.ravel(values) if not 0 <= label < self.num_classes]
            if wrong:
                raise ValueError(f"Labels must be 0 to {self.num_classes - 1}, got {_listed(wrong[:5])}.")
            if np.ndim(values) and rows is not None and len(values) != rows:
                raise ValueError(f"Expected a label for each of {rows} images, got {len(values)}.")
        return rows_of_labels(labels, num_rows, self.num_classes)

    def _class_number(self, name):
        names = self.description.class_names
        if name not in names:
            known = f"its classes are {', '.join(names)}" if names else "its classes have no names: give a number"
            raise ValueError(f"The model knows no class {name!r}; {known}.")
        return names.index(name)

    def _run(self, name, rows, seed, *rest):
        """Calls one of `FUNCTIONS` on rows: in batches if eager, else as it is."""
        seed = _integer("seed", seed, tf.int64)
        function = functools.partial(FUNCTIONS[name], self.distribution)
        if not tf.executing_eagerly():
            return function(*rows, seed, tf.constant(0, tf.int64), *rest)
        num_rows = len(rows[0])
        batches = []
        for start in range(0, num_rows, self.batch_size):
            batch = [row[start : start + self.batch_size] for row in rows]
            compiled = self._compiled(name, len(rows), parts_of_batch(None, len(batch[0])))
            arguments = (*batch, seed, tf.constant(start, tf.int64), *rest)
            with naming_singular(functools.partial(function, *arguments)):
                batches.append(compiled(*arguments))
        if not batches:
            raise ValueError("Give at least one image, got none.")
        return tf.nest.map_structure(lambda *batch: tf.concat(batch, axis=0), *batches)

    def _compiled(self, name, num_arguments, num_parts):
        """One of `FUNCTIONS`, for so many arguments that have a row for each image, in parts side by side."""
        key = name, current_sampler(), num_parts
        if key not in self._traced:
            function = functools.partial(FUNCTIONS[name], self.distribution)

            def in_parts(*arguments):
                rows, (seed, start, *rest) = arguments[:num_arguments], arguments[num_arguments:]
                count = tf.shape(rows[0], tf.int64)[0]
                ends = [count * number // num_parts for number in range(num_parts + 1)]
                parts = [
                    function(*(row[first:last] for row in rows), seed, start + first, *rest)
                    for first, last in itertools.pairwise(ends)
                ]
                return tf.nest.map_structure(lambda *part: tf.concat(part, axis=0), *parts)

            # One part has as many rows as the batch, also where only the caller knows how many.
            traced = function if num_parts == 1 else in_parts
            compiled = tf.function(
                computing_together(self.distribution, traced), autograph=False, reduce_retracing=True
            )
            # TensorFlow counts tracings by code, which all of these share, and would take them for one that is traced again and
            # again.
            compiled._omit_frequent_tracing_warning = True
            self._traced[key] = compiled
        return self._traced[key]

    @functools.cached_property
    def _traced(self) -> dict[tuple[str, str, int], Callable]:
        return {}

    def _finite(self, images_and_finite):
        images, finite = images_and_finite
        bad = tf.get_static_value(tf.reduce_sum(tf.cast(~finite, tf.int32)))
        if bad:
            logging.warning(
                "%d of %d decoded images hold values that are not finite; those values are shown black. A lower temperature or "
                "an earlier checkpoint may help; check(images) looks for the layer.",
                bad,
                len(images),
            )
        return images


def _integer(name, value, dtype=tf.int32):
    """A scalar integer tensor of the type.

    Raises:
      ValueError: If the value is something else, or does not fit the type.
    """
    if tf.is_tensor(value) or isinstance(value, np.ndarray | np.generic):
        given = tf.convert_to_tensor(value)
        if given.dtype.is_integer and given.shape.rank in (0, None):
            return tf.cast(given, dtype)
    elif isinstance(value, int) and not isinstance(value, bool) and dtype.min <= value <= dtype.max:
        return tf.constant(value, dtype)
    raise ValueError(f"{name} must be an integer from {dtype.min} to {dtype.max}, got {value!r}.")


def _number(name, value):
    """The value of a scalar number as far as it is known: None for a tensor of a graph.

    Raises:
      ValueError: If it is no number.
    """
    known = tf.get_static_value(value) if tf.is_tensor(value) else value
    if known is None and tf.is_tensor(value):
        return None
    if np.ndim(known) or isinstance(known, str | bytes | bool) or not np.isreal(known) or known is None:
        raise ValueError(f"{name} must be a number, got {value!r}.")
    return float(known)


def _listed(values):
    return ", ".join(map(str, values))
