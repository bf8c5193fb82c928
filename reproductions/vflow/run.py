"""VFlow: `python reproductions/vflow/run.py --dataset=cifar10`; see the README beside this file."""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what goes wrong is raised in Python
sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from tfflows.cli.start_up import import_libraries  # noqa: E402

import_libraries()

from reproductions.flowpp.model import optimizer  # noqa: E402
from reproductions.vflow import model  # noqa: E402
from reproductions.vflow.counts import count_parameters  # noqa: E402
from reproductions.vflow.experiments import EXPERIMENTS, small  # noqa: E402
from reproductions.vflow.schedules import build_schedule  # noqa: E402
from reproductions.vflow.study import STUDY  # noqa: E402
from tfflows.cli.main import main  # noqa: E402
from tfflows.cli.reproduction import Reproduction  # noqa: E402
from tfflows.interop.vflow import load_weights  # noqa: E402

VFLOW = Reproduction(
    paper="vflow",
    title="VFlow: More Expressive Generative Flows with Variational Data Augmentation (Chen et al. 2020).",
    experiments=EXPERIMENTS | STUDY,
    small=small,
    build_model=model.build,
    build_optimizer=optimizer,
    build_schedule=build_schedule,
    load_weights=load_weights,
    extend_count=count_parameters,
)


def is_toy_study(arguments):
    """Whether a command line is of the study on two-dimensional data (section 5), which has a driver of its own."""
    words = [word for argument in arguments for word in argument.lstrip("-").split("=")]
    pairs = zip(words, words[1:], strict=False)
    return any(name in ("dataset", "experiment") and value.startswith("checkerboard") for name, value in pairs)


def run(arguments):
    """Runs what a command line (without the program's name) asks for."""
    if is_toy_study(arguments):
        from reproductions.vflow.toy.run import main as run_toy_study

        run_toy_study()
    else:
        main(VFLOW)


if __name__ == "__main__":
    run(sys.argv[1:])
