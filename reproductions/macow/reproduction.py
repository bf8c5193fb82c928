"""The reproduction of MaCow, for the shared driver."""

from reproductions.experiment import Reproduction
from reproductions.macow import model
from reproductions.macow.counts import count_parameters
from reproductions.macow.experiments import EXPERIMENTS, VARIANTS, small
from reproductions.macow.released import read_config
from reproductions.macow.study import STUDY
from tfflows.interop.macow import load_weights

MACOW = Reproduction(
    paper="macow",
    title="MaCow: Masked Convolutional Generative Flow (Ma et al. 2019).",
    experiments=EXPERIMENTS | STUDY,
    small=small,
    build_model=model.build,
    build_optimizer=model.optimizer,
    build_schedule=model.build_schedule,
    load_weights=load_weights,
    read_config=read_config,
    extend_count=count_parameters,
    variants=VARIANTS,
)
