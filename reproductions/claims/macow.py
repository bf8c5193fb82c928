"""The claims of MaCow in tables 1 and 2 and section 4.1, as comparisons of arms."""

from reproductions.claims.comparisons import Comparison

PROTOCOL = (
    "CIFAR-10 averaged over 2x2 blocks (16x16), 3,000 steps of batch 32, half a million parameters "
    "(paper: 32x32, about 40 million)"
)
_VARIANTS = {"paper": ("", ""), "release": ("_release", ", in the released form")}


def _of_variant(variant):
    """Comparisons of the arms of a variant."""
    suffix, form = _VARIANTS[variant]

    def comparison(name, claim, lower, higher, paper_effect, **options):
        return Comparison(
            "macow", f"{name}{suffix}", f"{claim}{form}", lower, higher, f"{paper_effect} (table 1)", **options
        )

    org, fine_grained, var = (f"claims_{arm}{suffix}" for arm in ("org", "fine_grained", "var"))
    glow = {"higher": "claims_invertible_affine", "higher_paper": "glow"}
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
            "variational dequantization reaches fewer bits/dim than uniform",
            var,
            fine_grained,
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
            "claims_uniform_dequantization",
            "0.01: 3.28 against 3.29",
            higher_paper="flowpp",
        ),
        comparison(
            "flowpp_below_var",
            "with variational dequantization Flow++ (a dequantizer of 11% of its parameters) reaches fewer bits/dim than MaCow",
            "claims_full_proportioned",
            var,
            "0.07: 3.09 against 3.16",
            lower_paper="flowpp",
        ),
    ]


COMPARISONS = [
    *_of_variant("paper"),
    Comparison(
        paper="macow",
        name="var_below_fine_grained_5bit",
        claim="on 5 bits variational dequantization reaches fewer bits/dim than uniform",
        lower="claims_var_5bit",
        higher="claims_fine_grained_5bit",
        paper_effect="0.21: 0.74 against 0.95 (table 2: CelebA-HQ 256x256, 5 bits)",
    ),
    *_of_variant("release"),
]
