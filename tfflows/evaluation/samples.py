"""Samples of a model at several temperatures, as grids."""

import functools
import math
import os
import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.distributions.image_model import ImageModel
from tfflows.evaluation.latents import DEFAULT_BATCH_SIZE, LatentCodec, is_conditional
from tfflows.files import atomic_write
from tfflows.math.random import row_keys
from tfflows.tracing.finite import naming_singular

BACKGROUND = 255
"""Grey value between the images and in empty cells."""


def near_square_columns(num_images: int) -> int:
    """`ceil(sqrt(num_images))`: number of columns of a grid that is about as wide as it is high."""
    return math.isqrt(num_images - 1) + 1


def image_grid(images: np.ndarray | tf.Tensor, num_columns: int | None = None, padding: int = 2) -> np.ndarray:
    """Lays images out row by row, with a white margin around each.

    Args:
      images: uint8 `[N, H, W, C]`, C 1 or 3, N at least 1.
      num_columns: Number of columns; default: `ceil(sqrt(N))`.
      padding: Width of the margins in pixels.

    Returns:
      uint8 `[rows * (H + padding) + padding, num_columns * (W + padding) + padding, C]`.

    Raises:
      ValueError: If the images do not have that shape and dtype, or a number is out of range.

    Example:
      >>> import numpy as np
      >>> from tfflows.evaluation.samples import image_grid
      >>> images = np.array([1, 2, 3], np.uint8).reshape([3, 1, 1, 1])
      >>> print(image_grid(images, padding=1)[..., 0])
      [[255 255 255 255 255]
       [255   1 255   2 255]
       [255 255 255 255 255]
       [255   3 255 255 255]
       [255 255 255 255 255]]
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or 0 in images.shape:
        raise ValueError(
            f"A grid needs images [N, H, W, 1 or 3] with N, H, W at least 1, got shape {list(images.shape)}."
        )
    if images.dtype != np.uint8:
        raise ValueError(f"A grid needs uint8 images in 0 ... 255, got {images.dtype}.")
    num_images, height, width, channels = images.shape
    num_columns = near_square_columns(num_images) if num_columns is None else num_columns
    if num_columns < 1:
        raise ValueError(f"num_columns must be at least 1, got {num_columns}.")
    if padding < 0:
        raise ValueError(f"padding must not be negative, got {padding}.")
    num_rows = -(-num_images // num_columns)
    cells = np.full([num_rows * num_columns, height + padding, width + padding, channels], BACKGROUND, np.uint8)
    cells[:num_images, padding:, padding:] = images
    cells = cells.reshape(num_rows, num_columns, height + padding, width + padding, channels)
    grid = cells.transpose(0, 2, 1, 3, 4).reshape(num_rows * (height + padding), -1, channels)
    return np.pad(grid, [(0, padding), (0, padding), (0, 0)], constant_values=BACKGROUND)


def write_png(path: str | os.PathLike, image: np.ndarray | tf.Tensor) -> pathlib.Path:
    """Writes a uint8 image `[H, W, 1 or 3]` as PNG, atomically; makes the directory.

    Returns:
      Path of the file.

    Raises:
      ValueError: If the image does not have that shape and dtype.
      OSError: If the file cannot be written.
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[-1] not in (1, 3) or 0 in image.shape or image.dtype != np.uint8:
        raise ValueError(f"A PNG needs a uint8 image [H, W, 1 or 3], got {image.dtype} of shape {list(image.shape)}.")
    path = pathlib.Path(os.fspath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, tf.io.encode_png(image).numpy())
    return path


# Number of autoregressive samples drawn at a time: a pixel costs little more for many images than for one.
IMAGE_MODEL_BATCH_SIZE = 64


def sample_images(
    model: DequantizedFlow,
    num_samples: int,
    seed: int,
    temperature: float = 1.0,
    labels: np.ndarray | None = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
    jit_compile: bool = False,
) -> np.ndarray:
    """Images of `temperature * e`, e ~ N(0, I) over all latents.

    The noise e of image i depends on (seed, i) alone: not on the batch size, the number of samples or the temperature. With
    another batch size the flow may round differently, and a pixel may land in the neighbouring bin.

    Args:
      model: Flow to sample from.
      num_samples: Number of images, at least 1.
      seed: Seed of e.
      temperature: Factor of e, finite and at least 0; 0 gives the image of the latents' mean.
      labels: int `[num_samples]`, for conditional models only.
      batch_size: Images decoded at once.
      jit_compile: Whether XLA compiles the flow.

    Returns:
      uint8 `[num_samples, H, W, C]`. Warns of images that are not finite.

    Raises:
      ValueError: If a number is out of range, there is not a label for each image, or the model takes no labels.

    Example:
      At temperature 0 all latents are 0, the middle of [-1/2, 1/2).

      >>> import tensorflow_probability as tfp
      >>> from tfflows.distributions.dequantized_flow import DequantizedFlow
      >>> from tfflows.evaluation.samples import sample_images
      >>> tfb, tfd = tfp.bijectors, tfp.distributions
      >>> base = tfd.Sample(tfd.Normal(0.0, 1.0), [1, 2, 1])
      >>> model = DequantizedFlow(tfd.TransformedDistribution(base, tfb.Identity()))
      >>> print(sample_images(model, num_samples=3, seed=0, temperature=0.0)[..., 0].tolist())
      [[[128, 128]], [[128, 128]], [[128, 128]]]

    References:
      Kingma & Dhariwal 2018, section 6 and figure 8, https://arxiv.org/abs/1807.03039.
    """
    _check_counts(num_samples, [temperature])
    codec = LatentCodec(model, min(batch_size, num_samples), jit_compile)
    if labels is not None and not codec.conditional:
        raise ValueError("The model is unconditional: it cannot sample given labels.")
    return codec.sample(num_samples, seed, temperature, labels)


def write_sample_grids(
    model: DequantizedFlow,
    directory: str | os.PathLike,
    num_samples: int,
    temperatures: Sequence[float],
    seed: int,
    label: int | None = None,
    num_classes: int = 0,
    batch_size: int = DEFAULT_BATCH_SIZE,
    padding: int = 2,
    jit_compile: bool = False,
) -> list[pathlib.Path]:
    """Writes a grid of samples for each temperature, such as `samples_temperature_0.70.png`; all show the same noise.

    The grid of a conditional model has one row per class and `ceil(num_samples / num_classes)` columns; if there are more
    classes than samples, it shows the first `ceil(sqrt(num_samples))` classes. With `label`, and for unconditional models, the
    grid is nearly square.

    Args:
      model: Flow to sample from.
      directory: Directory to write to; made if needed.
      num_samples: Images per grid; rounded up to full rows if there is one row per class.
      temperatures: Factors of the noise, finite and at least 0.
      seed: Seed of the noise.
      label: The only class to sample, for conditional models only; None: all classes.
      num_classes: Number of classes of a conditional model.
      batch_size: Images decoded at once.
      padding: Margin around each image in pixels.
      jit_compile: Whether XLA compiles the flow.

    Returns:
      Paths of the files, one per temperature.

    Raises:
      ValueError: If a number is out of range, or `label` or `num_classes` do not fit the model.
    """
    temperatures = list(temperatures)
    _check_counts(num_samples, temperatures)
    labels, num_columns = _labels_of_grid(model, num_samples, label, num_classes)
    num_images = num_samples if labels is None else len(labels)
    codec = LatentCodec(model, min(batch_size, num_images), jit_compile)
    paths = []
    for temperature in temperatures:
        images = codec.sample(num_images, seed, temperature, labels)
        path = sample_path(directory, temperature)
        paths.append(write_png(path, image_grid(images, num_columns, padding)))
    return paths


def write_image_model_samples(
    model: ImageModel,
    directory: str | os.PathLike,
    num_samples: int,
    temperatures: Sequence[float],
    seed: int,
    batch_size: int = IMAGE_MODEL_BATCH_SIZE,
    padding: int = 2,
    label: int | None = None,
    num_classes: int = 0,
) -> list[pathlib.Path]:
    """Writes a grid of samples for each temperature, such as `samples_temperature_1.00.png`; all show the same noise.

    Each sample stands to the right of the `f(z)` that it was drawn given, if any. Rows and columns of a conditional model are
    those of `write_sample_grids`.

    Args:
      model: Model to sample from.
      directory: Directory to write to; made if needed.
      num_samples: Number of samples, at least 1.
      temperatures: Factors of the noise.
      seed: Seed of the noise.
      batch_size: Images drawn at once.
      padding: Margin around each image in pixels.
      label: The only class to sample, for conditional models only; None: all classes.
      num_classes: Number of classes of a conditional model.

    Returns:
      Paths of the files, one per temperature.

    Raises:
      ValueError: If `label` or `num_classes` do not fit the model.

    References:
      Lucas & Verbeek 2018, figure 1, https://arxiv.org/abs/1711.11479.
    """
    labels, num_columns = _labels_of_grid(model, num_samples, label, num_classes)
    num_images = num_samples if labels is None else len(labels)
    size = min(batch_size, num_images)
    # The last batch is filled up.
    rows = np.zeros([num_images], np.int32) if labels is None else labels
    rows = np.pad(rows, [0, -num_images % size], mode="edge")

    @tf.function(autograph=False)
    def draw(start, labels, temperature):
        keys = row_keys(seed, 0, start)
        return tf.stack(model.sample_with_means(size, keys, temperature, model.condition_of(labels)), axis=1)

    paths = []
    for temperature in temperatures:
        batches = []
        for start in range(0, num_images, size):
            labels = tf.constant(rows[start : start + size])
            arguments = tf.constant(start, tf.int64), labels, tf.constant(temperature, tf.float32)
            with naming_singular(functools.partial(draw.python_function, *arguments)):
                batches.append(draw(*arguments).numpy())
        images = np.concatenate(batches)[:num_images]
        columns = images.shape[1] * num_columns
        images = images.reshape([-1, *images.shape[2:]])
        path = sample_path(directory, temperature)
        paths.append(write_png(path, image_grid(images, columns, padding)))
    return paths


def _labels_of_grid(model, num_samples, label, num_classes):
    """Labels of the images of a grid, None for an unconditional model, and its number of columns."""
    conditional = is_conditional(model)
    _check_label(conditional, label, num_classes)
    if conditional and label is None:
        return _labels_by_row(num_samples, num_classes)
    labels = np.full([num_samples], label, np.int32) if conditional else None
    return labels, near_square_columns(num_samples)


def _labels_by_row(num_samples, num_classes):
    """Labels of the images of a grid with one row per class, and its number of columns."""
    num_rows = num_classes
    if num_samples < num_classes:
        num_rows = near_square_columns(num_samples)
        logging.info("%d samples are too few for %d classes: showing the first %d.", num_samples, num_classes, num_rows)
    num_columns = -(-num_samples // num_rows)
    return np.repeat(np.arange(num_rows, dtype=np.int32), num_columns), num_columns


def sample_path(directory: str | os.PathLike, temperature: float) -> pathlib.Path:
    """The file of the samples of a temperature: with two decimals, or more where two would not tell which temperature it is.

    Example:
      >>> from tfflows.evaluation.samples import sample_path
      >>> sample_path("pictures", 0.7).name, sample_path("pictures", 0.705).name
      ('samples_temperature_0.70.png', 'samples_temperature_0.705.png')
    """
    short = f"{temperature:.2f}"
    text = short if float(short) == temperature else repr(float(temperature))
    return pathlib.Path(directory) / f"samples_temperature_{text}.png"


def _check_counts(num_samples, temperatures):
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got {num_samples}.")
    if not temperatures:
        raise ValueError("Give at least one temperature.")
    for temperature in temperatures:
        if not (math.isfinite(temperature) and temperature >= 0):
            raise ValueError(f"A temperature must be finite and at least 0, got {temperature}.")


def _check_label(conditional, label, num_classes):
    if not conditional:
        if label is not None:
            raise ValueError(f"The model is unconditional: it has no class {label} to sample.")
        return
    if num_classes < 1:
        raise ValueError(f"The model is conditional: num_classes must be at least 1, got {num_classes}.")
    if label is not None and not 0 <= label < num_classes:
        raise ValueError(f"label must be 0 to {num_classes - 1}, got {label}.")
