"""The runs of the claims study in the order of the queue.

The trials of learning rates come first. Then come the runs with a verdict, seed by seed across papers, so that an interrupted
queue holds complete comparisons: first the comparisons of the papers' tables, then variants, gaps and VFlow around other flows.
Single arms of a sweep follow, and the long runs for trends come last.
"""

from reproductions.claims.arms import ArmRun
from reproductions.claims.rates import TRIAL_SEED
from reproductions.recipe import CANDIDATE_RATES, PREFIX, SEEDS, TREND_SEEDS, trend_name, trial_name

PAPERS = ("glow", "flowpp", "macow", "vflow", "agave", "realnvp")

MAIN = {
    "glow": (
        *(f"{permutation}_affine" for permutation in ("reverse", "shuffle", "invertible")),
        *(f"{permutation}_additive" for permutation in ("reverse", "shuffle", "invertible")),
    ),
    "flowpp": (
        "full",
        "uniform_dequantization",
        "affine_coupling",
        "maximum",
        "convolutions_only",
    ),
    "macow": ("org", "fine_grained", "uniform_flow_of_var", "var"),
    "vflow": ("3_channels", "4_channels", "6_channels"),
    "agave": ("no_auxiliary", "lambda_1", "lambda_2", "lambda_12", "pixelcnn", "iaf_vae", "iaf_vae_matched"),
    "realnvp": ("full",),
}
FURTHER = {
    "glow": ("invertible_affine_5bit", "augmented"),
    "flowpp": ("vflow_width", "gap_full", "gap_uniform_dequantization"),
    "macow": (
        *(f"{arm}_5bit" for arm in ("fine_grained", "uniform_flow_of_var", "var")),
        *(f"{arm}_release" for arm in ("org", "fine_grained", "uniform_flow_of_var", "var")),
        "two_levels",
        "two_levels_augmented",
    ),
    "vflow": (
        "6_channels_normal",
        "table_3_3_channels",
        "table_3_6_channels",
        "gap_3_channels",
        "gap_6_channels",
    ),
    "agave": ("lambda_8", "levels_64", "levels_16", "levels_4"),
}
SWEEPS = {"agave": ("lambda_4", "lambda_16", "auxiliary_8", "auxiliary_4")}
TRENDS = {
    "macow": ("org", "fine_grained"),
    "flowpp": ("uniform_dequantization", "full"),
    "vflow": ("3_channels", "6_channels"),
}

# Free bits depend on the batch as a whole, so it must not be split into parts.
SIDE_BY_SIDE = {"agave": 1}


def _runs(arms, seeds, name=lambda arm: f"{PREFIX}{arm}"):
    return [ArmRun(paper, name(arm), seed) for seed in seeds for paper in arms for arm in arms[paper]]


TRIALS = [ArmRun(paper, trial_name(rate), TRIAL_SEED) for paper in PAPERS for rate in CANDIDATE_RATES]
VERDICT_RUNS = _runs(MAIN, SEEDS) + _runs(FURTHER, SEEDS)
RUNS = TRIALS + VERDICT_RUNS + _runs(SWEEPS, SEEDS[:1]) + _runs(TRENDS, TREND_SEEDS, trend_name)


def is_trial(run: ArmRun) -> bool:
    """Returns whether a run is a trial of a learning rate."""
    return run in TRIALS


def side_by_side(run: ArmRun) -> int:
    """Returns the number of parts of a batch to compute side by side."""
    return SIDE_BY_SIDE.get(run.paper, 2)


# Arms of the same data; the spread over their seeds tells how far any of them varies.
_OTHER_DATA = {
    "glow": {"5bit": ("invertible_affine_5bit",)},
    "flowpp": {"gap": ("gap_full", "gap_uniform_dequantization")},
    "macow": {"5bit": ("fine_grained_5bit", "uniform_flow_of_var_5bit", "var_5bit")},
    "vflow": {"gap": ("gap_3_channels", "gap_6_channels")},
    "agave": {},
    "realnvp": {},
}
GROUPS = tuple(
    tuple((paper, f"{PREFIX}{arm}") for arm in arms)
    for paper, others in _OTHER_DATA.items()
    for arms in (
        tuple(
            arm for arm in (*MAIN[paper], *FURTHER.get(paper, ())) if not any(arm in group for group in others.values())
        ),
        *others.values(),
    )
)
