"""The reproduction of Glow, for the shared driver."""

from reproductions.experiment import Reproduction
from reproductions.glow import model
from reproductions.glow.experiments import EXPERIMENTS, small
from reproductions.glow.released import read_config
from reproductions.glow.study import STUDY
from tfflows.interop.glow import load_weights

GLOW = Reproduction(
    paper="glow",
    title="Glow: Generative Flow with Invertible 1x1 Convolutions (Kingma & Dhariwal 2018).",
    experiments=EXPERIMENTS | STUDY,
    small=small,
    build_model=model.build,
    build_optimizer=model.optimizer,
    load_weights=load_weights,
    read_config=read_config,
    extend_count=model.extend_count,
)
