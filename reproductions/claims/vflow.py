"""The claims of VFlow in tables 1 to 3, figure 6 and section 4, as comparisons of arms."""

from reproductions.claims.comparisons import LEAST, Comparison, GapComparison

_DATA = "CIFAR-10 averaged over 2x2 blocks (16x16)"
_SIZE = "3,000 steps of batch 32"
PROTOCOL = (
    f"{_DATA}, {_SIZE}; VFlow's own arms but those of gaps train on 40,000 images, and their curves are of the 10,000 held out "
    "(paper: 32x32, 4 million parameters)"
)
GAP_PROTOCOL = f"{_DATA}, the first 2,000 training images alone, {_SIZE}"


def _comparison(name, claim, lower, higher, paper_effect="", **options):
    return Comparison("vflow", name, claim, f"claims_{lower}", f"claims_{higher}", paper_effect, **options)


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
            along_curve=LEAST,
        ),
    ]


COMPARISONS = [
    *_channels(4, 3, "0.07: 3.16 against 3.23"),
    *_channels(6, 3, "0.10: 3.13 against 3.23"),
    *_channels(6, 4, "0.03: 3.13 against 3.16"),
    GapComparison(
        paper="vflow",
        name="gap_6_below_3",
        claim="with 6 channels the gap between test and training is smaller than with 3 (figure 6)",
        smaller="claims_gap_6_channels",
        larger="claims_gap_3_channels",
        paper_effect="no number",
        protocol=GAP_PROTOCOL,
    ),
    _comparison(
        "normal_below_3",
        "with q = N(0, I) and p alone trained (remark 2), 6 channels reach fewer bits/dim than 3",
        "6_channels_normal",
        "3_channels",
        "no number",
    ),
    _comparison(
        "narrow_below_3",
        "6 channels with 2.4 times fewer parameters reach fewer bits/dim than 3 (table 3, where they reach as many)",
        "6_channels_narrow",
        "3_channels",
        "0.00: 3.08 with 11.9 against 3.08 with 31.4 million parameters",
    ),
    _comparison(
        "vflow_below_flowpp",
        "VFlow reaches fewer bits/dim than Flow++ (table 1); here at half a million parameters each, at each one's learning rate",
        "6_channels",
        "full_proportioned",
        "0.10: 2.98 against 3.08",
        higher_paper="flowpp",
    ),
    _comparison(
        "around_glow",
        "Glow with three more channels reaches fewer bits/dim than Glow at one number of parameters (section 4)",
        "augmented",
        "invertible_affine",
        "no number",
        lower_paper="glow",
        higher_paper="glow",
    ),
    _comparison(
        "around_macow",
        "MaCow with three more channels reaches fewer bits/dim than MaCow at one number of parameters (section 4)",
        "two_levels_augmented",
        "two_levels",
        "no number",
        lower_paper="macow",
        higher_paper="macow",
    ),
]
