"""Samples of a model at several temperatures: as grids to look at, as single images, or as an array."""

import functools
import math
import os
import pathlib
import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from tfflows.devices.cores import parts_of_batch
from tfflows.devices.strategies import side_by_side
from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.distributions.image_model import ImageModel
from tfflows.evaluation.grids import (
    captioned_grid,
    check_captions,
    is_drawable,
    join_caption,
    near_square_columns,
)
from tfflows.evaluation.latents import DEFAULT_BATCH_SIZE, LatentCodec, is_conditional
from tfflows.files import as_file_name, atomic_directory, atomic_file, atomic_write, remove_leftovers
from tfflows.math.random import row_keys
from tfflows.progress import Task
from tfflows.tracing.finite import naming_singular
from tfflows.tracing.sampler import compiled_pixels
from tfflows.tracing.together import computing_together

_SUFFIXES = {"grid": ".png", "files": "", "npy": ".npy"}
FORMS = tuple(_SUFFIXES)
"""What samples can be written as: one PNG of all, a directory of single PNGs, or one array."""


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


def write_samples(
    model: ImageModel,
    directory: str | os.PathLike,
    num_samples: int,
    temperatures: Sequence[float],
    seed: int,
    form: str = "grid",
    *,
    label: int | None = None,
    num_classes: int = 0,
    class_names: Sequence[str] = (),
    step: int | None = None,
    caption: str | None = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
    padding: int = 4,
    jit_compile: bool = False,
) -> list[pathlib.Path]:
    """Writes samples of each temperature, which all show the same noise, to the paths that `sample_path` gives.

    - `grid`: One PNG, enlarged to be looked at; see `captioned_grid`. That of a conditional model has one row per class and
      `ceil(num_samples / num_classes)` columns; if there are more classes than samples, it shows the first
      `ceil(sqrt(num_samples))` classes. With `label`, and for unconditional models, the grid is nearly square. In those of an
      `AGAVE`, each sample stands to the right of the `f(z)` that it was drawn given.
    - `files`: A directory of PNGs, one per sample: `00000.png`, `00001.png`, ...
    - `npy`: A uint8 array `[num_samples, H, W, C]`.

    In the last two, sample i of a conditional model without `label` is of class i modulo `num_classes`, and an array `labels.npy`
    (`..._labels.npy` beside an array), int32 `[num_samples]`, says so. They are written batch by batch, so that any number of
    samples takes the memory of one batch. Files and directories appear when they are whole.

    Args:
      model: Flow or other model to sample from.
      directory: Directory to write to; made if needed.
      num_samples: Number of samples; rounded up to full rows in a grid with one row per class.
      temperatures: Factors of the noise, finite and at least 0.
      seed: Seed of the noise; that of sample i depends on (seed, i) alone.
      form: One of `FORMS`.
      label: The only class to sample, for conditional models only; None: all classes.
      num_classes: Number of classes of a conditional model.
      class_names: Names of the classes, if they have names.
      step: Training step of the model's parameters, for the file names.
      caption: Text for the caption of grids, to which class, temperature and seed are added; may be empty. None: no texts at all;
        Pillow is needed only for texts.
      batch_size: Images drawn at once.
      padding: Margins of a grid in pixels.
      jit_compile: Whether XLA compiles a flow, or the loop over pixels of an autoregressive model.

    Returns:
      Paths of the files or directories, one per temperature.

    Raises:
      MissingExtraError: If there is a caption and Pillow is not installed; nothing is computed then.
      ValueError: If a number is out of range, or `form`, `label`, `num_classes` or `class_names` do not fit.

    References:
      Kingma & Dhariwal 2018, figure 8, https://arxiv.org/abs/1807.03039; Lucas & Verbeek 2018, figure 1,
      https://arxiv.org/abs/1711.11479.
    """
    temperatures = list(temperatures)
    _check_counts(num_samples, temperatures)
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, got {form!r}.")
    conditional = is_conditional(model)
    _check_label(conditional, label, num_classes)
    if conditional and class_names and len(class_names) != num_classes:
        raise ValueError(f"class_names needs a name for each of {num_classes} classes, got {len(class_names)}.")
    check_captions(caption if form == "grid" else None)

    labels, num_columns = _labels_and_columns(num_samples, form, conditional, label, num_classes)
    num_images = num_samples if labels is None else len(labels)
    draw = _drawing(model, num_images, seed, labels, batch_size, jit_compile)
    own_name = class_names[label] if label is not None and class_names else ""
    rows = labels[::num_columns] if form == "grid" and conditional and label is None else []
    row_names = [_row_name(number, class_names) for number in rows]
    of_class = "" if label is None else f"class {_class_name(label, class_names)}, "
    paths = []
    with Task("sampling", num_images * len(temperatures), compiles=True) as task:
        for temperature in temperatures:
            path = sample_path(directory, temperature, seed, num_samples, step, label, own_name, form)
            path.parent.mkdir(parents=True, exist_ok=True)
            batches = _shown(draw(temperature), task)
            if form == "grid":
                images = np.concatenate(list(batches))
                if caption is None:
                    grid = _sample_grid(images, num_columns, padding)
                else:
                    says = f"{of_class}temperature {temperature:g}, seed {seed}"
                    grid = _sample_grid(images, num_columns, padding, join_caption(caption, says), row_names)
                write_png(path, grid)
            else:
                remove_leftovers(path)
                samples = (batch[:, -1] for batch in batches)
                write = _write_files if form == "files" else _write_array
                write(path, samples, [num_images, *model.image_shape.as_list()], labels)
            paths.append(path)
    return paths


def _labels_and_columns(num_samples, form, conditional, label, num_classes):
    """Labels of the images, None for an unconditional model, and the number of columns of a grid of them."""
    if not conditional:
        return None, near_square_columns(num_samples)
    if label is not None:
        return np.full([num_samples], label, np.int32), near_square_columns(num_samples)
    if form == "grid":
        return _labels_by_row(num_samples, num_classes)
    return np.arange(num_samples, dtype=np.int32) % num_classes, 1


def _labels_by_row(num_samples, num_classes):
    """Labels of the images of a grid with one row per class, and its number of columns."""
    num_rows = num_classes
    if num_samples < num_classes:
        num_rows = near_square_columns(num_samples)
        logging.info("%d samples are too few for %d classes: showing the first %d.", num_samples, num_classes, num_rows)
    num_columns = -(-num_samples // num_rows)
    return np.repeat(np.arange(num_rows, dtype=np.int32), num_columns), num_columns


def _drawing(model, num_images, seed, labels, batch_size, jit_compile) -> Callable[[float], Iterator[np.ndarray]]:
    """Function that gives the images of a temperature as batches `[b, columns, H, W, C]`; the last column holds the samples."""
    if isinstance(model, DequantizedFlow):
        codec = LatentCodec(model, min(batch_size, num_images), jit_compile)
        return lambda temperature: (
            batch[:, None] for batch in codec.sample_batches(num_images, seed, temperature, labels)
        )
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
    size = min(batch_size, num_images)
    # The last batch is filled up.
    rows = np.zeros([num_images], np.int32) if labels is None else labels
    rows = np.pad(rows, [0, -num_images % size], mode="edge")

    def draw_part(index, labels, temperature):
        keys, count = row_keys(seed, 0, index[0]), index.shape[0]
        with compiled_pixels(jit_compile):
            return tf.stack(model.sample_with_means(count, keys, temperature, model.condition_of(labels)), axis=1)

    num_parts = 1 if jit_compile else parts_of_batch(None, size)

    def draw_batch(start, labels, temperature):
        part = functools.partial(draw_part, temperature=temperature)
        return side_by_side(part, (start + tf.range(size, dtype=tf.int64), labels), num_parts)

    draw = tf.function(computing_together(model, draw_batch), autograph=False)

    def batches(temperature):
        for start in range(0, num_images, size):
            own = tf.constant(rows[start : start + size])
            arguments = tf.constant(start, tf.int64), own, tf.constant(temperature, tf.float32)
            with naming_singular(functools.partial(draw.python_function, *arguments)):
                drawn = draw(*arguments)
            yield drawn.numpy()[: num_images - start]

    return batches


def _shown(batches, task):
    """Yields batches, and says how many images there are so far."""
    for batch in batches:
        task.advance(len(batch))
        yield batch


def _sample_grid(images, num_columns, padding, caption="", row_names=()):
    """The picture of images `[N, columns, H, W, C]`; with a caption also the columns are named."""
    num_kinds = images.shape[1]
    images = images.reshape([-1, *images.shape[2:]])
    column_names = ["f(z)", "sample"] * num_columns if caption and num_kinds == 2 else []
    return captioned_grid(images, num_kinds * num_columns, padding, caption, row_names, column_names)


def _class_name(label, class_names):
    """What a picture calls a class: its name, or its number if it has none that can be drawn."""
    name = class_names[label].strip() if class_names else ""
    return name if name and is_drawable(name) else str(label)


def _row_name(label, class_names):
    name = _class_name(label, class_names)
    return f"class {name}" if name.isdecimal() else name


def _write_files(path, samples, shape, labels):
    digits = max(5, len(str(shape[0] - 1)))
    number = 0
    with atomic_directory(path) as directory:
        if labels is not None:
            np.save(directory / "labels.npy", labels)
        for batch in samples:
            for image in batch:
                (directory / f"{number:0{digits}}.png").write_bytes(tf.io.encode_png(image).numpy())
                number += 1


def _write_array(path, samples, shape, labels):
    if labels is not None:  # first, so that an array has its labels
        with atomic_file(path.with_name(f"{path.stem}_labels.npy")) as file:
            np.save(file, labels)
    with atomic_file(path) as file:
        # Not a memory map, which a full disk ends with a signal in place of an error.
        header = {
            "descr": np.lib.format.dtype_to_descr(np.dtype(np.uint8)),
            "fortran_order": False,
            "shape": tuple(shape),
        }
        np.lib.format.write_array_header_1_0(file, header)
        for batch in samples:
            file.write(np.ascontiguousarray(batch).tobytes())


def sample_path(
    directory: str | os.PathLike,
    temperature: float,
    seed: int,
    num_samples: int,
    step: int | None = None,
    label: int | None = None,
    class_name: str = "",
    form: str = "grid",
) -> pathlib.Path:
    """The path of samples, whose name says all that they depend on but the model.

    The temperature has two decimals, or more where two would not tell which temperature it is.

    Args:
      directory: Directory of the samples.
      temperature: Factor of the noise.
      seed: Seed of the noise.
      num_samples: Number of samples that was asked for.
      step: Training step of the model's parameters; None: not in the name.
      label: The only class that is sampled; None: not in the name.
      class_name: Its name, if it has one.
      form: One of `FORMS`: a PNG file, a directory or a file of an array.

    Example:
      >>> from tfflows.evaluation.samples import sample_path
      >>> print(sample_path("pictures", 0.7, seed=0, num_samples=64, step=300).name)
      samples_step_300_temperature_0.70_seed_0_images_64.png
      >>> print(sample_path("pictures", 0.705, 1, 9, label=8, class_name="ship", form="npy").name)
      samples_temperature_0.705_seed_1_images_9_label_8_ship.npy
    """
    of_step = "" if step is None else f"step_{step}_"
    name = f"samples_{of_step}temperature_{_in_name(temperature)}_seed_{seed}_images_{num_samples}"
    if label is not None:
        name += f"_label_{numbered_name(label, class_name)}"
    return pathlib.Path(directory) / f"{name}{_SUFFIXES[form]}"


def numbered_name(number: int, name: str) -> str:
    """A class or an attribute in the name of a file: its number, which tells it from all others, and its name.

    Example:
      >>> from tfflows.evaluation.samples import numbered_name
      >>> numbered_name(8, "ship"), numbered_name(3, "3"), numbered_name(0, "black/white")
      ('8_ship', '3', '0_black_white')
    """
    safe = as_file_name(name)
    return f"{number}_{safe}" if safe and safe != str(number) else str(number)


def find_samples(directory: str | os.PathLike, temperature: float) -> list[pathlib.Path]:
    """What was written of samples of a temperature, of any step, seed, number, label and form.

    Also found is what earlier versions wrote, such as `samples_temperature_0.70.png`.

    Example:
      >>> import pathlib, tempfile
      >>> from tfflows.evaluation.samples import find_samples
      >>> with tempfile.TemporaryDirectory() as directory:
      ...     for name in ("samples_temperature_0.70.png", "samples_step_3_temperature_1.00_seed_0_images_9.npy"):
      ...         pathlib.Path(directory, name).touch()
      ...     print([path.suffix for path in (*find_samples(directory, 0.7), *find_samples(directory, 1.0))])
      ['.png', '.npy']
    """
    directory = pathlib.Path(directory)
    pattern = re.compile(
        rf"samples_(step_\d+_)?temperature_{re.escape(_in_name(temperature))}(\.png|_seed_.*(?<!_labels\.npy))"
    )
    return sorted(path for path in directory.iterdir() if pattern.fullmatch(path.name)) if directory.is_dir() else []


def _in_name(temperature):
    short = f"{temperature:.2f}"
    return short if float(short) == temperature else repr(float(temperature))


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
