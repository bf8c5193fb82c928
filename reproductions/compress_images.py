"""`tfflows compress`: compresses images without loss, with a trained model."""

import argparse
import collections
import pathlib
import sys
from collections.abc import Sequence

import numpy as np

import tfflows
from tfflows.compression import compress
from tfflows.compression.archive import MAX_BATCH
from tfflows.compression.container import SUFFIX
from tfflows.data.images import IMAGE_SUFFIXES
from tfflows.extras import MissingExtraError, require
from tfflows.files import atomic_write, first_line
from tfflows.training.checkpoints import CheckpointError

_COMMAND = "tfflows compress"


def main(arguments: Sequence[str]) -> int:
    """Compresses, and returns the exit status.

    Args:
      arguments: Command-line arguments.
    """
    parser = argparse.ArgumentParser(prog=_COMMAND, description=__doc__.partition(": ")[2])
    parser.add_argument("images", nargs="+", help="image files, grey or RGB, or folders of them")
    parser.add_argument("-o", "--output", required=True, help=f"file to write, such as out{SUFFIX}")
    parser.add_argument("--model", required=True, help="workdir of a run, or a name that tfflows list shows")
    parser.add_argument("--checkpoint", choices=["latest", "best"], default="latest")
    parser.add_argument("--models_dir", help="directory of trained models")
    parser.add_argument(
        "--verify",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="decode what was written, and store an image as it is if it does not come back",
    )
    parser.add_argument("--max_batch", type=int, default=MAX_BATCH, help="images that are coded at once")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    options = parser.parse_args(arguments)
    try:
        if pathlib.Path(options.output).exists() and not options.overwrite:
            raise ValueError(f"{options.output} exists: give another name, or --overwrite.")
        files = image_files(options.images)
        require("constriction", "compression")
        images = [read_pixels(file) for file in files]
        model = tfflows.load(options.model, options.checkpoint, models_dir=options.models_dir)
        compressed = compress(
            images,
            model.distribution,
            experiment=model.settings,
            names=[f"{file.stem}.png" for file in files],
            model_name=options.model if model.path.name == options.model else str(model.path.absolute()),
            verify=options.verify,
            max_batch=options.max_batch,
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


def image_files(places: Sequence[str]) -> list[pathlib.Path]:
    """The image files among files and in folders, in the order that is given and by name within a folder.

    Raises:
      ValueError: If there is none, or two would be decompressed to the same name.
      FileNotFoundError: If a place is not there.
    """
    files = []
    for place in map(pathlib.Path, places):
        if place.is_dir():
            files += sorted(path for path in place.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
        elif place.exists():
            files.append(place)
        else:
            raise FileNotFoundError(f"There is no file {place}.")
    if not files:
        raise ValueError(f"There are no images in {', '.join(places)}.")
    stem, count = collections.Counter(file.stem for file in files).most_common(1)[0]
    if count > 1:
        raise ValueError(f"{count} images would be decompressed to {stem}.png: compress them in files of their own.")
    return files


def read_pixels(file: pathlib.Path) -> np.ndarray:
    """The pixels of an image as they are stored, uint8 `[H, W]` or `[H, W, 3]`.

    Raises:
      ValueError: If the file is no image, or neither grey nor RGB of 8 bits.
    """
    Image = require("PIL.Image", "compression")
    try:
        with Image.open(file) as image:
            if image.mode not in ("L", "RGB"):
                raise ValueError(f"{file} is neither grey nor RGB of 8 bits but {image.mode}: convert it first.")
            return np.asarray(image)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"Cannot read the image {file}: {first_line(error)}.") from error
