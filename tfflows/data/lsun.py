"""LSUN from its official LMDB archives (TFDS's reader needs tensorflow_io, which has no current release).

References:
  Yu et al. 2015, https://arxiv.org/abs/1506.03365.
"""

import io
import os
import pathlib
import struct
import weakref

import numpy as np

from tfflows.data import preprocessing
from tfflows.data.images import read_image
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
      ValueError: If the archive is cut off or damaged.
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
        key = bytes(keys[position])
        image = decode(archive.value(key), f"The value of {key.decode(errors='replace')!r} in {directory}")
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


def decode(value: bytes, name: str = "A value") -> np.ndarray:
    """Decodes a stored value (WebP, JPEG or any format that Pillow reads) into uint8 `[H, W, 3]`.

    Raises:
      ValueError: As for `tfflows.data.images.read_image`; the message begins with `name`.
    """
    image, _ = read_image(io.BytesIO(value), name)
    return image if image.shape[-1] == 3 else np.repeat(image, 3, axis=-1)


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
        _check_size(directory / "data.mdb")
        try:
            self._environment = lmdb.open(str(directory), readonly=True, lock=False, readahead=False, meminit=False)
            with self._environment.begin() as transaction:
                # Fixed-width bytes: three million keys take 120 MB here, several times that as objects.
                self.keys = np.array(list(transaction.cursor().iternext(keys=True, values=False)))
        except lmdb.Error as error:
            raise ValueError(f"{directory} is a damaged LMDB archive: {error}. Unpack or download it again.") from error

    def value(self, key: bytes) -> bytes:
        with self._environment.begin() as transaction:
            return transaction.get(bytes(key))


# Of a meta page, from its start: the magic number; the size of a page; the number of the last page and of the transaction.
_MAGIC, _PAGE_SIZE, _LAST_PAGE = struct.Struct("<16xI"), struct.Struct("<40xI"), struct.Struct("<136xQQ")
_META_BYTES = 152


def _check_size(file: pathlib.Path) -> None:
    """Refuses an archive that is shorter than it says: LMDB maps it to memory, and reading beyond the end kills the process."""
    with open(file, "rb") as content:
        first = content.read(_META_BYTES)
        if len(first) < _META_BYTES or _MAGIC.unpack_from(first)[0] != 0xBEEFC0DE:
            raise ValueError(f"{file} is no LMDB archive. Unpack or download it again.")
        (page,) = _PAGE_SIZE.unpack_from(first)
        content.seek(page)
        second = content.read(_META_BYTES)
        # The page of the later transaction holds.
        pages = [_LAST_PAGE.unpack_from(meta)[::-1] for meta in (first, second) if len(meta) == _META_BYTES]
        expected, size = (max(pages)[1] + 1) * page, os.path.getsize(file)
    if size < expected:
        raise ValueError(f"{file} is cut off: it has {size:,} bytes of {expected:,}. Unpack or download it again.")
