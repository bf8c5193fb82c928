"""The reproduction of AGAVE, for the shared driver."""

from reproductions.agave.experiments import (
    EXPERIMENTS,
    STEPS_OF_STAGES,
    UNUSED_BY_STAGES,
    at_size,
    has_free_bits,
    small,
    stages,
)
from reproductions.agave.study import STUDY
from reproductions.experiment import Reproduction, deferred

AGAVE = Reproduction(
    paper="agave",
    title="AGAVE: Auxiliary Guided Autoregressive Variational Autoencoders (Lucas & Verbeek 2018).",
    experiments=EXPERIMENTS | STUDY,
    small=small,
    at_size=at_size,
    build_model=deferred("reproductions.agave.model", "build"),
    build_optimizer=deferred("reproductions.agave.model", "optimizer"),
    build_schedule=deferred("reproductions.agave.model", "build_schedule"),
    load_weights=deferred("tfflows.interop.agave", "load_weights"),
    extend_count=deferred("reproductions.agave.counts", "count_parameters"),
    stages=stages,
    steps_of_stages=STEPS_OF_STAGES,
    parts_of_stages=deferred("reproductions.agave.model", "parts_of_stages"),
    unused_by_stages=UNUSED_BY_STAGES,
    has_loss_of_batch=has_free_bits,
)
