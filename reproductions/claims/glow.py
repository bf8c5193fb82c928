"""The claims of Glow in figure 3 and section 5, as comparisons of arms."""

from reproductions.claims.comparisons import Comparison, Cost
from reproductions.claims.quantities import SPEED

_NAMES = {"reverse": "reversing the channels", "shuffle": "a fixed shuffle", "invertible": "the 1x1 convolution"}


def _arm(permutation, coupling):
    return f"study_{permutation}_{coupling}"


def _permutations(better, worse, coupling):
    sides = {"lower": _arm(better, coupling), "higher": _arm(worse, coupling)}
    effect = "a curve (figure 3)"
    return [
        Comparison(
            paper="glow",
            name=f"{better}_below_{worse}_{coupling}",
            claim=f"with {coupling} coupling {_NAMES[better]} reaches fewer bits/dim than {_NAMES[worse]} (figure 3)",
            paper_effect=effect,
            **sides,
        ),
        Comparison(
            paper="glow",
            name=f"{better}_faster_than_{worse}_{coupling}",
            claim=f"with {coupling} coupling {_NAMES[better]} converges faster than {_NAMES[worse]} (figure 3)",
            paper_effect=effect,
            quantity=SPEED,
            **sides,
        ),
    ]


COMPARISONS = [
    *(
        comparison
        for coupling in ("additive", "affine")
        for better, worse in (("invertible", "shuffle"), ("invertible", "reverse"), ("shuffle", "reverse"))
        for comparison in _permutations(better, worse, coupling)
    ),
    *(
        Comparison(
            paper="glow",
            name=f"affine_faster_than_additive_{permutation}",
            claim=f"with {_NAMES[permutation]} affine coupling converges faster than additive (section 5)",
            paper_effect="a curve (figure 3)",
            lower=_arm(permutation, "affine"),
            higher=_arm(permutation, "additive"),
            quantity=SPEED,
        )
        for permutation in _NAMES
    ),
]

COMPARISONS.append(
    Comparison(
        paper="glow",
        name="glow_below_realnvp",
        claim="Glow reaches fewer bits/dim than RealNVP (table 2)",
        paper_effect="0.14: 3.35 against 3.49",
        lower=_arm("invertible", "affine"),
        higher="study_full",
        higher_paper="realnvp",
    )
)

COSTS = [
    Cost(
        paper="glow",
        name="cost_of_1x1",
        claim="the 1x1 convolution adds about 7% to the time of a step of reversing or shuffling (section 5)",
        paper_effect="about 7%",
        experiment="claims_invertible_affine",
        changes={},
        baseline_changes={"permutation": "shuffle"},
    ),
    Cost(
        paper="glow",
        name="cost_of_1x1_at_width_512",
        claim="the same at the paper's width of 512, batch 16 of 32x32, K=4",
        paper_effect="about 7%",
        experiment="cifar10",
        changes={"depth": 4, "batch_size": 16},
        baseline_changes={"permutation": "shuffle"},
    ),
    Cost(
        paper="glow",
        name="cost_of_lu",
        claim="the LU form makes the 1x1 convolution's determinant cheap (section 3.2): its step against the dense one's",
        paper_effect="",
        experiment="claims_invertible_affine",
        changes={"permutation": "invertible_lu"},
        baseline_changes={"permutation": "invertible"},
    ),
]
