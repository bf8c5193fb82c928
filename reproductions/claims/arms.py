"""The arms of the claims study: experiments and their seeds."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class ArmRun:
    """One run of the queue.

    Attributes:
      paper: Name of the folder under `reproductions/`.
      experiment: Name of the experiment.
      seed: Seed of the run.
    """

    paper: str
    experiment: str
    seed: int


GLOW_PERMUTATIONS = ("reverse", "shuffle", "invertible")
GLOW_COUPLINGS = ("additive", "affine")
GLOW_SEEDS = (0, 1, 2)  # as in figure 3

FLOWPP_TABLE_2 = ("claims_full", "claims_uniform_dequantization", "claims_affine_coupling", "claims_no_attention")
# The gap between test and training images with two kinds of dequantization.
FLOWPP_GAP = ("claims_gap_full", "claims_gap_uniform_dequantization")
# Variational dequantization again, with a dequantizer that has its published share of the parameters.
FLOWPP_PROPORTIONS = ("claims_full_proportioned",)
FLOWPP_SEEDS = (0, 1)

MACOW_TABLE_1 = ("claims_org", "claims_fine_grained", "claims_var")
MACOW_TABLE_1_RELEASE = tuple(f"{arm}_release" for arm in MACOW_TABLE_1)
# On 5 bits, as in table 2.
MACOW_TABLE_2 = ("claims_fine_grained_5bit", "claims_var_5bit")
MACOW_SEEDS = (0, 1)

VFLOW_TABLE_2 = ("claims_3_channels", "claims_4_channels", "claims_6_channels")
VFLOW_GAP = ("claims_gap_3_channels", "claims_gap_6_channels")
# Remark 2 on q = N(0, I), and fewer parameters.
VFLOW_OTHERS = ("claims_6_channels_normal", "claims_6_channels_narrow")
# VFlow's channels around other flows.
VFLOW_AROUND = (("glow", "claims_augmented"), ("macow", "claims_two_levels"), ("macow", "claims_two_levels_augmented"))
VFLOW_SEEDS = (0, 1)

AGAVE_VERDICTS = ("guided", "no_auxiliary", "lambda_12", "pixelcnn", "iaf_vae", "lambda_1")
AGAVE_SWEEPS = ("lambda_4", "lambda_8", "lambda_16", "levels_64", "levels_16", "levels_4", "auxiliary_8", "auxiliary_4")
AGAVE_SEEDS = (0, 1)  # of the arms with a verdict

# Study by study, and seed by seed within each, so that an interrupted queue holds complete comparisons.
ARMS = [
    *(
        ArmRun("glow", f"claims_{permutation}_{coupling}", seed)
        for seed in GLOW_SEEDS
        for coupling in GLOW_COUPLINGS
        for permutation in GLOW_PERMUTATIONS
    ),
    *(
        ArmRun("flowpp", experiment, seed)
        for experiments in (FLOWPP_TABLE_2, FLOWPP_GAP, FLOWPP_PROPORTIONS)
        for seed in FLOWPP_SEEDS
        for experiment in experiments
    ),
    *(
        ArmRun("macow", experiment, seed)
        for experiments in (MACOW_TABLE_1, MACOW_TABLE_2, MACOW_TABLE_1_RELEASE)
        for seed in MACOW_SEEDS
        for experiment in experiments
    ),
    *(
        ArmRun("vflow", experiment, seed)
        for experiments in (VFLOW_TABLE_2, VFLOW_GAP, VFLOW_OTHERS)
        for seed in VFLOW_SEEDS
        for experiment in experiments
    ),
    *(ArmRun(paper, experiment, seed) for seed in VFLOW_SEEDS for paper, experiment in VFLOW_AROUND),
    *(ArmRun("agave", f"claims_{arm}", seed) for seed in AGAVE_SEEDS for arm in AGAVE_VERDICTS),
    *(ArmRun("agave", f"claims_{arm}", 0) for arm in AGAVE_SWEEPS),
]
