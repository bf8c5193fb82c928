"""The claims of MaCow in tables 1 and 2 and section 4.1, as comparisons of arms."""

from reproductions.claims.comparisons import MEASURED, Comparison
from reproductions.claims.quantities import GRADIENT_SPIKE

_VARIANTS = {"paper": ("", ""), "release": ("_release", ", in the released form")}


def _of_variant(variant):
    """Comparisons of the arms of a variant."""
    suffix, form = _VARIANTS[variant]

    def comparison(name, claim, lower, higher, paper_effect, **options):
        return Comparison(
            "macow", f"{name}{suffix}", f"{claim}{form}", lower, higher, f"{paper_effect} (table 1)", **options
        )

    org, fine_grained, uniform_flow, var = (
        f"study_{arm}{suffix}" for arm in ("org", "fine_grained", "uniform_flow_of_var", "var")
    )
    glow = {"higher": "study_invertible_affine", "higher_paper": "glow"}
    return [
        comparison(
            "fine_grained_below_org",
            "the fine-grained multi-scale architecture reaches fewer bits/dim than the original one",
            fine_grained,
            org,
            "0.03: 3.28 against 3.31",
        ),
        comparison(
            "var_below_fine_grained",
            "variational dequantization reaches fewer bits/dim than uniform, at one number of parameters",
            var,
            fine_grained,
            "0.12: 3.16 against 3.28",
        ),
        comparison(
            "var_below_uniform_of_same_flow",
            "variational dequantization reaches fewer bits/dim than uniform, with the same flow; the dequantizer is extra",
            var,
            uniform_flow,
            "0.12: 3.16 against 3.28",
        ),
        comparison(
            "org_below_glow",
            "MaCow of the original multi-scale architecture reaches fewer bits/dim than Glow",
            org,
            paper_effect="0.04: 3.31 against 3.35",
            **glow,
        ),
        comparison(
            "fine_grained_below_glow",
            "MaCow reaches fewer bits/dim than Glow",
            fine_grained,
            paper_effect="0.07: 3.28 against 3.35",
            **glow,
        ),
        comparison(
            "var_below_glow",
            "MaCow with variational dequantization reaches fewer bits/dim than Glow",
            var,
            paper_effect="0.19: 3.16 against 3.35",
            **glow,
        ),
        comparison(
            "fine_grained_below_flowpp_uniform",
            "with uniform dequantization MaCow reaches fewer bits/dim than Flow++",
            fine_grained,
            "study_uniform_dequantization",
            "0.01: 3.28 against 3.29",
            higher_paper="flowpp",
        ),
        comparison(
            "flowpp_below_var",
            "with variational dequantization Flow++ reaches fewer bits/dim than MaCow",
            "study_full",
            var,
            "0.07: 3.09 against 3.16",
            lower_paper="flowpp",
        ),
    ]


def _on_5_bits(name, claim, lower, higher, paper_effect, **options):
    effect = f"{paper_effect} (table 2: CelebA-HQ 256x256, 5 bits)"
    return Comparison("macow", name, f"on 5 bits {claim}", lower, higher, effect, **options)


COMPARISONS = [
    *_of_variant("paper"),
    _on_5_bits(
        "var_below_fine_grained_5bit",
        "variational dequantization reaches fewer bits/dim than uniform, at one number of parameters",
        "study_var_5bit",
        "study_fine_grained_5bit",
        "0.21: 0.74 against 0.95",
    ),
    _on_5_bits(
        "var_below_uniform_of_same_flow_5bit",
        "variational dequantization reaches fewer bits/dim than uniform, with the same flow; the dequantizer is extra",
        "study_var_5bit",
        "study_uniform_flow_of_var_5bit",
        "0.21: 0.74 against 0.95",
    ),
    _on_5_bits(
        "fine_grained_below_glow_5bit",
        "MaCow with uniform dequantization reaches fewer bits/dim than Glow",
        "study_fine_grained_5bit",
        "study_invertible_affine_5bit",
        "0.08: 0.95 against 1.03",
        higher_paper="glow",
    ),
    *_of_variant("release"),
    *(
        Comparison(
            "macow",
            f"gradients_steadier_than_glow{suffix}",
            f"training is steadier than that of Glow{form}",
            f"study_fine_grained{suffix}",
            "study_invertible_affine",
            higher_paper="glow",
            quantity=GRADIENT_SPIKE,
            judged=MEASURED,
        )
        for suffix, form in _VARIANTS.values()
    ),
]
