"""Where images come from: one interface to memory, files read on demand, and record streams.

Every source knows its split, its number of images and the shape it delivers. The two families differ in how the pipeline
addresses them: `ArraySource` and `OnDemandSource` by position, `RecordSource` as a stream.
"""

import concurrent.futures
import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from tfflows.files import first_line

_NAMED = 3  # files that a report names


@dataclasses.dataclass(eq=False, kw_only=True, repr=False)
class ImageSource:
    """One split of one data set.

    Attributes:
      name: Name of the data set.
      split: 'train', 'test' or 'holdout'.
      num_images: Number of images in the split.
      image_shape: `(height, width, channels)` of each image, uint8.
      num_classes: Number of classes, 0 if there are no labels (they are then all zero).
      class_names: Names of the classes in the order of the labels; empty if they have none.
      random_crop: Whether each read takes a crop at a random place.
      attributes: int8 `[num_images, num_attributes]` of +1 and -1 in the order of the split, or None.
      attribute_names: Names of the columns of `attributes`.
      skipped: What was left out and why, such as `a.png (cannot be read as an image: ...)`.
      notes: What was done to the images beyond decoding, each in a few words.
      files: Paths of the images within their folder, in the order of the split; empty if they are no files of their own.
      digest: Hash of all images; empty if it is not known.
    """

    name: str
    split: str
    num_images: int
    image_shape: tuple[int, int, int]
    num_classes: int = 0
    class_names: tuple[str, ...] = ()
    random_crop: bool = False
    attributes: np.ndarray | None = None
    attribute_names: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    digest: str = ""

    def __post_init__(self):
        if self.num_images < 1:
            raise ValueError(f"Data set {self.name!r}, split {self.split!r} holds no images.")

    @property
    def labels_available(self) -> bool:
        """Whether the labels mean anything."""
        return self.num_classes > 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.report()}>"

    def report(self) -> str:
        """What was read, in a line: the number of images and their shape, what was left out, and what was done to them.

        Example:
          >>> import numpy as np
          >>> from tfflows.data import array_source
          >>> array_source(np.zeros([3, 4, 6, 1], np.uint8), name="mine").report()
          'mine, train: 3 images of 4x6x1'
        """
        count = f"{self.num_images:,} image{'s' if self.num_images > 1 else ''}"
        parts = [f"{self.name}, {self.split}: {count} of {'x'.join(map(str, self.image_shape))}"]
        if self.skipped:
            more = f" and {len(self.skipped) - _NAMED:,} more" if len(self.skipped) > _NAMED else ""
            parts.append(f"{len(self.skipped):,} skipped: {', '.join(self.skipped[:_NAMED])}{more}")
        return "; ".join([", ".join(parts), *self.notes])

    def damage(self) -> str | None:
        """What is wrong with the files, in a sentence that names one; to be asked after reading has failed."""
        return None


@dataclasses.dataclass(eq=False, kw_only=True, repr=False)
class ArraySource(ImageSource):
    """A split in memory.

    Attributes:
      images: uint8 `[num_images, height, width, channels]`.
      labels: int32 `[num_images]`, zeros if the set has no labels.
    """

    images: np.ndarray = None
    labels: np.ndarray = None

    def __post_init__(self):
        super().__post_init__()
        expected = (self.num_images, *self.image_shape)
        if self.images.shape != expected or self.images.dtype != np.uint8:
            raise ValueError(
                f"Data set {self.name!r}: expected uint8 images {expected}, got {self.images.dtype} {self.images.shape}."
            )
        if self.labels is None:
            self.labels = np.zeros([self.num_images], np.int32)
        self.labels = np.asarray(self.labels, np.int32)
        with tf.init_scope(), tf.device("CPU:0"):  # never on an accelerator: batches are cut on the CPU
            self._image_tensor = tf.convert_to_tensor(self.images)
            self._label_tensor = tf.convert_to_tensor(self.labels)

    def read(self, positions: tf.Tensor, crop_uniforms: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
        """Images and labels at `positions` (int64 `[B]`); `crop_uniforms` is not used in memory."""
        del crop_uniforms
        return tf.gather(self._image_tensor, positions), tf.gather(self._label_tensor, positions)


def array_source(
    images: np.ndarray, labels: np.ndarray | None = None, *, name: str = "array", split: str = "train"
) -> ArraySource:
    """A source of images in memory.

    Args:
      images: uint8 `[N, H, W, C]`, N at least 1.
      labels: None, or integers `[N]`, at least 0.
      name: Name of the data set, for messages.
      split: Name of the split.

    Raises:
      ValueError: If the images are not uint8, not of rank 4 or empty, or the labels do not belong to them.

    Example:
      >>> import numpy as np
      >>> from tfflows.data import array_source
      >>> source = array_source(np.zeros([3, 4, 4, 1], np.uint8), labels=[0, 1, 1])
      >>> print(source.num_images, source.image_shape, source.num_classes)
      3 (4, 4, 1) 2
    """
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or not images.size:
        raise ValueError(
            f"Images must be a uint8 array [N, H, W, C] that is not empty, got {images.dtype} {list(images.shape)}."
        )
    num_classes = 0
    if labels is not None:
        labels = np.asarray(labels)
        if labels.shape != images.shape[:1] or not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
            raise ValueError(
                f"Labels must be {len(images)} integers of at least 0, one per image, got {labels.dtype} {list(labels.shape)}."
            )
        num_classes = int(labels.max()) + 1
    return ArraySource(
        name=name,
        split=split,
        num_images=len(images),
        image_shape=images.shape[1:],
        num_classes=num_classes,
        images=images,
        labels=labels,
    )


def as_source(
    images: ImageSource | np.ndarray | tuple, labels: np.ndarray | None = None, *, split: str = "train"
) -> ImageSource:
    """Makes an `ImageSource` of what a caller may give.

    Args:
      images: An `ImageSource`, which is returned as it is; uint8 images `[N, H, W, C]`; or a pair `(images, labels)`.
      labels: None, or integers `[N]` for an array of images.
      split: Name of the split, for images in memory.

    Raises:
      ValueError: As for `array_source`, or if labels are given to what has its own.
    """
    if isinstance(images, ImageSource | tuple) and labels is not None:
        raise ValueError("Labels are given twice: images that are an ImageSource or a pair have their own.")
    if isinstance(images, ImageSource):
        return images
    if isinstance(images, tuple):
        if len(images) != 2:
            raise ValueError(
                f"Images must be an array, an ImageSource or a pair (images, labels), got {len(images)} parts."
            )
        images, labels = images
    return array_source(images, labels, split=split)


@dataclasses.dataclass(eq=False, kw_only=True, repr=False)
class OnDemandSource(ImageSource):
    """A split whose images are read and decoded one by one, at any position.

    Attributes:
      read_image: `(position, crop_uniforms [2] or None) -> uint8 [height, width, channels]`; thread-safe.
      labels: int32 `[num_images]`, zeros if the set has no labels.
    """

    read_image: Callable[[int, np.ndarray | None], np.ndarray] = None
    labels: np.ndarray = None

    def __post_init__(self):
        super().__post_init__()
        if self.labels is None:
            self.labels = np.zeros([self.num_images], np.int32)
        self.labels = np.asarray(self.labels, np.int32)
        self._failure = None
        self._threads = concurrent.futures.ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="read")

    def damage(self) -> str | None:
        """What the first image that could not be read raised."""
        return self._failure

    def read(self, positions: tf.Tensor, crop_uniforms: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
        """Images and labels at `positions` (int64 `[B]`), cropped by `crop_uniforms` (`[B, 2]`)."""

        def read_batch(positions, uniforms):
            crops = uniforms if self.random_crop else [None] * len(positions)
            try:
                images = np.stack(list(self._threads.map(self.read_image, positions.tolist(), crops)))
            except (ValueError, OSError) as error:  # TensorFlow would wrap it in its own
                self._failure = self._failure or str(error)
                raise
            return images, self.labels[positions]

        if crop_uniforms is None:
            crop_uniforms = tf.zeros([tf.size(positions), 2])
        images, labels = tf.numpy_function(read_batch, [positions, crop_uniforms], [tf.uint8, tf.int32])
        batch_size = positions.shape[0]
        return (
            tf.ensure_shape(images, [batch_size, *self.image_shape]),
            tf.ensure_shape(labels, [batch_size]),
        )


@dataclasses.dataclass(frozen=True)
class RecordFile:
    """A stretch of a TFRecord file: `num_records` records after the first `num_skipped`."""

    path: str
    num_skipped: int
    num_records: int


@dataclasses.dataclass(eq=False, kw_only=True, repr=False)
class RecordSource(ImageSource):
    """A split too large for memory, streamed from TFRecord files and decoded late.

    Attributes:
      files: Where the records lie, in the order of the split.
      decode: Serialized record (scalar string) -> (uint8 image of `image_shape`, int32 label).
    """

    files: Sequence[RecordFile] = ()
    decode: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]] = None

    def damage(self) -> str | None:
        """Reads all files until one is not whole."""
        return next(filter(None, map(find_damage, self.files)), None)


def in_color(source: ImageSource) -> ImageSource:
    """A source of grey images with three equal channels each, for models of images in color.

    Args:
      source: A source of images with one channel.

    Raises:
      ValueError: If its images have another number of channels.

    Example:
      >>> import numpy as np
      >>> from tfflows.data import array_source
      >>> from tfflows.data.sources import in_color
      >>> print(in_color(array_source(np.zeros([3, 4, 4, 1], np.uint8))).image_shape)
      (4, 4, 3)
    """
    height, width, channels = source.image_shape
    if channels != 1:
        raise ValueError(f"Only grey images are given three equal channels; those of {source.name} have {channels}.")
    if isinstance(source, ArraySource):
        changes = {"images": np.repeat(source.images, 3, axis=-1)}
    elif isinstance(source, OnDemandSource):
        changes = {"read_image": lambda *place: np.repeat(source.read_image(*place), 3, axis=-1)}
    else:

        def decode(record):
            image, label = source.decode(record)
            return tf.repeat(image, 3, axis=-1), label

        changes = {"decode": decode}
    notes = (*source.notes, "the grey images were given three equal channels")
    return dataclasses.replace(source, image_shape=(height, width, 3), notes=notes, **changes)


_READ_BUFFER_BYTES = 8 * 2**20


def file_table(files: Sequence[RecordFile]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The three columns of `files` as tensors: the arguments of `read_file`."""
    return (
        tf.constant([file.path for file in files]),
        tf.constant([file.num_skipped for file in files], tf.int64),
        tf.constant([file.num_records for file in files], tf.int64),
    )


def read_file(path: tf.Tensor | str, num_skipped: tf.Tensor | int, num_records: tf.Tensor | int) -> tf.data.Dataset:
    """The serialized records of one stretch of a file; reading fails if it holds fewer."""
    records = tf.data.TFRecordDataset(path, buffer_size=_READ_BUFFER_BYTES)
    return records.skip(num_skipped).take(num_records).apply(tf.data.experimental.assert_cardinality(num_records))


def read_in_order(files: Sequence[RecordFile]) -> tf.data.Dataset:
    """The serialized records of all `files`, one file after the other."""
    return tf.data.Dataset.from_tensor_slices(file_table(files)).flat_map(read_file)


def find_damage(file: RecordFile) -> str | None:
    """Reads a TFRecord file; None if its stretch is whole, otherwise a sentence that says what is wrong."""
    found = 0
    try:
        for _ in tf.data.TFRecordDataset(file.path, buffer_size=_READ_BUFFER_BYTES).as_numpy_iterator():
            found += 1
    except tf.errors.OpError as error:
        return f"{file.path} cannot be read beyond record {found}: {first_line(error)}. Prepare the data set again."
    needed = file.num_skipped + file.num_records
    if found < needed:
        return f"{file.path} is cut off: it has {found} records of {needed}. Prepare the data set again."
    return None


@contextlib.contextmanager
def naming_damage(source: ImageSource, only_reading: bool = False) -> Iterator[None]:
    """A context in which TensorFlow's errors in reading a source become a ValueError that names the damaged file.

    Args:
      source: The source.
      only_reading: Whether nothing but reading happens in the context. Otherwise the errors of reading are told by their text.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if not only_reading and "GetNext" not in str(error):
            raise
        damage = source.damage() or f"Data set {source.name!r} cannot be read: {first_line(error)}."
        raise ValueError(damage) from error


def reading(source: ImageSource, batches: Iterable) -> Iterator:
    """The batches of a source; where reading fails, `naming_damage` says why."""
    iterator = iter(batches)
    while True:
        with naming_damage(source, only_reading=True):
            try:
                batch = next(iterator)
            except StopIteration:
                return
        yield batch


def stored_name(split: str) -> str:
    """The stored split that a split is cut from: 'holdout' lies in 'train'."""
    return "train" if split == "holdout" else split


def stretch(
    name: str,
    split: str,
    first: int,
    last: int,
    *,
    holdout: int | None,
    max_images: int | None,
) -> tuple[int, int]:
    """Cuts a split out of the stored images `first` to `last - 1`.

    'train' leaves out the last `holdout` images, 'holdout' is those, and 'test' is untouched; then the first `max_images` are
    kept.

    Returns:
      First image and one past the last.

    Raises:
      ValueError: If `holdout` leaves no training image.

    Example:
      >>> from tfflows.data.sources import stretch
      >>> for split in ("train", "holdout"):
      ...     print(split, stretch("digits", split, 0, 100, holdout=10, max_images=None))
      train (0, 90)
      holdout (90, 100)
    """
    if holdout and split != "test":
        if holdout >= last - first:
            raise ValueError(f"holdout={holdout} leaves none of the {last - first} training images of {name!r}.")
        middle = last - holdout
        first, last = (middle, last) if split == "holdout" else (first, middle)
    if max_images is not None:
        last = min(last, first + max_images)
    return first, last


class DatasetNotFoundError(FileNotFoundError):
    """A known data set is not on this machine; the message says where it was looked for and how to prepare it."""

    def __init__(
        self,
        name: str,
        looked_in: str | os.PathLike | Sequence,
        how_to_prepare: str,
        fault: str = "was not found",
        *,
        in_data_dir: bool = True,
    ) -> None:
        if not isinstance(looked_in, (list, tuple)):
            looked_in = [looked_in]
        places = "\n".join(f"    {place}" for place in looked_in)
        super().__init__(
            f"The data set {name!r} {fault}. Looked in:\n{places}\n"
            f"To prepare it: {how_to_prepare}"
            + ("\nIf it is prepared elsewhere, give that directory as data_dir." if in_data_dir else ".")
        )
        self.in_data_dir = in_data_dir
        self.name = name
        self.looked_in = tuple(str(place) for place in looked_in)


class DatasetFingerprintError(ValueError):
    """A data set has another number of images than the published one, so its results would not be comparable."""

    def __init__(self, name: str, split: str, expected: int, found: int, note: str = "") -> None:
        super().__init__(
            f"Data set {name!r}, split {split!r}: expected {expected:,} images, found {found:,}. "
            "This is not the data set of the published results"
            + (f" ({note})" if note else "")
            + ". Prepare the right one, or take a subset on purpose with max_images."
        )
        self.expected = expected
        self.found = found
