"""Directories of images as people have them: `folder:DIRECTORY`, flat, by class, or in `train/`, `val/` and `test/`."""

import concurrent.futures
import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from absl import logging

from tfflows.data.division import VALIDATION, cut, divide, hash_order, pool_of
from tfflows.data.images import IMAGE_SUFFIXES, Header, read_header, read_image
from tfflows.data.preprocessing import describe_resize, resize
from tfflows.data.registry import DatasetSpec, OwnImages
from tfflows.data.sources import ArraySource, DatasetNotFoundError, ImageSource, OnDemandSource

IN_MEMORY_BYTES = 2**30

_FILES_AT_ONCE = 512

_NAMED = 5  # classes that a message names

_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")


@dataclasses.dataclass(frozen=True)
class _Pool:
    """Image files, and the directory whose sub-directories are their classes."""

    directory: pathlib.Path
    paths: Sequence[pathlib.Path]


@dataclasses.dataclass(frozen=True)
class _Folder:
    """A folder as it lies on disk.

    Attributes:
      root: Its directory.
      pools: Its pools 'train', 'val' and 'test', or those of them that there are.
      is_divided: Whether it came with more than one of them.
      num_beside: Number of image files in none of them.
    """

    root: pathlib.Path
    pools: Mapping[str, _Pool]
    is_divided: bool
    num_beside: int

    @property
    def paths(self):
        return [path for pool in self.pools.values() for path in pool.paths]

    def name(self, path):
        """The path of an image within the folder, the same on every system."""
        return path.relative_to(self.root).as_posix()


def load(
    spec: DatasetSpec,
    split: str,
    data_dir: str | os.PathLike | None,
    max_images: int | None,
    holdout: int | None,
    own: OwnImages = OwnImages(),  # noqa: B008 - frozen
) -> ImageSource:
    """Opens one split of an image folder; see `tfflows.data.load_dataset`.

    The folder has `train/` and `test/` (or, in its place, `val/`). With neither of the latter, a hash of its path says whether an
    image belongs to the test split, so images that are added move no other one. Images come in the order of their paths; which
    of them `max_images` and `holdout` take is a matter of the same hash, unless `own.in_order` is set. Hidden files and folders
    are passed over. For what files become see `tfflows.data.images.read_image`; where there are grey and colored images, the grey
    ones are given three equal channels. The names of the sub-directories are the classes; with a single sub-directory, images
    beside them, or a class that `train/` has not, there are no labels.

    Files that cannot be read, links to nothing, and images too small for `image_size` are left out, see `ImageSource.skipped`. If
    that would leave no test image where there is no test split, another image takes its place.

    Raises:
      DatasetNotFoundError: If the folder has no such split, or no images in it.
      ValueError: If the images differ in size and are not resized, none can be used, or one cannot and `strict` is set.
    """
    folder = _open(spec, data_dir, own.test_share)
    headers, unusable = _headers(folder.paths)
    if own.resize != "none":
        unusable |= {
            path: f"{header.sides} pixels are too few for {own.image_size}: give a smaller image size"
            for path, header in headers.items()
            if header.short_side < own.image_size
        }
    pools = folder.pools if folder.is_divided else _with_usable_images(spec, folder, unusable, own.test_share)
    pool = pools[pool_of(split, pools)]
    headers = {path: header for path, header in headers.items() if path not in unusable}
    skipped = {path: unusable[path] for path in pool.paths if path in unusable}
    _refuse_if(own.strict, skipped)
    paths = [path for path in pool.paths if path in headers]
    if not own.in_order and (max_images is not None or holdout):
        paths = [paths[position] for position in hash_order([folder.name(path) for path in paths])]
    _refuse_none(spec, paths, skipped)
    channels = max(header.channels for header in headers.values())
    shape = (own.image_size, own.image_size, channels)
    if own.resize == "none":
        shape = _common_shape(pools, headers, channels)

    def read(path):
        image, conversion = read_image(path)
        if image.shape[-1] < channels:
            image = np.repeat(image, channels, axis=-1)
        image = np.asarray(resize(image, own.image_size, own.resize))
        return image, conversion, hashlib.sha256(image).digest()

    # How many there are to hold out from is known when all have been read.
    limit = None if holdout and split != "test" else max_images
    in_memory = min(len(paths), limit or len(paths)) * int(np.prod(shape)) <= IN_MEMORY_BYTES
    paths, images, digests, damaged = _read_all(read, paths, limit, in_memory)
    skipped |= damaged
    _refuse_if(own.strict, skipped)
    _refuse_none(spec, paths, skipped)
    first, last = cut(spec.name, split, pools, len(paths), holdout=holdout, max_images=max_images)
    chosen = sorted(range(first, last), key=paths.__getitem__)
    paths = [paths[position] for position in chosen]
    classes, why_none = _classes(folder, pools)
    common = dict(
        name=spec.name,
        split=split,
        num_images=len(paths),
        image_shape=shape,
        num_classes=len(classes),
        class_names=tuple(classes),
        labels=_labels(paths, pool.directory, classes) if classes else None,
        skipped=tuple(f"{path.relative_to(folder.root)} ({reason})" for path, reason in sorted(skipped.items())),
        notes=(*_notes([headers[path] for path in paths], channels, own), *why_none, *_note_beside(folder)),
        files=tuple(folder.name(path) for path in paths),
        digest=hashlib.sha256(b"".join(digests[position] for position in chosen)).hexdigest(),
    )
    if in_memory:
        return ArraySource(images=np.stack([images[position] for position in chosen]), **common)
    return OnDemandSource(read_image=lambda position, crop_uniforms: read(paths[position])[0], **common)


def image_shape(spec: DatasetSpec, data_dir: str | os.PathLike | None) -> tuple[int | None, int | None, int]:
    """The shape `(height, width, channels)` of the images of a folder as stored, sides None if they differ.

    Only the headers of the files are read.

    Raises:
      DatasetNotFoundError: If there is no such folder, or no images in it.
    """
    headers, unreadable = _headers(_open(spec, data_dir, OwnImages.test_share).paths)
    _refuse_none(spec, headers, unreadable)
    sides = {(header.height, header.width) for header in headers.values()}
    height, width = sides.pop() if len(sides) == 1 else (None, None)
    return height, width, max(header.channels for header in headers.values())


def real_path(origin: str, data_dir: str | os.PathLike | None) -> pathlib.Path | None:
    """The directory of a folder without links and detours, the same by whatever path it is given; None if there is none."""
    root = _find(_places(origin, data_dir))
    return None if root is None else root.resolve()


def _places(origin, data_dir):
    root = pathlib.Path(os.path.expanduser(origin))
    places = [root]
    if not root.is_absolute() and data_dir is not None:
        places.append(pathlib.Path(os.path.expanduser(str(data_dir))) / root)
    return places


def _find(places):
    found = [place for place in places if place.is_dir()]
    return next((place for place in found if "train" in _split_directories(place)), next(iter(found), None))


def _open(spec, data_dir, test_share):
    """The `_Folder` of a data set."""
    looked_in = _places(spec.origin, data_dir)
    root = _find(looked_in)
    if root is None:
        _refuse_file(looked_in)
        raise DatasetNotFoundError(
            spec.name, looked_in, spec.prepare.replace("DIRECTORY", spec.origin), in_data_dir=False
        )
    directories = _split_directories(root)
    if "train" in directories:
        pools = {name: _Pool(directory, _image_paths(directory)) for name, directory in directories.items()}
    else:
        if directories:
            lonely = next(iter(directories.values())).name
            raise ValueError(f"{root} has {lonely}/ and no train/: put the training images into {root / 'train'}.")
        pools = {"train": _Pool(root, _image_paths(root))}
    for pool in pools.values():
        if not pool.paths:
            raise DatasetNotFoundError(
                spec.name,
                pool.directory,
                spec.prepare.replace("DIRECTORY", str(root)) + _hint_at_files(pool.directory),
                fault="holds no images",
                in_data_dir=False,
            )
    beside = _num_beside(root, directories) if "train" in directories else 0
    if len(pools) > 1:
        return _Folder(root, pools, True, beside)
    whole = pools["train"]
    if len(whole.paths) < 2:
        raise ValueError(f"{root} holds a single image: at least one to train on and one to test on are needed.")
    return _Folder(root, _divided(root, whole.directory, whole.paths, test_share), False, beside)


def _divided(root, directory, paths, test_share):
    """The pools 'train' and 'test' of images that came without a test split."""
    parts = divide([path.relative_to(root).as_posix() for path in paths], test_share)
    return {
        name: _Pool(directory, [paths[position] for position in part])
        for name, part in zip(("train", "test"), parts, strict=True)
    }


def _with_usable_images(spec, folder, unusable, test_share):
    """The pools of a folder without splits, divided anew if one of them would have no image that can be used.

    Adds to `unusable` what is found to be damaged.
    """
    pools = folder.pools
    while not all(_has_usable_image(pool, unusable) for pool in pools.values()):
        usable = sorted(path for path in folder.paths if path not in unusable)
        _refuse_none(spec, usable, unusable)
        if len(usable) < 2:
            raise ValueError(
                f"{folder.root} holds a single image that can be used, {folder.name(usable[0])}: at least one to train on and "
                f"one to test on are needed. Of the others {_example(unusable)}."
            )
        divided = _divided(folder.root, pools["train"].directory, usable, test_share)
        pools = {  # what cannot be used stays where it is named
            name: _Pool(
                pool.directory, sorted([*divided[name].paths, *(path for path in pool.paths if path in unusable)])
            )
            for name, pool in folder.pools.items()
        }
    return pools


def _has_usable_image(pool, unusable):
    """Whether an image of a pool can be read, not only its header."""
    for path in pool.paths:
        if path not in unusable:
            ((_, _, reason),) = _in_parallel(read_image, [path])
            if not reason:
                return True
            unusable[path] = reason
    return False


def _refuse_file(places):
    """Raises ValueError if a file was given in place of a directory."""
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        return
    suffix = file.suffix.lower()
    advice = "give the directory that the images lie in"
    if suffix in (".npz", ".npy"):
        advice = f"arrays are given as npz:{file}"
    elif suffix in _ARCHIVES:
        advice = "unpack it, and give the directory that it was unpacked to"
    elif suffix in IMAGE_SUFFIXES:
        advice = f"give the directory that it lies in, folder:{file.parent}"
    raise ValueError(f"{file} is a file, and folder: takes a directory of images; {advice}.")


def _num_beside(root, directories):
    """Number of image files below `root` and in none of `directories`."""
    inside = set(directories.values())
    count = 0
    for place in root.iterdir():
        if not _is_hidden(place.name) and place not in inside:
            count += sum(map(_is_image, _image_paths(place) if place.is_dir() else [place]))
    return count


def _split_directories(root):
    """The directories of `train`, `test` and `val`, or those of them that there are, in small or capital letters."""
    found = {path.name.lower(): path for path in sorted(root.iterdir(), reverse=True) if path.is_dir()}
    validation = next((name for name in VALIDATION if name in found), "val")
    names = {"train": "train", "test": "test", "val": validation}
    return {pool: found[name] for pool, name in names.items() if name in found}


def _hint_at_files(directory: pathlib.Path) -> str:
    suffixes = sorted({path.suffix.lower() for path in directory.rglob("*") if path.is_file()} - {""})
    if not suffixes:
        return ""
    return f". Its files end in {', '.join(suffixes[:5])}; images must end in {', '.join(IMAGE_SUFFIXES)}: convert them"


def _image_paths(directory: pathlib.Path) -> list[pathlib.Path]:
    """The image files below a directory, and what may stand for some: directories that cannot be opened, links to nothing."""
    found = []
    seen = set()  # a link may lead back to where it is

    def keep(error):
        found.append(pathlib.Path(error.filename))

    for place, directories, files in os.walk(directory, followlinks=True, onerror=keep):
        real = os.path.realpath(place)
        directories[:] = [] if real in seen else [name for name in directories if not _is_hidden(name)]
        if real not in seen:
            paths = (pathlib.Path(place, name) for name in files if not _is_hidden(name))
            found += [
                path
                for path in paths
                if _is_image(path) or (not path.suffix and path.is_symlink() and not path.exists())
            ]
        seen.add(real)
    return sorted(found)


def _is_image(path: pathlib.Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES


def _is_hidden(name: str) -> bool:
    """What notebooks and file managers leave beside the images, such as `.ipynb_checkpoints` and `._image.png`."""
    return name.startswith(".") or name == "__MACOSX"


def _headers(paths: Iterable[pathlib.Path]) -> tuple[dict[pathlib.Path, Header], dict[pathlib.Path, str]]:
    """The headers of files, and why there is none, by path."""

    def header_of(path):
        if path.is_dir() and not os.access(path, os.R_OK | os.X_OK):
            raise ValueError(f"{path} is a directory that cannot be opened.")
        if not path.is_file():  # reading from a pipe would wait for ever
            raise ValueError(f"{path} is no regular file, or a link to none.")
        return read_header(path)

    good, bad = {}, {}
    for path, header, reason in _in_parallel(header_of, paths):
        (bad if reason else good)[path] = reason or header
    return good, bad


def _read_all(read, paths, limit, keep):
    """Reads images until `limit` of them are good: their paths, the images if `keep`, their hashes, and `{path: damage}`."""
    good, images, digests, damaged, conversions = [], [], [], {}, set()
    for start in range(0, len(paths), _FILES_AT_ONCE):
        for path, value, reason in _in_parallel(read, paths[start : start + _FILES_AT_ONCE]):
            if reason:
                damaged[path] = reason
            elif limit is None or len(good) < limit:
                image, conversion, digest = value
                good.append(path)
                images += [image] if keep else []
                digests.append(digest)
                if conversion and conversion not in conversions:
                    conversions.add(conversion)
                    logging.warning("%s: %s, here and in all images like it.", path, conversion)
        if limit is not None and len(good) >= limit:
            break
    return good, images, digests, damaged


def _in_parallel(function, paths):
    """`(path, value, "")` or `(path, None, reason)` of each path, in order; decoding lets go of Python's lock."""

    def attempt(path):
        try:
            return path, function(path), ""
        except (ValueError, OSError) as error:
            return path, None, str(error).removeprefix(f"{path} ").rstrip(".")

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
        yield from threads.map(attempt, paths)


def _refuse_if(strict: bool, skipped: Mapping[pathlib.Path, str]) -> None:
    if strict and skipped:
        others = f", nor can {len(skipped) - 1} others be used" if len(skipped) > 1 else ""
        raise ValueError(
            f"{_example(skipped)}{others}. Mend or remove them, or leave out --strict (or strict=True) to skip them."
        )


def _example(skipped):
    path, reason = next(iter(skipped.items()))
    return f"{path} {reason}"


def _refuse_none(spec, usable, skipped) -> None:
    if not usable:
        raise ValueError(f"{spec.name} has no image that can be used: {_example(skipped)}.")


def _common_shape(pools, headers, channels):
    first = next(path for pool in pools.values() for path in pool.paths if path in headers)
    for path, header in headers.items():
        if (header.height, header.width) != (headers[first].height, headers[first].width):
            raise ValueError(
                f"All images of a folder must have the same size, unless they are resized: {first} has {headers[first].sides} "
                f"pixels, {path} {header.sides} (height x width). Give an image size, or crop or resize them."
            )
    return headers[first].height, headers[first].width, channels


def _notes(headers, channels, own):
    num_grey = sum(header.channels < channels for header in headers)
    grey = f"{num_grey:,} grey images were" if num_grey > 1 else "1 grey image was"
    notes = [f"{grey} given three equal channels, as others are in color"] if num_grey else []
    size = own.image_size
    if own.resize != "none" and any((header.height, header.width) != (size, size) for header in headers):
        notes.append(describe_resize(own.image_size, own.resize))
    return tuple(notes)


def _note_beside(folder):
    if not folder.num_beside:
        return ()
    named = ", ".join(f"{pool.directory.name}/" for pool in folder.pools.values() if folder.is_divided) or "train/"
    count = f"{folder.num_beside:,} images lie" if folder.num_beside > 1 else "1 image lies"
    return (f"{count} beside {named} and {'were' if folder.num_beside > 1 else 'was'} not read",)


def _classes(folder: _Folder, pools: Mapping[str, _Pool]) -> tuple[list[str], tuple[str, ...]]:
    """The names of the classes, if every image belongs to one of at least two; and why there are none where some might be."""
    train = pools["train"]
    paths = list(filter(_is_image, train.paths if folder.is_divided else folder.paths))
    parts = [path.relative_to(train.directory).parts for path in paths]
    classes = sorted({part[0] for part in parts if len(part) > 1})
    if len(classes) < 2:
        return [], ()
    beside = next((path for path, part in zip(paths, parts, strict=True) if len(part) == 1), None)
    if beside is not None:
        return [], (f"there are no labels, since {folder.name(beside)} lies beside the folders of the classes",)
    for pool in pools.values():
        for path in filter(_is_image, pool.paths):
            name, *below = path.relative_to(pool.directory).parts
            if not below or name not in classes:
                known = f"{', '.join(classes[:_NAMED])}{', ...' if len(classes) > _NAMED else ''}"
                what = f"{name!r} in {pool.directory.name}/" if below else folder.name(path)
                return [], (f"there are no labels, since {what} is in no class of train/ ({known})",)
    return classes, ()


def _labels(paths, directory: pathlib.Path, classes: list[str]) -> np.ndarray:
    numbers = {name: number for number, name in enumerate(classes)}
    return np.array([numbers[path.relative_to(directory).parts[0]] for path in paths], np.int32)
