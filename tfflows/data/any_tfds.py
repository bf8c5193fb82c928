"""Any image data set that TensorFlow Datasets has prepared: `tfds:NAME[:CONFIG]`. Nothing here ever downloads."""

import os

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from tfflows.data.division import VALIDATION, cut, pool_of
from tfflows.data.pipeline import without_tuner
from tfflows.data.preprocessing import describe_resize, resize
from tfflows.data.registry import DatasetSpec, OwnImages
from tfflows.data.sources import ImageSource
from tfflows.data.tfds_sets import open_builder, read_split

# So many images tell whether all have one size, where the data set does not say so.
_LOOKED_AT = 16


def load(
    spec: DatasetSpec,
    split: str,
    data_dir: str | os.PathLike | None,
    max_images: int | None,
    holdout: int | None,
    own: OwnImages = OwnImages(),  # noqa: B008 - frozen
) -> ImageSource:
    """Opens one split of a data set of TFDS; see `tfflows.data.load_dataset`.

    Its splits `train` and `test` are taken, in place of the latter `validation`, or else the last `test_share` of the training
    records, which TFDS has shuffled. `max_images` and `holdout` take the first and the last ones of a split, which TFDS has
    shuffled as well, whatever `own.in_order` says. Labels and their names are those of its feature `label`, if that is a class.

    Raises:
      DatasetNotFoundError: If nothing is prepared in `data_dir`.
      ValueError: If it has no training split or no uint8 images, the images differ in size and are not resized, or they have too
        few pixels.
    """
    builder = open_builder(spec, data_dir)
    key, feature = _image_feature(spec, builder)
    pools = _pools(spec, builder, own.test_share)
    stored_split, start, stop = pools[pool_of(split, pools)]
    first, last = cut(spec.name, split, pools, stop - start, holdout=holdout, max_images=max_images)
    height, width, channels = _stored_shape(builder, key, feature)
    if own.resize != "none":
        if None not in (height, width) and min(height, width) < own.image_size:
            raise ValueError(
                f"The images of {spec.name} have {height}x{width} pixels, too few for {own.image_size}; give a smaller image "
                "size."
            )
        shape = (own.image_size, own.image_size, channels)
    elif height is None or width is None:
        raise ValueError(f"The images of {spec.name} differ in size; give an image size.")
    else:
        shape = (height, width, channels)
    label = dict(builder.info.features.items()).get("label")
    classes = label.names if isinstance(label, tfds.features.ClassLabel) else []
    common = dict(
        name=spec.name,
        split=split,
        image_shape=shape,
        num_classes=len(classes),
        class_names=tuple(classes),
        notes=() if (height, width) == shape[:2] else (describe_resize(own.image_size, own.resize),),
    )
    prepare = _prepare(spec, key, shape, own, bool(classes))
    return read_split(builder, stored_split, start + first, start + last, prepare, common)


def image_shape(spec: DatasetSpec, data_dir: str | os.PathLike | None) -> tuple[int | None, int | None, int]:
    """The shape `(height, width, channels)` of the images of a data set as stored, sides None if they differ.

    Raises:
      DatasetNotFoundError: If nothing is prepared in `data_dir`.
      ValueError: If it has no uint8 images.
    """
    builder = open_builder(spec, data_dir)
    return _stored_shape(builder, *_image_feature(spec, builder))


def _image_feature(spec, builder):
    """The name of the feature that is an image, and the feature."""
    features = builder.info.features
    images = {key: value for key, value in features.items() if isinstance(value, tfds.features.Image)}
    if not images:
        raise ValueError(f"{spec.name} has no images; its features are {', '.join(features)}.")
    key = "image" if "image" in images else next(iter(images))
    if images[key].np_dtype != np.uint8 or images[key].shape[-1] not in (1, 3):
        raise ValueError(
            f"The images of {spec.name} must be uint8 with 1 or 3 channels, got {np.dtype(images[key].np_dtype)} of shape "
            f"{images[key].shape}."
        )
    return key, images[key]


def _pools(spec, builder, test_share):
    """`{'train', 'test', 'val': (stored split, first record, one past the last)}`, or those of them that there are."""
    stored = builder.info.splits
    if not stored:  # `tfds.testing.mock_data` stands in, and has every split
        sizes = {name: _count(builder, name) for name in ("train", "test")}
    else:
        sizes = {name: split.num_examples for name, split in stored.items()}
    if "train" not in sizes:
        raise ValueError(f"{spec.name} has no split 'train'; it has {', '.join(sizes)}.")
    validation = next((name for name in VALIDATION if name in sizes), None)
    names = {"train": "train", "test": "test" if "test" in sizes else None, "val": validation}
    pools = {pool: (name, 0, sizes[name]) for pool, name in names.items() if name is not None}
    if len(pools) == 1:
        count = sizes["train"]
        first_test = count - min(max(round(test_share * count), 1), count - 1)
        pools = {"train": ("train", 0, first_test), "test": ("train", first_test, count)}
    return pools


def _count(builder, stored_split):
    return sum(1 for _ in builder.as_dataset(split=stored_split, shuffle_files=False))


def _stored_shape(builder, key, feature):
    height, width, channels = feature.shape
    if height is None or width is None:
        first = builder.as_dataset(split="train", shuffle_files=False).take(_LOOKED_AT)
        sides = {example[key].shape[:2] for example in without_tuner(first).as_numpy_iterator()}
        height, width = sides.pop() if len(sides) == 1 else (None, None)
    return height, width, channels


def _prepare(spec, key, shape, own, has_labels):
    """(decoded example) -> (uint8 image of `shape`, int32 label), as graph operations."""
    differ = f"The images of {spec.name} differ in size; give an image size"
    small = f"{spec.name} has images of fewer pixels than {own.image_size}; give a smaller image size"

    def prepare(example):
        image = example[key]
        sides = tf.shape(image)[:2]
        if own.resize == "none":
            check = tf.debugging.assert_equal(sides, shape[:2], message=differ)
        else:
            check = tf.debugging.assert_greater_equal(tf.reduce_min(sides), own.image_size, message=small)
        with tf.control_dependencies([check]):
            image = tf.ensure_shape(resize(tf.identity(image), own.image_size, own.resize), shape)
        return image, tf.cast(example["label"] if has_labels else 0, tf.int32)

    return prepare
