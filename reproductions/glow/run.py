"""Glow: `python reproductions/glow/run.py --dataset=cifar10`; see the README beside this file."""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what goes wrong is raised in Python
sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from tfflows.cli.start_up import import_libraries  # noqa: E402

import_libraries()

from reproductions.glow import model  # noqa: E402
from reproductions.glow.experiments import EXPERIMENTS, small  # noqa: E402
from reproductions.glow.study import STUDY  # noqa: E402
from tfflows.cli.main import main  # noqa: E402
from tfflows.cli.reproduction import Reproduction  # noqa: E402
from tfflows.interop.glow import load_weights  # noqa: E402

GLOW = Reproduction(
    paper="glow",
    title="Glow: Generative Flow with Invertible 1x1 Convolutions (Kingma & Dhariwal 2018).",
    experiments=EXPERIMENTS | STUDY,
    small=small,
    build_model=model.build,
    build_optimizer=model.optimizer,
    load_weights=load_weights,
    extend_count=model.extend_count,
)

if __name__ == "__main__":
    main(GLOW)
