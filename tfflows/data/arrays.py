"""Images in a NumPy file: `npz:FILE`, an `.npz` archive of images and labels, or an `.npy` array of images."""

import functools
import os
import pathlib
import zipfile

import numpy as np

from tfflows.data.division import VALIDATION, cut, divide, hash_order, pool_of
from tfflows.data.preprocessing import describe_resize, resize
from tfflows.data.registry import DatasetSpec, OwnImages
from tfflows.data.sources import ArraySource, DatasetNotFoundError, ImageSource

# The names that Keras, MedMNIST, downsampled ImageNet and `np.savez` itself give to images and their labels, by split.
_NAMES = {
    "train": (("x_train", "y_train"), ("train_images", "train_labels"), ("train", "train_labels")),
    "test": (("x_test", "y_test"), ("test_images", "test_labels"), ("test", "test_labels")),
    "val": tuple(
        pair
        for name in VALIDATION
        for pair in ((f"x_{name}", f"y_{name}"), (f"{name}_images", f"{name}_labels"), (name, f"{name}_labels"))
    ),
}
_UNDIVIDED = (("images", "labels"), ("data", "labels"), ("x", "y"), ("arr_0", "arr_1"))

_RESIZED_AT_ONCE = 256


def load(
    spec: DatasetSpec,
    split: str,
    data_dir: str | os.PathLike | None,
    max_images: int | None,
    holdout: int | None,
    own: OwnImages = OwnImages(),  # noqa: B008 - frozen
) -> ImageSource:
    """Opens one split of the images in a NumPy file; see `tfflows.data.load_dataset`.

    Images are uint8 arrays `[N, H, W, 1 or 3]`, or `[N, H, W]` for grey ones, named as by Keras (`x_train`, `y_train`, `x_test`,
    `y_test`), as by MedMNIST (`train_images`, ...), or `images` and `labels`. Without a test split, a hash of its position says
    whether an image belongs to it, so images that are appended move no other one. Which images `max_images` and `holdout` take is
    a matter of the same hash, unless `own.in_order` is set. Labels are integers; they may be missing. Where the training images
    are colored and others grey, or the other way around, the grey ones are given three equal channels.

    Raises:
      DatasetNotFoundError: If there is no such file.
      ValueError: If it cannot be read, holds no such images, or they differ in size and are not resized.
    """
    pools, is_divided = _pools(spec, _existing(spec, data_dir), own.test_share)
    if own.resize == "none":
        _check_one_size(spec, pools)
    images, labels, places = pools[pool_of(split, pools)]
    first, last = cut(spec.name, split, pools, len(images), holdout=holdout, max_images=max_images)
    if own.in_order or last - first == len(images):
        chosen = slice(first, last)
    else:
        chosen = np.sort(hash_order([str(place) for place in places])[first:last])
    images = images[chosen]
    notes = []
    if images.shape[-1] < max(pool[0].shape[-1] for pool in pools.values()):
        images = np.repeat(images, 3, axis=-1)
        notes.append("the grey images were given three equal channels, as others are in color")
    if own.resize != "none" and images.shape[1:3] != (own.image_size, own.image_size):
        if min(images.shape[1:3]) < own.image_size:
            raise ValueError(
                f"The images of {spec.name} have {images.shape[1]}x{images.shape[2]} pixels, too few for {own.image_size}; give "
                "a smaller image size."
            )
        parts = [
            resize(images[row : row + _RESIZED_AT_ONCE], own.image_size, own.resize)
            for row in range(0, len(images), _RESIZED_AT_ONCE)
        ]
        images = np.concatenate([np.asarray(part) for part in parts])
        notes.append(describe_resize(own.image_size, own.resize))
    known = [pool[1] for name, pool in pools.items() if name == "train" or not is_divided]
    num_classes = 0 if known[0] is None or labels is None else 1 + int(max(own.max() for own in known))
    if num_classes and labels.max() >= num_classes:
        raise ValueError(f"{spec.name} has label {labels.max()} in its {split} images, and no training image has it.")
    return ArraySource(
        name=spec.name,
        split=split,
        num_images=len(images),
        image_shape=images.shape[1:],
        num_classes=num_classes,
        images=np.ascontiguousarray(images),
        labels=labels[chosen] if num_classes else None,
        notes=tuple(notes),
    )


def image_shape(spec: DatasetSpec, data_dir: str | os.PathLike | None) -> tuple[int | None, int | None, int]:
    """The shape `(height, width, channels)` of the images in a file, sides None if those of its splits differ.

    Raises:
      DatasetNotFoundError: If there is no such file.
      ValueError: If it cannot be read, or holds no images.
    """
    pools, _ = _pools(spec, _existing(spec, data_dir), OwnImages.test_share)
    sides = {pool[0].shape[1:3] for pool in pools.values()}
    height, width = sides.pop() if len(sides) == 1 else (None, None)
    return height, width, max(pool[0].shape[-1] for pool in pools.values())


def real_path(origin: str, data_dir: str | os.PathLike | None) -> pathlib.Path | None:
    """The path of a file without links and detours, the same by whatever path it is given; None if there is none."""
    found = next((path for path in _places(origin, data_dir) if path.is_file()), None)
    return None if found is None else found.resolve()


def _places(origin, data_dir):
    path = pathlib.Path(os.path.expanduser(origin))
    if path.is_absolute() or data_dir is None:
        return [path]
    return [path, pathlib.Path(os.path.expanduser(str(data_dir))) / path]


def _existing(spec, data_dir):
    path = real_path(spec.origin, data_dir)
    if path is None:
        places = _places(spec.origin, data_dir)
        directory = next((place for place in places if place.is_dir()), None)
        if directory is not None:
            raise ValueError(
                f"{directory} is a directory, and npz: takes a file; images in a directory are given as folder:{directory}."
            )
        raise DatasetNotFoundError(spec.name, places, spec.prepare.replace("FILE", spec.origin), in_data_dir=False)
    return path


def _pools(spec, path, test_share):
    """`{'train', 'test', 'val': (images, labels or None, places)}`, or those of them that there are; whether they came so."""
    stored = _read(spec, path)
    pools = {name: _pair(spec, stored, names) for name, names in _NAMES.items()}
    pools = {name: pool for name, pool in pools.items() if pool is not None}
    if not pools:
        whole = _pair(spec, stored, _UNDIVIDED)
        pools = {} if whole is None else {"train": whole}
    if "train" not in pools:
        wanted = ", ".join(images for images, _ in (*_NAMES["train"], *_UNDIVIDED))
        raise ValueError(f"{path} has no training images: it holds {', '.join(stored)}, and one of {wanted} is needed.")
    is_divided = len(pools) > 1
    if not is_divided:
        images, labels, _ = pools["train"]
        parts = divide([str(position) for position in range(len(images))], test_share)
        pools = {
            name: (images[part], None if labels is None else labels[part], part)
            for name, part in zip(("train", "test"), parts, strict=True)
        }
    return pools, is_divided


def _check_one_size(spec, pools):
    first, *others = ((name, pool[0].shape[1:3]) for name, pool in pools.items())
    for name, sides in others:
        if sides != first[1]:
            raise ValueError(
                f"All images of {spec.name} must have the same size, unless they are resized: those of {first[0]} have "
                f"{first[1][0]}x{first[1][1]} pixels, those of {name} {sides[0]}x{sides[1]} (height x width). Give an image "
                "size, or crop or resize them."
            )


def _read(spec, path):
    """The arrays of a file by name; what a file that is no archive holds is called `images`."""
    status = path.stat()
    return _read_once(path, spec.prepare, (status.st_mtime_ns, status.st_size))


@functools.lru_cache(maxsize=1)  # its splits are opened one after the other
def _read_once(path, prepare, version):
    del version
    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return {"images": content}
        with content:
            return {name: content[name] for name in content.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} cannot be read as a NumPy file: {str(error).rstrip('.')}. To make one, {prepare}."
        ) from error


def _pair(spec, stored, names):
    """Images, labels and places of the images, under the first of `names` that is there."""
    found = next((pair for pair in names if pair[0] in stored), None)
    if found is None:
        return None
    images, labels = stored[found[0]], stored.get(found[1])
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3) or not images.size:
        raise ValueError(
            f"{found[0]} of {spec.name} must be uint8 images [N, H, W], [N, H, W, 1] or [N, H, W, 3], got {images.dtype} "
            f"{list(images.shape)}: convert it, for instance with np.round(255 * x).astype(np.uint8) or np.moveaxis(x, 1, -1)."
        )
    if labels is None:
        return images, None, range(len(images))
    in_range = np.issubdtype(labels.dtype, np.integer) and labels.size and 0 <= labels.min() <= labels.max() < 2**31
    if labels.size != len(images) or not in_range:
        raise ValueError(
            f"{found[1]} of {spec.name} must be {len(images)} integers from 0 to 2^31 - 1, one per image, got {labels.dtype} "
            f"{list(labels.shape)}."
        )
    return images, labels.reshape(-1).astype(np.int32), range(len(images))
