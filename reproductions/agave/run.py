"""AGAVE: `python reproductions/agave/run.py --dataset=cifar10`; see the README beside this file."""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what goes wrong is raised in Python
sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from tfflows.cli.start_up import import_libraries  # noqa: E402

import_libraries()

from reproductions.agave import model  # noqa: E402
from reproductions.agave.counts import count_parameters  # noqa: E402
from reproductions.agave.experiments import EXPERIMENTS, small, stages  # noqa: E402
from reproductions.agave.study import STUDY  # noqa: E402
from tfflows.cli.main import main  # noqa: E402
from tfflows.cli.reproduction import Reproduction  # noqa: E402
from tfflows.interop.agave import load_weights  # noqa: E402

AGAVE = Reproduction(
    paper="agave",
    title="AGAVE: Auxiliary Guided Autoregressive Variational Autoencoders (Lucas & Verbeek 2018).",
    experiments=EXPERIMENTS | STUDY,
    small=small,
    build_model=model.build,
    build_optimizer=model.optimizer,
    build_schedule=model.build_schedule,
    load_weights=load_weights,
    extend_count=count_parameters,
    stages=stages,
    parts_of_stages=model.parts_of_stages,
)

if __name__ == "__main__":
    main(AGAVE)
