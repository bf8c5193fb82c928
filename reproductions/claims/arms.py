"""The arms of the claims study: which experiments, with which seeds."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class ArmRun:
    """One run of the queue.

    Attributes:
      paper: Folder under `reproductions/`.
      experiment: Its name there.
      seed: Of the run.
    """

    paper: str
    experiment: str
    seed: int


GLOW_PERMUTATIONS = ("reverse", "shuffle", "invertible")
GLOW_COUPLINGS = ("additive", "affine")
GLOW_SEEDS = (0, 1, 2)  # as in figure 3

# The rows of table 2, then the gap between test and training images with two kinds of dequantization.
FLOWPP_EXPERIMENTS = (
    "claims_full",
    "claims_uniform_dequantization",
    "claims_affine_coupling",
    "claims_no_attention",
    "claims_gap_full",
    "claims_gap_uniform_dequantization",
)
FLOWPP_SEEDS = (0, 1)

# Seed by seed, so that a queue that was cut short holds whole comparisons.
ARMS = [
    *(
        ArmRun("glow", f"claims_{permutation}_{coupling}", seed)
        for seed in GLOW_SEEDS
        for coupling in GLOW_COUPLINGS
        for permutation in GLOW_PERMUTATIONS
    ),
    *(ArmRun("flowpp", experiment, seed) for seed in FLOWPP_SEEDS for experiment in FLOWPP_EXPERIMENTS),
]
