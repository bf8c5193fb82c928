"""`tfflows export`: writes a trained model as a SavedModel, which loads with TensorFlow alone."""

import argparse
import sys
from collections.abc import Sequence

import tfflows
from tfflows.files import first_line

# --help takes no time: what computes is imported by the functions that need it.

_COMMAND = "tfflows export"


def main(arguments: Sequence[str]) -> int:
    """Exports, and returns the exit status.

    Args:
      arguments: Command-line arguments.
    """
    parser = argparse.ArgumentParser(prog=_COMMAND, description=__doc__.partition(": ")[2])
    parser.add_argument("model", help="workdir of a run, or a name that tfflows list shows")
    parser.add_argument("directory", help="directory to write")
    parser.add_argument("--checkpoint", choices=["latest", "best"], default="latest")
    parser.add_argument("--models_dir", help="directory of trained models")
    options = parser.parse_args(arguments)

    from tfflows.training.checkpoints import CheckpointError

    try:
        model = tfflows.load(options.model, options.checkpoint, models_dir=options.models_dir)
        path = model.export(options.directory)
    except (ValueError, OSError, CheckpointError) as error:
        print(f"{_COMMAND}: {type(error).__name__}: {first_line(error)}", file=sys.stderr)
        return 1
    print(path)
    return 0
