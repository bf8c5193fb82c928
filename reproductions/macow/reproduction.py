"""The reproduction of MaCow, for the shared driver."""

from reproductions.experiment import Reproduction, deferred
from reproductions.macow.experiments import EXPERIMENTS, VARIANTS, at_size, small
from reproductions.macow.study import STUDY

MACOW = Reproduction(
    paper="macow",
    title="MaCow: Masked Convolutional Generative Flow (Ma et al. 2019).",
    experiments=EXPERIMENTS | STUDY,
    small=small,
    at_size=at_size,
    build_model=deferred("reproductions.macow.model", "build"),
    build_optimizer=deferred("reproductions.macow.model", "optimizer"),
    build_schedule=deferred("reproductions.macow.model", "build_schedule"),
    load_weights=deferred("tfflows.interop.macow", "load_weights"),
    read_config=deferred("reproductions.macow.released", "read_config"),
    extend_count=deferred("reproductions.macow.counts", "count_parameters"),
    variants=VARIANTS,
)
