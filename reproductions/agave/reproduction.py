"""The reproduction of AGAVE, for the shared driver."""

from reproductions.agave import model
from reproductions.agave.counts import count_parameters
from reproductions.agave.experiments import EXPERIMENTS, UNUSED_BY_STAGES, small, stages
from reproductions.agave.study import STUDY
from reproductions.experiment import Reproduction
from tfflows.interop.agave import load_weights

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
    unused_by_stages=UNUSED_BY_STAGES,
)
