"""`tfflows bench-compression`: measures what compression with a trained model gives on test images, beside other coders."""

import argparse
import importlib.metadata
import importlib.util
import json
import pathlib
import shlex
import sys
from collections.abc import Sequence

import tfflows
from reproductions.checkout import results_directory
from tfflows.extras import MissingExtraError
from tfflows.files import as_file_name, atomic_write, first_line

# --help takes no time: what computes is imported by the functions that need it.

_COMMAND = "tfflows bench-compression"
_CODERS = ("constriction", "imagecodecs")


def main(arguments: Sequence[str]) -> int:
    """Measures, writes the record, and returns the exit status: 1 if an image did not come back.

    Args:
      arguments: Command-line arguments.
    """
    parser = argparse.ArgumentParser(prog=_COMMAND, description=__doc__.partition(": ")[2])
    parser.add_argument("--model", required=True, help="workdir of a run, or a name that tfflows list shows")
    parser.add_argument("--checkpoint", choices=["latest", "best"], default="latest")
    parser.add_argument("--models_dir", help="directory of trained models")
    parser.add_argument("--data_dir", help="where the data set is")
    parser.add_argument("--dataset", help="data set; default: that of the model")
    parser.add_argument("--num_images", type=int, default=1000, help="first test images to take; 0 for all")
    parser.add_argument("--max_batch", type=int, help="images that are coded at once")
    parser.add_argument("--noise_bits", type=int, help="bits of the grid behind those of a colour, of a flow")
    parser.add_argument(
        "--others",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="measure PNG, WebP and JPEG XL too",
    )
    parser.add_argument("--results", help="results directory; default: that of the checkout")
    options = parser.parse_args(arguments)

    import numpy as np

    from reproductions.compression_measures import MAX_BATCH, measure, other_coders, test_images
    from reproductions.reporting.compression_page import COMPRESSION_DIRECTORY
    from tfflows.compression import CannotCodeError
    from tfflows.data import short_name
    from tfflows.training.checkpoints import CheckpointError

    try:
        model = tfflows.load(options.model, options.checkpoint, models_dir=options.models_dir)
        images, labels = test_images(model, options.dataset, options.data_dir, options.num_images)
        record = measure(
            model, images, labels, MAX_BATCH if options.max_batch is None else options.max_batch, options.noise_bits
        )
        if options.others:
            record |= {f"{name}_bits_per_dim": float(np.mean(rate)) for name, rate in other_coders(images).items()}
        record["dataset"] = options.dataset or model.settings["dataset"]
        record |= {"model": model.path.name, "paper": model.settings["paper"], "step": model.step}
        directory = pathlib.Path(options.results) if options.results else results_directory()
        parts = [record["model"], str(record["num_images"])]
        if options.dataset:
            parts.append(short_name(options.dataset).rpartition(":")[2])
        path = directory / COMPRESSION_DIRECTORY / f"{as_file_name('-'.join(parts))}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, json.dumps({**record, **_provenance(arguments)}, indent=2, sort_keys=True) + "\n")
    except (ValueError, OSError, CheckpointError, MissingExtraError, CannotCodeError) as error:
        print(f"{_COMMAND}: {type(error).__name__}: {first_line(error)}", file=sys.stderr)
        return 1
    print(path)
    for name in ("num_exact", "num_images", "file_bits_per_dim", "net_bits_per_dim", "model_at_noise_bits_per_dim"):
        print(f"  {name}: {record[name]}")
    return 0 if record["num_exact"] == record["num_images"] else 1


def _provenance(arguments):
    from reproductions.reporting.provenance import collect_provenance

    found = collect_provenance()
    coders = {name: importlib.metadata.version(name) for name in _CODERS if importlib.util.find_spec(name)}
    return {
        **found,
        "command": shlex.join([*_COMMAND.split(), *arguments]),
        "versions": {**found["versions"], **coders},
    }
