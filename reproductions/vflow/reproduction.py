"""The reproduction of VFlow, for the shared driver."""

from reproductions.experiment import Reproduction, deferred
from reproductions.vflow.experiments import EXPERIMENTS, paper_form, small
from reproductions.vflow.study import STUDY

VFLOW = Reproduction(
    paper="vflow",
    title="VFlow: More Expressive Generative Flows with Variational Data Augmentation (Chen et al. 2020).",
    experiments=EXPERIMENTS | STUDY,
    small=small,
    build_model=deferred("reproductions.vflow.model", "build"),
    build_optimizer=deferred("reproductions.flowpp.model", "optimizer"),
    build_schedule=deferred("reproductions.vflow.schedules", "build_schedule"),
    load_weights=deferred("tfflows.interop.vflow", "load_weights"),
    extend_count=deferred("reproductions.vflow.counts", "count_parameters"),
    variants=("release", "paper"),
    variant_fields={"paper": paper_form},
)
