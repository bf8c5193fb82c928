"""`tfflows compress`: compresses images without loss, with a trained model."""

import argparse
import collections
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import tfflows
from tfflows.extras import MissingExtraError, require
from tfflows.files import atomic_write, first_line

# --help takes no time: what computes is imported by the functions that need it.
if TYPE_CHECKING:
    import numpy as np

    from tfflows.models import Model

_COMMAND = "tfflows compress"


def main(arguments: Sequence[str]) -> int:
    """Compresses, and returns the exit status.

    Args:
      arguments: Command-line arguments.
    """
    parser = argparse.ArgumentParser(prog=_COMMAND, description=__doc__.partition(": ")[2])
    parser.add_argument("images", nargs="+", help="image files, or folders of them or of folders of them")
    parser.add_argument("-o", "--output", required=True, help="file to write, such as out.tff")
    parser.add_argument("--model", required=True, help="workdir of a run, or a name that tfflows list shows")
    parser.add_argument("--checkpoint", choices=["latest", "best"], default="latest")
    parser.add_argument("--models_dir", help="directory of trained models")
    parser.add_argument(
        "--label",
        help="for a conditional model: class of all images, a name or a number; default: what the folder of each image is called",
    )
    parser.add_argument(
        "--verify",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="decode what was written, and store an image as it is if it does not come back",
    )
    parser.add_argument("--max_batch", type=int, help="images that are coded at once")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    options = parser.parse_args(arguments)

    from tfflows.compression import compress
    from tfflows.compression.archive import MAX_BATCH
    from tfflows.training.checkpoints import CheckpointError

    try:
        if pathlib.Path(options.output).exists() and not options.overwrite:
            raise ValueError(f"{options.output} exists: give another name, or --overwrite.")
        files = image_files(options.images)
        require("constriction", "compression")
        images, errors = [], []
        for file in files.values():
            try:
                images.append(read_pixels(file))
            except ValueError as error:
                errors.append(first_line(error))
        if errors:
            print(*(f"{_COMMAND}: {error}" for error in errors), sep="\n", file=sys.stderr)
            return 1
        model = tfflows.load(options.model, options.checkpoint, models_dir=options.models_dir)
        compressed = compress(
            images,
            model.distribution,
            experiment=model.settings,
            names=list(files),
            labels=labels_of(model, list(files.values()), options.label),
            model_name=options.model if model.path.name == options.model else str(model.path.absolute()),
            verify=options.verify,
            max_batch=MAX_BATCH if options.max_batch is None else options.max_batch,
        )
        atomic_write(options.output, compressed.data)
    except (ValueError, OSError, CheckpointError, MissingExtraError) as error:
        print(f"{_COMMAND}: {type(error).__name__}: {first_line(error)}", file=sys.stderr)
        return 1
    stored = f", {compressed.num_raw} tiles stored as they are" if compressed.num_raw else ""
    print(
        f"{options.output}: {compressed.num_images} images, {len(compressed.data):,} bytes, "
        f"{compressed.bits_per_dim:.3f} bits/dim; {compressed.noise_bits // 8:,} bytes of them are initial noise{stored}"
    )
    if compressed.num_mismatches:
        print(f"{compressed.num_mismatches} tiles did not come back when they were decoded.", file=sys.stderr)
    return 0


def image_files(places: Sequence[str]) -> dict[str, pathlib.Path]:
    """The image files among files, in folders and in their sub-folders, by the names to which they are decompressed.

    They come in the order that is given, and by name within a folder. Names are `name.png`, or `sub-folder/name.png`.

    Raises:
      ValueError: If there is none, or two would be decompressed to the same name.
      FileNotFoundError: If a place is not there.
    """
    missing = [place for place in places if not pathlib.Path(place).exists()]
    if missing:
        raise FileNotFoundError(f"There is no file {', '.join(missing)}.")
    found = []
    for place in map(pathlib.Path, places):
        if not place.is_dir():
            found.append((f"{place.stem}.png", place))
            continue
        found += [(f"{path.stem}.png", path) for path in _images_in(place)]
        for folder in sorted(path for path in place.iterdir() if path.is_dir()):
            found += [(f"{folder.name}/{path.stem}.png", path) for path in _images_in(folder)]
    if not found:
        raise ValueError(f"There are no images in {', '.join(places)}.")
    name, count = collections.Counter(name for name, _ in found).most_common(1)[0]
    if count > 1:
        raise ValueError(f"{count} images would be decompressed to {name}: compress them in files of their own.")
    return dict(found)


def _images_in(folder):
    from tfflows.data.images import IMAGE_SUFFIXES

    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())


def labels_of(model: "Model", files: Sequence[pathlib.Path], label: str | None) -> list[int] | None:
    """The labels of images: that of the class `label`, or of the class after which the folder of each is named.

    Args:
      model: The model.
      files: The images.
      label: Name or number of a class; None: the folders say.

    Returns:
      A label for each image, or None if the model takes none.

    Raises:
      ValueError: If the model does not know a class, or takes no labels but one is given.
    """
    if not model.is_conditional:
        if label is not None:
            raise ValueError("The model takes no labels: leave out --label.")
        return None
    classes = {str(number): number for number in range(model.num_classes)}
    classes |= {name: number for number, name in enumerate(model.description.class_names)}
    names = [file.absolute().parent.name if label is None else label for file in files]
    for name in names:
        if name not in classes:
            known = ", ".join(model.description.class_names[:20]) or f"0 to {model.num_classes - 1}"
            raise ValueError(
                f"The model knows no class {name!r}: give --label, or name folders after classes ({known})."
            )
    return [classes[name] for name in names]


def read_pixels(file: pathlib.Path) -> "np.ndarray":
    """The pixels of an image as they are stored, uint8 `[H, W]`, `[H, W, 3]`, or with alpha `[H, W, 2]` or `[H, W, 4]`.

    A colour that the file declares transparent gives alpha too.

    Raises:
      ValueError: If the file is no image, or neither grey nor RGB of 8 bits.
    """
    import numpy as np

    Image = require("PIL.Image", "compression")
    try:
        with Image.open(file) as image:
            if image.mode not in ("L", "RGB", "LA", "RGBA"):
                raise ValueError(f"{file} is neither grey nor RGB of 8 bits but {image.mode}: convert it first.")
            if image.mode in ("L", "RGB") and "transparency" in image.info:
                return np.asarray(image.convert("LA" if image.mode == "L" else "RGBA"))
            return np.asarray(image)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"Cannot read the image {file}: {first_line(error)}.") from error
