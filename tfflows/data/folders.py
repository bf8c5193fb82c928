"""Any directory of equally sized images: `folder:DIRECTORY` with `train/` and `test/` inside."""

import os
import pathlib

import numpy as np
from absl import logging

from tfflows.data.images import read_image
from tfflows.data.registry import DatasetSpec
from tfflows.data.sources import ArraySource, DatasetNotFoundError, ImageSource, OnDemandSource, stored_name, stretch

IN_MEMORY_BYTES = 2**30
IMAGE_SUFFIXES = (".png", ".bmp", ".webp", ".jpg", ".jpeg")


def load(
    spec: DatasetSpec, split: str, data_dir: str | os.PathLike | None, max_images: int | None, holdout: int | None
) -> ImageSource:
    """Opens one split of an image folder; see `tfflows.data.load_dataset`.

    Images are taken in the order of their paths; hidden files and folders are passed over. For what files become see
    `tfflows.data.images.read_image`. The names of the sub-directories of `train/` are the classes; with a single
    sub-directory, or none, there are no labels.

    Raises:
      DatasetNotFoundError: If the folder has no such split, or no images in it.
      ValueError: If the images differ in size, one cannot be read, or the split has a class that `train/` has not.
    """
    looked_in = _places(spec.origin, data_dir)
    root = _find(looked_in)
    stored_split = stored_name(split)
    if root is None or not (root / stored_split).is_dir():
        hint = next(filter(None, (_hint(place, stored_split) for place in ([root] if root else looked_in))), "")
        raise DatasetNotFoundError(
            spec.name,
            [place / stored_split for place in looked_in],
            spec.prepare.replace("DIRECTORY", spec.origin) + hint,
        )
    paths = _image_paths(root / stored_split)
    if not paths:
        raise DatasetNotFoundError(
            spec.name,
            root / stored_split,
            spec.prepare.replace("DIRECTORY", str(root)) + _hint_at_files(root / stored_split),
        )
    classes = sorted(
        entry.name for entry in (root / "train").iterdir() if entry.is_dir() and not _is_hidden(entry.name)
    )
    first, last = stretch(spec.name, split, 0, len(paths), holdout=holdout, max_images=max_images)
    paths = paths[first:last]
    num_classes = len(classes) if len(classes) > 1 else 0
    labels = _labels(paths, root / stored_split, classes) if num_classes else None
    conversions = set()

    def read(position):
        image, conversion = read_image(paths[position])
        if conversion and conversion not in conversions:
            conversions.add(conversion)
            logging.warning("%s: %s, here and in all images like it.", paths[position], conversion)
        return image

    shape = read(0).shape

    def read_checked(position: int, crop_uniforms=None) -> np.ndarray:
        del crop_uniforms
        image = read(position)
        if image.shape != shape:
            raise ValueError(
                f"All images of a folder must have the same size and kind: {paths[0]} is {shape}, {paths[position]} is "
                f"{image.shape} (height, width, channels). Crop, resize or convert them to one."
            )
        return image

    common = dict(
        name=spec.name,
        split=split,
        num_images=len(paths),
        image_shape=shape,
        num_classes=num_classes,
        class_names=tuple(classes) if num_classes else (),
        labels=labels,
    )
    if len(paths) * int(np.prod(shape)) > IN_MEMORY_BYTES:
        return OnDemandSource(read_image=read_checked, **common)
    images = np.stack([read_checked(position) for position in range(len(paths))])
    return ArraySource(images=images, **common)


def real_directory(origin: str, data_dir: str | os.PathLike | None) -> pathlib.Path | None:
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
    return next((place for place in places if (place / "train").is_dir()), None)


def _hint(root: pathlib.Path, split: str) -> str:
    """What to do with a folder that is arranged otherwise."""
    if not root.is_dir():
        return ""
    others = [name for name in ("val", "valid", "validation", "dev") if (root / name).is_dir()]
    if split == "test" and others:
        return f". {root} has {others[0]}/ and no test/: rename it to test/"
    if not (root / "train").is_dir() and _image_paths(root):
        return f". {root} holds images, but no train/ and test/: divide them into these"
    return ""


def _hint_at_files(directory: pathlib.Path) -> str:
    suffixes = sorted({path.suffix.lower() for path in directory.rglob("*") if path.is_file()} - {""})
    if not suffixes:
        return ""
    return f". Its files end in {', '.join(suffixes[:5])}; images must end in {', '.join(IMAGE_SUFFIXES)}: convert them"


def _image_paths(directory: pathlib.Path) -> list[pathlib.Path]:
    found = [
        path
        for path in sorted(directory.rglob("*"))
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not path.is_dir()
        and not any(_is_hidden(part) for part in path.relative_to(directory).parts)
    ]
    for path in found:
        if not path.is_file():  # reading from a pipe would wait for ever
            raise ValueError(f"{path} is no regular file, or a link to none; remove it.")
    return found


def _is_hidden(name: str) -> bool:
    """What notebooks and file managers leave beside the images, such as `.ipynb_checkpoints` and `._image.png`."""
    return name.startswith(".") or name == "__MACOSX"


def _labels(paths, directory: pathlib.Path, classes: list[str]) -> np.ndarray:
    names = [path.relative_to(directory).parts[0] for path in paths]
    unknown = sorted(set(names) - set(classes))
    if unknown:
        raise ValueError(
            f"{directory} has {unknown[0]!r}, which is no class of train/; its classes are {', '.join(classes)}."
        )
    return np.array([classes.index(name) for name in names], np.int32)
