"""The one entry point to every data set."""

import os

import numpy as np

from tfflows.data import embedded, splits
from tfflows.data.errors import DatasetFingerprintError
from tfflows.data.registry import DatasetSpec, dataset_spec
from tfflows.data.sources import ArraySource, ImageSource


def load_dataset(
    name: str,
    split: str,
    data_dir: str | os.PathLike | None = None,
    image_size: int | None = None,
    max_images: int | None = None,
    attributes_file: str | os.PathLike | None = None,
    holdout: int | None = None,
) -> ImageSource:
    """Opens one split of a data set, prepared as its paper prepares it. Never downloads anything.

    Args:
      name: A key of `DATASETS`, or `folder:DIRECTORY`.
      split: 'train', 'test', or 'holdout' (the training images set aside by `holdout`).
      data_dir: The TFDS directory, or the one that holds the LMDB archives; default: $TFDS_DATA_DIR or ~/tensorflow_datasets.
        Embedded sets need none.
      image_size: Side in pixels; only sizes that the set's own recipe delivers.
      max_images: Take only the first `max_images` images of the split. The count is then not checked against the published one.
      attributes_file: CelebA's list_attr_celeba.txt, for `celeba_hq` only; image_list.txt (CelebA-HQ's index map) must lie beside
        it.
      holdout: Number of training images, the last ones, that 'train' leaves out and 'holdout' gives.

    Returns:
      An `ImageSource`: in memory if the split decodes to at most 1 GiB, otherwise read on demand.

    Raises:
      ValueError: If the name or the split is unknown, or the recipe cannot deliver the size.
      DatasetNotFoundError: If the set is not in `data_dir`; the message says how to prepare it.
      DatasetFingerprintError: If the number of images is not the published one.

    Example:
      >>> from tfflows.data import load_dataset
      >>> source = load_dataset("digits", "test", max_images=100)
      >>> print(source.num_images, source.image_shape, source.num_classes)
      100 (8, 8, 1) 10
    """
    spec = dataset_spec(name)
    if split not in splits.SPLITS:
        raise ValueError(f"Unknown split {split!r} of {name!r}; the valid ones are {', '.join(splits.SPLITS)}.")
    if split == "holdout" and not holdout:
        raise ValueError("The split 'holdout' needs holdout=N, the number of training images to set aside.")
    if holdout is not None and holdout < 0:
        raise ValueError(f"holdout must not be negative, got {holdout}.")
    if max_images is not None and max_images < 1:
        raise ValueError(f"max_images must be at least 1, got {max_images}.")
    image_size = _check_image_size(spec, image_size)
    if attributes_file is not None and name != "celeba_hq":
        raise ValueError(f"attributes_file is for celeba_hq, not for {name!r}.")
    if spec.kind == "tfds":
        from tfflows.data import tfds_sets  # each kind with what it imports: TFDS alone takes a third of a second

        source = tfds_sets.load(spec, split, data_dir, image_size, max_images, holdout, attributes_file)
    elif spec.kind == "lmdb":
        from tfflows.data import lsun

        source = lsun.load(spec, split, data_dir, max_images, holdout)
    elif spec.kind == "folder":
        from tfflows.data import folders

        source = folders.load(spec, split, data_dir, max_images, holdout)
    else:
        source = _load_embedded(spec, split, max_images, holdout)
    return source


def _check_image_size(spec: DatasetSpec, image_size: int | None) -> int | None:
    if image_size is None or image_size == spec.image_size:
        return spec.image_size
    if spec.kind == "folder":
        raise ValueError(f"{spec.name} delivers its images as they are; leave image_size out.")
    if image_size not in spec.image_sizes:
        valid = ", ".join(str(size) for size in (spec.image_size, *spec.image_sizes))
        raise ValueError(f"{spec.name} is not defined at image size {image_size}; the valid ones are {valid}.")
    return image_size


def _load_embedded(spec: DatasetSpec, split: str, max_images, holdout) -> ArraySource:
    if holdout and spec.name == "photographs":
        raise ValueError(
            "photographs are overlapping patches, so holding some out would leak them; use the split 'test'."
        )
    base = splits.stored_name(split)
    read = {"photographs": embedded.photographs, "digits": embedded.digits}[spec.name]
    images, labels = read(base)
    if len(images) != spec.num_images[base]:
        raise DatasetFingerprintError(spec.name, base, spec.num_images[base], len(images))
    first, last = splits.stretch(spec.name, split, 0, len(images), holdout=holdout, max_images=max_images)
    images, labels = images[first:last], labels[first:last]
    return ArraySource(
        name=spec.name,
        split=split,
        num_images=len(images),
        image_shape=spec.image_shape,
        num_classes=spec.num_classes,
        images=np.ascontiguousarray(images),
        labels=labels,
    )
