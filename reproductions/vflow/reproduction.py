"""The reproduction of VFlow, for the shared driver."""

from reproductions.experiment import Reproduction
from reproductions.flowpp.model import optimizer
from reproductions.vflow import model
from reproductions.vflow.counts import count_parameters
from reproductions.vflow.experiments import EXPERIMENTS, small
from reproductions.vflow.schedules import build_schedule
from reproductions.vflow.study import STUDY
from tfflows.interop.vflow import load_weights

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
