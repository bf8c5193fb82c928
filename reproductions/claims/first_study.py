"""The first study: its runs, and the claims that still rest on it because the second study has not come to them.

Its arms took 3,000 steps, each at its paper's learning rate and dropout, with 2 or 3 seeds. A claim goes from here as soon as
its replacement has been run.
"""

import dataclasses

from reproductions.claims import agave, flowpp, glow, macow, vflow
from reproductions.claims.arms import ArmRun
from reproductions.claims.comparisons import Comparison
from reproductions.claims.quantities import GRADIENT_SPIKE

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

# Arms of the same data; the spread over their seeds tells how far any of them varies.
GROUPS = tuple(
    tuple((paper, f"claims_{arm.removeprefix('claims_')}") for arm in arms)
    for paper, arms in (
        (
            "glow",
            [f"{permutation}_{coupling}" for coupling in GLOW_COUPLINGS for permutation in GLOW_PERMUTATIONS]
            + ["augmented"],
        ),
        ("flowpp", FLOWPP_TABLE_2 + FLOWPP_PROPORTIONS),
        ("flowpp", FLOWPP_GAP),
        ("macow", (*MACOW_TABLE_1, *MACOW_TABLE_1_RELEASE, "two_levels", "two_levels_augmented")),
        ("macow", MACOW_TABLE_2),
        ("vflow", VFLOW_TABLE_2 + VFLOW_OTHERS),
        ("vflow", VFLOW_GAP),
        ("agave", AGAVE_VERDICTS),
    )
)

SUFFIX = "_first_study"

# The arms by which the first study tested a claim, where they are not named after those of the second one.
_ARMS_OF_CLAIMS = {
    ("flowpp", "variational_below_uniform"): ("full_proportioned", "uniform_dequantization"),
    ("flowpp", "attention_below_maximum"): ("full", "no_attention"),
    ("macow", "flowpp_below_var"): ("full_proportioned", "var"),
    ("macow", "flowpp_below_var_release"): ("full_proportioned", "var_release"),
    ("vflow", "smaller_equals_3"): ("6_channels_narrow", "3_channels"),
    ("vflow", "vflow_below_flowpp"): ("6_channels", "full_proportioned"),
    **{("agave", name): ("no_auxiliary", "guided") for name in ("auxiliary_keeps_kl", "auxiliary_makes_pixels_follow")},
    ("agave", "lambda_2_below_1"): ("guided", "lambda_1"),
    **{
        ("agave", name): ("lambda_12", "guided")
        for name in ("lambda_12_below_2", "kl_falls_with_lambda", "samples_near_reconstructions")
    },
    **{
        ("agave", name): ("guided", "lambda_12")
        for name in ("pixels_rise_with_lambda", "auxiliary_image_rises_with_lambda", "vae_rises_with_lambda")
    },
}

# What they tested, where the claim of the second study says more than is true of them.
_AS_PUBLISHED = "; a dequantizer of 55% of the parameters"
_TEXTS = {
    "flowpp": {
        "mixture_below_affine": "coupling by mixtures of logistics reaches fewer bits/dim than affine coupling (table 2)"
        + _AS_PUBLISHED,
        "attention_below_maximum": "self-attention reaches fewer bits/dim than the gated maximum that the released ablation puts "
        "in its place (table 2)" + _AS_PUBLISHED,
    },
    "vflow": {
        "smaller_equals_3": "6 channels with 2.4 times fewer parameters reach as many bits/dim as 3 (table 3)",
        "vflow_below_flowpp": "VFlow reaches fewer bits/dim than a Flow++ of as many parameters (table 1: equal D_H and B)",
    },
    "agave": {
        "agave_below_iaf_vae": "AGAVE (lambda 12) reaches fewer bits/dim than an IAF-VAE of as many parameters (table 1: of the "
        "size of its VAE)",
        "agave_equals_pixelcnn": "AGAVE (lambda 12) reaches as many bits/dim as a PixelCNN++ of as many parameters (table 1: of "
        "the size of its decoder)",
    },
}


def _tested():
    """The claims of the second study that the first one tested too, by its own arms; each with the name of its replacement."""
    names = {(run.paper, run.experiment) for run in ARMS if run.seed == 1}  # one seed gives no verdict
    for paper in (glow, flowpp, macow, vflow, agave):
        for comparison in paper.COMPARISONS:
            own = tuple(side.removeprefix("study_") for side in (comparison.lower, comparison.higher))
            arms = _ARMS_OF_CLAIMS.get((comparison.paper, comparison.name), own)
            lower, higher = (f"claims_{arm}" for arm in arms)
            earlier = dataclasses.replace(
                comparison,
                name=f"{comparison.name}{SUFFIX}",
                claim=_TEXTS.get(comparison.paper, {}).get(comparison.name, comparison.claim),
                lower=lower,
                higher=higher,
            )
            if set(earlier.sides) <= names and comparison.quantity is not GRADIENT_SPIKE:  # it kept no gradient norms
                yield earlier, comparison.name


COMPARISONS: list[tuple[Comparison, str]] = [
    *_tested(),
    (
        Comparison(
            paper="flowpp",
            name=f"variational_below_uniform_large_dequantizer{SUFFIX}",
            claim="variational dequantization reaches fewer bits/dim than uniform (table 2), the dequantizer as published, "
            "narrower: 55% of the parameters",
            lower="claims_full",
            higher="claims_uniform_dequantization",
            paper_effect="about 0.127: 3.165 against 3.292",
        ),
        "variational_below_uniform",
    ),
]
