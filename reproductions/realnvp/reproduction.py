"""The reproduction of RealNVP, for the shared driver."""

from reproductions.experiment import Reproduction, deferred
from reproductions.realnvp.experiments import EXPERIMENTS, at_size, has_batch_norm, small
from reproductions.realnvp.study import STUDY

REALNVP = Reproduction(
    paper="realnvp",
    title="RealNVP: Density Estimation Using Real NVP (Dinh et al. 2017).",
    experiments=EXPERIMENTS | STUDY,
    small=small,
    at_size=at_size,
    build_model=deferred("reproductions.realnvp.model", "build"),
    build_optimizer=deferred("reproductions.realnvp.model", "optimizer"),
    load_weights=deferred("tfflows.interop.realnvp", "load_weights"),
    extend_count=deferred("reproductions.realnvp.model", "extend_count"),
    has_loss_of_batch=has_batch_norm,
)
