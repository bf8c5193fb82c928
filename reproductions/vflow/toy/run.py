"""The checkerboard study of VFlow (Chen et al. 2020, section 5): a 35-cell grid of steps and dimensions, five seeds each.

A cell whose name ends with -normal has q(z|x) = N(0, I), and only p(x, z) is trained (remark 2).

--mode=train runs every cell of --cells that has no record yet. --mode=figures draws figures 2 and 4 from trained cells.
"""

import contextlib
import pathlib
import sys
from collections.abc import Sequence

import tensorflow as tf
from absl import flags

from reproductions.checkout import in_checkout
from reproductions.vflow.toy.cells import ITERATIONS, NUM_SEEDS, parse_cells
from reproductions.vflow.toy.study import DATASET, run_cells
from tfflows import progress
from tfflows.extras import MissingExtraError


def define_flags() -> flags.FlagValues:
    """Returns the flags of the command, which are separate from those of the other data sets."""
    values = flags.FlagValues()
    flags.DEFINE_enum("dataset", DATASET, [DATASET], "Data set.", flag_values=values)
    flags.DEFINE_enum("mode", "train", ["train", "figures"], "What to do.", flag_values=values)
    flags.DEFINE_list(
        "cells",
        ["all"],
        "Cells STEPSxDIMENSIONS to run, such as 3x10,3x2,3x10-normal,2x3-gaussian_step, or all.",
        flag_values=values,
    )
    flags.DEFINE_integer("iterations", ITERATIONS, "Training iterations per cell.", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("seeds", NUM_SEEDS, "Number of seeds: 0, 1, ...", lower_bound=1, flag_values=values)
    flags.DEFINE_string(
        "workdir", "workdirs/vflow/checkerboard", "Directory with one folder per cell.", flag_values=values
    )
    flags.DEFINE_string(
        "results_dir",
        None,
        "Directory for the records. Default: results/obtained in a checkout of the repository, otherwise the workdir.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "pictures_dir",
        None,
        "Directory for the pictures of --mode=figures. Default: results/pictures in a checkout, otherwise the workdir.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "threads", 1, "Threads per process. The matrices are too small for two; start two processes instead.",
        lower_bound=0, flag_values=values,
    )  # fmt: skip
    return values


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command, and returns its exit status.

    Args:
      arguments: Command line as in `sys.argv`; None takes that of the process.
    """
    arguments = sys.argv if arguments is None else arguments
    values = define_flags()
    if any(argument in ("--help", "-h", "--helpshort") for argument in arguments[1:]):
        print(f"{__doc__}\n{values.get_help()}")
        return 0
    try:
        unknown = values(arguments)[1:]
        if unknown:
            raise ValueError(f"Unknown arguments: {' '.join(unknown)}. Flags start with --; see --help.")
        cells = parse_cells(values.cells)
        _set_threads(values.threads)
        if values.mode == "figures":
            from reproductions.vflow.toy.figures import draw_figures

            for path in draw_figures(values.iterations, values.seeds, values.workdir, _directory(values, "pictures")):
                print(path)
            return 0
        with progress.shown(pathlib.Path(values.workdir) / progress.TIMINGS_FILE):
            diverged = run_cells(cells, values.iterations, values.seeds, values.workdir, _directory(values, "results"))
    except (flags.Error, ValueError, FileNotFoundError, FileExistsError, MissingExtraError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 1 if diverged else 0


def _directory(values, kind):
    """The value of --results_dir or --pictures_dir, or its default."""
    in_results = {"results": "results/obtained", "pictures": "results/pictures"}[kind]
    return getattr(values, f"{kind}_dir") or (in_results if in_checkout() else values.workdir)


def _set_threads(count):
    # If TensorFlow has already started, as in a test, it keeps its threads.
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(count)


if __name__ == "__main__":
    sys.exit(main())
