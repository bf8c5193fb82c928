"""The claims of VFlow in tables 1 to 3, figure 6 and section 3, as comparisons of arms."""

from reproductions.claims.comparisons import EQUALITY, MEASURED, Comparison
from reproductions.claims.quantities import ALL_STAGES, GAP


def _comparison(name, claim, lower, higher, paper_effect="", **options):
    return Comparison("vflow", name, claim, f"study_{lower}", f"study_{higher}", paper_effect, **options)


def _channels(more, fewer, paper_effect):
    """Comparisons for the claim that more channels are better, at the end and at every stage."""
    sides = (f"{more}_channels", f"{fewer}_channels")
    claim = f"{more} channels reach fewer bits/dim than {fewer} at one number of parameters"
    return [
        _comparison(f"channels_{more}_below_{fewer}", f"{claim} (table 2)", *sides, paper_effect),
        _comparison(
            f"channels_{more}_below_{fewer}_at_all_stages",
            f"{claim} at all stages (figure 6)",
            *sides,
            "a curve (figure 6)",
            quantity=ALL_STAGES,
        ),
    ]


COMPARISONS = [
    *_channels(4, 3, "0.07: 3.16 against 3.23"),
    *_channels(6, 3, "0.10: 3.13 against 3.23"),
    *_channels(6, 4, "0.03: 3.13 against 3.16"),
    _comparison(
        "gap_6_below_3",
        "trained on 2,000 images, the gap between test and training is smaller with 6 channels than with 3 (figure 6)",
        "gap_6_channels",
        "gap_3_channels",
        "a curve (figure 6)",
        quantity=GAP,
    ),
    _comparison(
        "smaller_equals_3",
        "6 channels with 2.5 times fewer parameters reach as many bits/dim as 3 (table 3)",
        "table_3_6_channels",
        "table_3_3_channels",
        "0.00: 3.08 with 11.9 against 3.08 with 31.4 million parameters",
        judged=EQUALITY,
    ),
    _comparison(
        "vflow_below_flowpp",
        "VFlow reaches fewer bits/dim than Flow++ of equal D_H and B (table 1)",
        "6_channels",
        "vflow_width",
        "0.10: 2.98 against 3.08",
        higher_paper="flowpp",
    ),
    _comparison(
        "normal_below_3",
        "with q = N(0, I) and p alone trained (remark 2), 6 channels reach fewer bits/dim than 3",
        "6_channels_normal",
        "3_channels",
        judged=MEASURED,
    ),
    _comparison(
        "around_glow",
        "Glow with three more channels reaches fewer bits/dim than Glow at one number of parameters (related works)",
        "augmented",
        "invertible_affine",
        lower_paper="glow",
        higher_paper="glow",
        judged=MEASURED,
    ),
    _comparison(
        "around_macow",
        "MaCow with three more channels reaches fewer bits/dim than MaCow at one number of parameters (related works)",
        "two_levels_augmented",
        "two_levels",
        lower_paper="macow",
        higher_paper="macow",
        judged=MEASURED,
    ),
]
