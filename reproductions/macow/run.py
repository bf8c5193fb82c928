"""MaCow: `python reproductions/macow/run.py --dataset=cifar10`; see the README beside this file."""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what goes wrong is raised in Python
sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from tfflows.cli.start_up import import_libraries  # noqa: E402

import_libraries()

from reproductions.macow import model  # noqa: E402
from reproductions.macow.counts import count_parameters  # noqa: E402
from reproductions.macow.experiments import EXPERIMENTS, VARIANTS, small  # noqa: E402
from reproductions.macow.schedules import build_schedule  # noqa: E402
from reproductions.macow.study import STUDY  # noqa: E402
from tfflows.cli.main import main  # noqa: E402
from tfflows.cli.reproduction import Reproduction  # noqa: E402
from tfflows.interop.macow import load_weights  # noqa: E402

MACOW = Reproduction(
    paper="macow",
    title="MaCow: Masked Convolutional Generative Flow (Ma et al. 2019).",
    experiments=EXPERIMENTS | STUDY,
    small=small,
    build_model=model.build,
    build_optimizer=model.optimizer,
    build_schedule=build_schedule,
    load_weights=load_weights,
    extend_count=count_parameters,
    variants=VARIANTS,
)

if __name__ == "__main__":
    main(MACOW)
