"""The reproduction of Flow++, for the shared driver."""

from reproductions.experiment import Reproduction, deferred
from reproductions.flowpp.experiments import EXPERIMENTS, paper_form, small
from reproductions.flowpp.study import STUDY

FLOWPP = Reproduction(
    paper="flowpp",
    title="Flow++: Flow-Based Models with Variational Dequantization and Architecture Design (Ho et al. 2019).",
    experiments=EXPERIMENTS | STUDY,
    small=small,
    build_model=deferred("reproductions.flowpp.model", "build"),
    build_optimizer=deferred("reproductions.flowpp.model", "optimizer"),
    build_schedule=deferred("reproductions.flowpp.schedules", "build_schedule"),
    load_weights=deferred("tfflows.interop.flowpp", "load_weights"),
    extend_count=deferred("reproductions.flowpp.model", "extend_count"),
    variants=("release", "paper"),
    variant_fields={"paper": paper_form},
)
