"""`tfflows decompress`: gives back the images of a file of `tfflows compress`, as PNG."""

import argparse
import io
import pathlib
import sys
from collections.abc import Sequence

import tfflows
from tfflows.extras import MissingExtraError, require
from tfflows.files import atomic_write, first_line

# --help takes no time: what computes is imported by the functions that need it.

_COMMAND = "tfflows decompress"


def main(arguments: Sequence[str]) -> int:
    """Decompresses, and returns the exit status.

    Args:
      arguments: Command-line arguments.
    """
    parser = argparse.ArgumentParser(prog=_COMMAND, description=__doc__.partition(": ")[2])
    parser.add_argument("file", help="file that tfflows compress wrote")
    parser.add_argument("-d", "--directory", required=True, help="directory for the images")
    parser.add_argument("--model", help="workdir or name of the model; default: what the file says")
    parser.add_argument("--checkpoint", choices=["latest", "best"], default="latest")
    parser.add_argument("--models_dir", help="directory of trained models")
    parser.add_argument("--overwrite", action="store_true", help="replace images that are there")
    options = parser.parse_args(arguments)

    from tfflows.compression import ArchiveError, Container, decompress
    from tfflows.training.checkpoints import CheckpointError

    count = 0
    try:
        require("constriction", "compression")
        Image = require("PIL.Image", "compression")
        if not pathlib.Path(options.file).is_file():
            raise FileNotFoundError(f"There is no file {options.file}.")
        data = pathlib.Path(options.file).read_bytes()
        header = Container.from_bytes(data).header
        name = options.model or header["model_name"]
        if name is None:
            raise ValueError("The file does not say which model compressed it: give --model.")
        directory = pathlib.Path(options.directory)
        paths = output_paths(header, directory)
        present = [path for path in paths if path.exists()]
        if present and not options.overwrite:
            raise ValueError(f"{present[0]} exists: give another directory, or --overwrite.")
        model = tfflows.load(name, options.checkpoint, models_dir=options.models_dir)
        directory.mkdir(parents=True, exist_ok=True)
        for path, (_, pixels) in zip(
            [*paths, None], decompress(data, model.distribution, experiment=model.settings), strict=False
        ):
            file = io.BytesIO()
            Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels).save(file, "png")
            path.parent.mkdir(exist_ok=True)
            atomic_write(path, file.getvalue())
            count += 1
    except (ArchiveError, ValueError, OSError, CheckpointError, MissingExtraError) as error:
        print(f"{_COMMAND}: {type(error).__name__}: {first_line(error)}", file=sys.stderr)
        if count:
            print(f"{count} images before that are in {options.directory}.", file=sys.stderr)
        return 1
    print(f"{options.directory}: {count} images")
    return 0


def output_paths(header: dict, directory: pathlib.Path) -> list[pathlib.Path]:
    """Where the images of a file go: their names, or numbers, in a directory or a folder within it.

    Raises:
      ArchiveError: If a name is no plain name of a file, or of a folder and a file.
    """
    from tfflows.compression import ArchiveError

    total = sum(count for count, _ in header["shapes"])
    names = header["names"] or [f"{number:06d}.png" for number in range(total)]
    for name in names:
        parts = name.split("/")
        plain = all(pathlib.PurePath(part).name == part and part not in ("", "..") for part in parts)
        if not plain or len(parts) > 2 or "\\" in name:
            raise ArchiveError(f"The file asks for an image named {name!r}, which is no name of a file.")
    return [directory / name for name in names]
