"""LSUN from its official LMDB archives (TFDS's reader needs tensorflow_io, which has no current release).

References:
  Yu et al. 2015, https://arxiv.org/abs/1506.03365.
"""

import io
import os
import pathlib
import weakref

import numpy as np

from tfflows.data import preprocessing
from tfflows.data.registry import DatasetSpec
from tfflows.data.sources import DatasetFingerprintError, DatasetNotFoundError, OnDemandSource, stored_name, stretch
from tfflows.extras import require


def load(
    spec: DatasetSpec, split: str, data_dir: str | os.PathLike | None, max_images: int | None, holdout: int | None
) -> OnDemandSource:
    """Opens one split of an LSUN category; see `tfflows.data.load_dataset`.

    `<category>_train_lmdb` and `<category>_val_lmdb` are looked for in `data_dir/lsun` and `data_dir`. Images are ordered by key.

    Raises:
      DatasetNotFoundError: If there is no such archive.
      DatasetFingerprintError: If the number of images is not the published one.
    """
    base = stored_name(split)
    directory = _find(spec, f"{spec.origin}_{spec.splits[base]}_lmdb", data_dir)
    archive = _open_archive(directory)
    keys = archive.keys
    expected = spec.num_images[base]
    if len(keys) != expected and max_images is None:
        raise DatasetFingerprintError(spec.name, base, expected, len(keys), spec.notes)
    first, last = stretch(spec.name, split, 0, len(keys), holdout=holdout, max_images=max_images)
    keys = keys[first:last]

    def read_image(position: int, crop_uniforms: np.ndarray | None) -> np.ndarray:
        image = decode(archive.value(keys[position]))
        if spec.recipe == "lsun_square":
            return square(image, spec.image_size)
        reduced = preprocessing.reduce_short_side(image)
        return preprocessing.crop_at(reduced, spec.image_size, crop_uniforms)

    return OnDemandSource(
        name=spec.name,
        split=split,
        num_images=len(keys),
        image_shape=spec.image_shape,
        random_crop=spec.random_crop,
        read_image=read_image,
    )


def decode(value: bytes) -> np.ndarray:
    """Decodes a stored value (WebP, JPEG or any format that Pillow reads) into uint8 `[H, W, 3]`."""
    with require("PIL.Image", "lsun").open(io.BytesIO(value)) as image:
        return np.asarray(image.convert("RGB"), np.uint8)


def square(image: np.ndarray, image_size: int) -> np.ndarray:
    """Takes the centre square, then resizes it once with antialiasing (Lanczos), as in Glow's converter."""
    rows, columns, _ = image.shape
    side = min(rows, columns)
    top, left = (rows - side) // 2, (columns - side) // 2
    Image = require("PIL.Image", "lsun")
    cropped = Image.fromarray(image[top : top + side, left : left + side])
    return np.asarray(cropped.resize((image_size, image_size), Image.Resampling.LANCZOS), np.uint8)


def _find(spec: DatasetSpec, folder: str, data_dir: str | None) -> pathlib.Path:
    root = pathlib.Path(os.path.expanduser(str(data_dir) if data_dir else "~/tensorflow_datasets"))
    places = [root / "lsun" / folder, root / folder]
    for place in places:
        if (place / "data.mdb").is_file():
            return place
    raise DatasetNotFoundError(spec.name, places, spec.prepare.replace("DIRECTORY", str(root)))


_open_archives = weakref.WeakValueDictionary()


def _open_archive(directory: pathlib.Path) -> "_Archive":
    key = os.path.realpath(directory)
    archive = _open_archives.get(key)
    if archive is None:
        archive = _open_archives[key] = _Archive(directory)
    return archive


class _Archive:
    """Random access to an LMDB directory: sorted keys, values by key.

    LMDB allows a process to open a directory only once: get archives from `_open_archive`.
    """

    def __init__(self, directory: pathlib.Path):
        lmdb = require("lmdb", "lsun")
        self._environment = lmdb.open(str(directory), readonly=True, lock=False, readahead=False, meminit=False)
        with self._environment.begin() as transaction:
            # Fixed-width bytes: three million keys take 120 MB here, several times that as objects.
            self.keys = np.array(list(transaction.cursor().iternext(keys=True, values=False)))

    def value(self, key: bytes) -> bytes:
        with self._environment.begin() as transaction:
            return transaction.get(bytes(key))
