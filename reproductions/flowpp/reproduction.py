"""The reproduction of Flow++, for the shared driver."""

from reproductions.experiment import Reproduction
from reproductions.flowpp import model
from reproductions.flowpp.experiments import EXPERIMENTS, small
from reproductions.flowpp.schedules import build_schedule
from reproductions.flowpp.study import STUDY
from tfflows.interop.flowpp import load_weights

FLOWPP = Reproduction(
    paper="flowpp",
    title="Flow++: Flow-Based Models with Variational Dequantization and Architecture Design (Ho et al. 2019).",
    experiments=EXPERIMENTS | STUDY,
    small=small,
    build_model=model.build,
    build_optimizer=model.optimizer,
    build_schedule=build_schedule,
    load_weights=load_weights,
    extend_count=model.extend_count,
)
