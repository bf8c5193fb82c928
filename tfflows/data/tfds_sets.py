"""Data sets prepared by TensorFlow Datasets; nothing here ever downloads."""

import glob
import os
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from tfflows.data import celeba, preprocessing
from tfflows.data.pipeline import without_tuner
from tfflows.data.registry import DatasetSpec
from tfflows.data.sources import (
    ArraySource,
    DatasetFingerprintError,
    DatasetNotFoundError,
    ImageSource,
    RecordFile,
    RecordSource,
    find_damage,
    read_in_order,
    stored_name,
    stretch,
)
from tfflows.files import first_line

# A split that decodes to at most this many bytes is held in memory: reading is then random access.
IN_MEMORY_BYTES = 2**30


def load(
    spec: DatasetSpec,
    split: str,
    data_dir: str | os.PathLike | None,
    image_size: int,
    max_images: int | None,
    holdout: int | None,
    attributes_file: str | os.PathLike | None = None,
) -> ImageSource:
    """Opens one split of a TFDS data set; see `tfflows.data.load_dataset`.

    Raises:
      DatasetNotFoundError: If nothing is prepared in `data_dir`.
      DatasetFingerprintError: If the number of images is not the published one.
      ValueError: If the stored set has no such split or images of another size, or cannot be read.
    """
    builder = open_builder(spec, data_dir)
    stored_split = spec.splits[stored_name(split)]
    stored = builder.info.splits or {}  # empty where `tfds.testing.mock_data` stands in
    if stored and stored_split not in stored:
        raise ValueError(
            f"Data set {spec.name!r} in {builder.data_path} has no split {stored_split!r}; it has: {', '.join(stored)}."
        )
    num_stored = stored[stored_split].num_examples if stored else None
    first, last = _stored_range(spec, split, num_stored, max_images, holdout)
    image_shape = (image_size, image_size, spec.num_channels)
    common = dict(
        name=spec.name,
        split=split,
        image_shape=image_shape,
        num_classes=spec.num_classes,
        class_names=spec.class_names,
    )
    if attributes_file is not None:
        names, attributes = celeba.load_celeba_hq_attributes(attributes_file)
        numbers = celeba.image_numbers(_file_names(builder, stored_split))
        common.update(attribute_names=names, attributes=attributes[numbers[first:last]])
    source = read_split(builder, stored_split, first, last, _prepare(spec, image_shape), common)
    if source.num_images != last - first and max_images is None:
        raise DatasetFingerprintError(spec.name, split, last - first, source.num_images, spec.notes)
    return source


def read_split(
    builder: tfds.core.DatasetBuilder, stored_split: str, first: int, last: int, prepare: Callable, common: Mapping
) -> ImageSource:
    """Opens records `first` to `last - 1` of a stored split: in memory if they fit there, otherwise as a stream.

    Args:
      builder: Builder of a prepared data set.
      stored_split: Name of the split.
      first: First record.
      last: One past the last record. In memory there may be fewer.
      prepare: Function `decoded example -> (uint8 image, int32 label)` of graph operations.
      common: Arguments of `ImageSource` without `num_images`.

    Raises:
      ValueError: If the records cannot be read.
    """
    image_shape, name = common["image_shape"], common["name"]
    if (last - first) * int(np.prod(image_shape)) <= IN_MEMORY_BYTES:
        try:
            images, labels = _read_in_memory(builder, stored_split, first, last, image_shape, prepare)
        except tf.errors.OpError as error:
            files = _record_files(builder, stored_split, first, last) if _is_streamed(builder) else []
            damage = next(filter(None, map(find_damage, files)), None)
            raise ValueError(damage or f"Data set {name!r} cannot be read: {first_line(error)}.") from error
        return ArraySource(num_images=len(images), images=images, labels=labels, **common)
    features = builder.info.features

    def decode(record):
        return prepare(features.deserialize_example(record))

    files = _record_files(builder, stored_split, first, last)
    return RecordSource(num_images=last - first, files=files, decode=decode, **common)


def open_builder(spec: DatasetSpec, data_dir: str | os.PathLike | None) -> tfds.core.DatasetBuilder:
    """The read-only builder of a prepared data set.

    Raises:
      DatasetNotFoundError: If nothing is prepared in `data_dir`.
    """
    data_dir = os.path.expanduser(str(data_dir)) if data_dir else _default_data_dir()
    root = os.path.join(data_dir, spec.origin)
    found = glob.glob(os.path.join(glob.escape(root), "*", "dataset_info.json"))
    if found:
        directory = max(map(os.path.dirname, found), key=_version_key)
        try:
            return tfds.builder_from_directory(directory)
        except Exception as error:  # whatever a garbled file makes of TFDS
            raise ValueError(
                f"The description of the data set {spec.name!r} in {directory} cannot be read: {first_line(error)}. "
                "Prepare the data set again."
            ) from error
    try:  # finds nothing on disk either, but serves `tfds.testing.mock_data`
        builder = tfds.builder(spec.origin, data_dir=data_dir, try_gcs=False)
        builder.as_dataset(split=spec.splits["train"], shuffle_files=False)
    except (AssertionError, tfds.core.DatasetNotFoundError, FileNotFoundError):
        raise DatasetNotFoundError(spec.name, root, spec.prepare.replace("DIRECTORY", data_dir)) from None
    return builder


def _default_data_dir() -> str:
    return os.path.expanduser(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets"))


def _version_key(directory: str):
    parts = os.path.basename(directory).split(".")
    return tuple(int(part) if part.isdigit() else -1 for part in parts)


def _stored_range(spec, split, num_stored, max_images, holdout) -> tuple[int, int]:
    """First and one past last stored record of a split, after the fingerprint is checked."""
    base = stored_name(split)
    expected = spec.num_images[base]
    first, last = spec.stored_range.get(base, (0, expected))
    if num_stored is not None:
        expected_stored = max([last] + [stop for _, stop in spec.stored_range.values()])
        if num_stored != expected_stored and max_images is None:
            raise DatasetFingerprintError(spec.name, base, expected_stored, num_stored, spec.notes)
        # A smaller set (allowed by max_images) is divided in the same proportion.
        first, last = first * num_stored // expected_stored, last * num_stored // expected_stored
    return stretch(spec.name, split, first, last, holdout=holdout, max_images=max_images)


def _prepare(spec: DatasetSpec, image_shape):
    """(decoded example) -> (uint8 image of `image_shape`, int32 label), as graph operations."""
    image_size, _, channels = image_shape
    recipe, stored_shape = {
        "identity": (tf.identity, image_shape),
        "average_2x2": (preprocessing.average_2x2, (2 * image_size, 2 * image_size, channels)),
        "average_box": (
            lambda image: preprocessing.average_box(image, image_size),
            spec.image_shape,
        ),
        "celeba_square": (
            lambda image: preprocessing.celeba_square(image, image_size),
            preprocessing.CELEBA_SHAPE,
        ),
        "mnist": (preprocessing.pad_mnist, (28, 28, 1)),
        "imagenet_pyramid": (
            lambda image: preprocessing.imagenet_pyramid(image, image_size),
            None,  # photographs of any size
        ),
    }[spec.recipe]
    wrong_size = (
        f"Data set {spec.name!r} must be stored as images of {stored_shape}, but one has another "
        "size: this is not the data set of the published results."
    )

    def prepare(example):
        image = example["image"]
        if stored_shape is not None:
            check = tf.debugging.assert_equal(tf.shape(image), stored_shape, message=wrong_size)
            with tf.control_dependencies([check]):
                image = tf.ensure_shape(tf.identity(image), stored_shape)
        label = example["label"] if spec.num_classes else 0
        return recipe(image), tf.cast(label, tf.int32)

    return prepare


def _read_in_memory(builder, stored_split, first, last, image_shape, prepare):
    """Decodes a stretch of a split into arrays."""
    if _is_streamed(builder):  # takes half as long as `as_dataset`
        records = _record_files(builder, stored_split, first, last)
        features = builder.info.features
        dataset = read_in_order(records).map(
            lambda record: prepare(features.deserialize_example(record)),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
    else:
        split = stored_split
        if builder.info.splits:
            split = tfds.core.ReadInstruction(stored_split, from_=first, to=last, unit="abs")
        dataset = builder.as_dataset(
            split=split,
            shuffle_files=False,
            read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
        )
        dataset = dataset.take(last - first).map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
    images = np.zeros([last - first, *image_shape], np.uint8)
    labels = np.zeros([last - first], np.int32)
    num_read = 0
    for image_batch, label_batch in without_tuner(dataset.batch(512).prefetch(2)).as_numpy_iterator():
        rows = slice(num_read, num_read + len(image_batch))
        images[rows], labels[rows] = image_batch, label_batch
        num_read = rows.stop
    return images[:num_read], labels[:num_read]


def _is_streamed(builder) -> bool:
    return bool(builder.info.splits) and _is_tfrecord(builder)


def _is_tfrecord(builder) -> bool:
    return builder.info.file_format is None or builder.info.file_format.value == "tfrecord"


def _file_names(builder, stored_split) -> list[str]:
    """The stored file names of a whole split, in order; images are not decoded."""
    feature = {"image/filename": tf.io.FixedLenFeature([], tf.string)}
    num_stored = builder.info.splits[stored_split].num_examples
    records = read_in_order(_record_files(builder, stored_split, 0, num_stored)).batch(64)
    parsed = records.map(lambda batch: tf.io.parse_example(batch, feature)["image/filename"])
    return [name.decode() for name in without_tuner(parsed.unbatch()).as_numpy_iterator()]


def _record_files(builder, stored_split, first, last) -> list[RecordFile]:
    """The stretches of TFRecord files that hold records `first` to `last - 1` of a stored split."""
    if not _is_tfrecord(builder):
        raise ValueError(
            f"{builder.data_path} is stored as {builder.info.file_format.value}, but images that do "
            "not fit into memory are streamed from TFRecord files: build the data set again with "
            "`tfds build --file_format=tfrecord`."
        )
    instruction = tfds.core.ReadInstruction(stored_split, from_=first, to=last, unit="abs")
    files = [
        RecordFile(str(part.filename), part.skip, part.examples_in_shard if part.take == -1 else part.take)
        for part in builder.info.splits[instruction].file_instructions
    ]
    for file in files:
        if not os.path.isfile(file.path):
            raise ValueError(f"{file.path} is missing or no regular file. Prepare the data set again.")
    return files
