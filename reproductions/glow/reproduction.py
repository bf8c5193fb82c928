"""The reproduction of Glow, for the shared driver."""

from reproductions.experiment import Reproduction, deferred
from reproductions.glow.experiments import EXPERIMENTS, at_size, paper_form, small
from reproductions.glow.study import STUDY

GLOW = Reproduction(
    paper="glow",
    title="Glow: Generative Flow with Invertible 1x1 Convolutions (Kingma & Dhariwal 2018).",
    experiments=EXPERIMENTS | STUDY,
    small=small,
    at_size=at_size,
    build_model=deferred("reproductions.glow.model", "build"),
    build_optimizer=deferred("reproductions.glow.model", "optimizer"),
    load_weights=deferred("tfflows.interop.glow", "load_weights"),
    read_config=deferred("reproductions.glow.released", "read_config"),
    extend_count=deferred("reproductions.glow.model", "extend_count"),
    variants=("release", "paper"),
    variant_fields={"paper": paper_form},
)
