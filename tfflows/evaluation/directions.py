"""Latent directions of attributes and classes (Glow, section 6)."""

import dataclasses
import io
import json
import os
import pathlib
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from absl import logging

from tfflows.data import ImageSource, evaluation_batches
from tfflows.data.sources import reading
from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.evaluation.latents import DEFAULT_BATCH_SIZE, LatentCodec
from tfflows.files import atomic_write
from tfflows.progress import Task


@dataclasses.dataclass(frozen=True, eq=False)
class Directions:
    """Latent directions `d_k = mean(e | k is +1) - mean(e | k is -1)`.

    Attributes:
      names: Names of the attributes; a class is named by its number.
      vectors: float32 `[num_attributes, M]`, latents flattened row-major; NaN where either side has no example.
      num_positive: int64 `[num_attributes]`, number of images with +1.
      num_negative: int64 `[num_attributes]`, number of images with -1.

    Example:
      >>> import numpy as np
      >>> from tfflows.evaluation.directions import Directions
      >>> directions = Directions(("Smiling",), np.array([[1.0, -2.0]]), np.array([3]), np.array([5]))
      >>> print(directions.direction("Smiling"))
      [ 1. -2.]
    """

    names: tuple[str, ...]
    vectors: np.ndarray
    num_positive: np.ndarray
    num_negative: np.ndarray

    def direction(self, name: str | int) -> np.ndarray:
        """The vector `[M]` of an attribute, or of a class by its number.

        Raises:
          ValueError: If there is none of that name (the message lists the valid ones), or no example of one side.
        """
        name = str(name)
        if name not in self.names:
            raise ValueError(f"There is no direction {name!r}; valid: {', '.join(self.names)}.")
        row = self.names.index(name)
        positive, negative = int(self.num_positive[row]), int(self.num_negative[row])
        if not (positive and negative):
            raise ValueError(
                f"The direction {name!r} needs images with and without it, got {positive} with and {negative} without; "
                "use more images."
            )
        return self.vectors[row]


def attribute_directions(
    model: DequantizedFlow,
    source: ImageSource,
    seed: int = 0,
    batch_size: int = DEFAULT_BATCH_SIZE,
    jit_compile: bool = False,
) -> Directions:
    """Directions of all attributes of a split, in one pass over it.

    Args:
      model: Flow whose latents are used.
      source: Split with attributes.
      seed: Seed of the dequantization noise; that of an image depends only on the seed and the image's position.
      batch_size: Images encoded at once.
      jit_compile: Whether XLA compiles the flow.

    Returns:
      `Directions`. Images whose latents are not finite are left out, with a warning.

    Raises:
      ValueError: If the data set has no attributes, or they are not +1 or -1.
    """
    if source.attributes is None:
        raise ValueError(
            f"The data set {source.name!r} has no attributes loaded; load it with its attributes, or use the "
            "directions of its classes."
        )
    attributes = np.asarray(source.attributes)
    if attributes.shape != (source.num_images, len(source.attribute_names)) or not np.isin(attributes, [1, -1]).all():
        raise ValueError(
            f"The attributes of {source.name!r} must be +1 or -1, one per image and name: "
            f"[{source.num_images}, {len(source.attribute_names)}], got shape {list(attributes.shape)}."
        )

    def positive(batch, rows):
        return attributes[batch["index"].numpy()[rows]] > 0

    return _directions(model, source, source.attribute_names, positive, seed, batch_size, jit_compile)


def class_directions(
    model: DequantizedFlow,
    source: ImageSource,
    seed: int = 0,
    batch_size: int = DEFAULT_BATCH_SIZE,
    jit_compile: bool = False,
) -> Directions:
    """Directions of the classes of a split, each against all others, in one pass; for data sets without attributes.

    The arguments and the result are those of `attribute_directions`.

    Raises:
      ValueError: If the data set has no labels.
    """
    if not source.labels_available:
        raise ValueError(f"The data set {source.name!r} has no labels, so there are no directions of its classes.")
    classes = np.arange(source.num_classes)

    def positive(batch, rows):
        return batch["label"].numpy()[rows, None] == classes

    names = tuple(str(number) for number in classes)
    return _directions(model, source, names, positive, seed, batch_size, jit_compile)


def _directions(model, source, names, positive_of, seed, batch_size, jit_compile):
    """Directions by `positive_of(batch, rows)`, bool `[len(rows), num_attributes]`; keeps sums, never all latents."""
    codec = LatentCodec(model, min(batch_size, source.num_images), jit_compile)
    num_dimensions = int(np.prod(codec.latent_shape))
    positive_sum = np.zeros([len(names), num_dimensions])
    total_sum = np.zeros([num_dimensions])
    num_positive, num_seen = np.zeros([len(names)], np.int64), 0
    num_read = 0
    batches = evaluation_batches(source, global_batch_size=codec.batch_size, seed=seed)
    with Task("encoding", source.num_images, compiles=True) as task:
        for batch in reading(source, batches):
            latents = codec.encode_batch(batch["image"], batch["label"], seed, batch["index"][0])
            latents = latents.reshape(len(latents), -1).astype(np.float64)
            mask = batch["mask"].numpy()
            rows = np.flatnonzero(mask & np.isfinite(latents).all(axis=1))
            positive = positive_of(batch, rows)
            positive_sum += positive.T.astype(np.float64) @ latents[rows]
            total_sum += latents[rows].sum(axis=0)
            num_positive += positive.sum(axis=0)
            num_seen += len(rows)
            num_read += int(mask.sum())
            task.update(num_read)
    if num_seen < num_read:
        logging.warning(
            "%d of %d images have latents that are not finite and were left out.", num_read - num_seen, num_read
        )
    num_negative = num_seen - num_positive
    with np.errstate(divide="ignore", invalid="ignore"):
        vectors = positive_sum / num_positive[:, None] - (total_sum - positive_sum) / num_negative[:, None]
    vectors[(num_positive == 0) | (num_negative == 0)] = np.nan
    return Directions(tuple(names), vectors.astype(np.float32), num_positive, num_negative)


def save_directions(
    path: str | os.PathLike, directions: Directions, made_from: Mapping[str, Any] | None = None
) -> None:
    """Writes directions as .npz, atomically; makes the directory.

    Args:
      path: Path of the file.
      directions: Directions to write.
      made_from: JSON-able mapping that says what they were computed from (data set, checkpoint, seed, ...).
    """
    path = pathlib.Path(os.fspath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez(
        buffer,
        names=np.array(directions.names, dtype=np.str_),
        vectors=directions.vectors,
        num_positive=directions.num_positive,
        num_negative=directions.num_negative,
        made_from=np.array(_canonical(made_from)),
    )
    atomic_write(path, buffer.getvalue())


def load_directions(path: str | os.PathLike, made_from: Mapping[str, Any] | None = None) -> Directions:
    """Reads what `save_directions` wrote.

    Raises:
      FileNotFoundError: If there is no such file.
      ValueError: If the file does not hold directions, or `made_from` is given and is not what they were computed from.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            directions = Directions(
                tuple(str(name) for name in arrays["names"]),
                arrays["vectors"],
                arrays["num_positive"],
                arrays["num_negative"],
            )
            stored = str(arrays["made_from"])
    except (EOFError, KeyError, zipfile.BadZipFile, ValueError) as error:
        raise ValueError(f"{path} does not hold directions; delete it to compute them again ({error}).") from error
    if made_from is not None and stored != _canonical(made_from):
        raise ValueError(f"{path} holds directions computed from {stored}, not from {_canonical(made_from)}.")
    return directions


def cached_directions(
    path: str | os.PathLike, made_from: Mapping[str, Any], compute: Callable[[], Directions]
) -> Directions:
    """The directions in a file if they were computed from `made_from`; otherwise those of `compute()`, saved there.

    Args:
      path: Path of the .npz file.
      made_from: JSON-able mapping of whatever changes the directions, above all the checkpoint's step.
      compute: Function that computes the directions.

    Returns:
      The directions, read or computed.
    """
    try:
        return load_directions(path, made_from)
    except FileNotFoundError:
        pass
    except ValueError as error:
        logging.warning("Computing the directions again: %s", error)
    directions = compute()
    save_directions(path, directions, made_from)
    return directions


def _canonical(made_from):
    return json.dumps(made_from, sort_keys=True)
