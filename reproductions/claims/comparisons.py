"""What a claim compares: two arms of the queue, their gaps, or the cost of a change."""

import dataclasses

MEAN, LEAST = "mean", "least"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The claim that `lower` has fewer bits/dim than `higher`, for every seed that both were run with.

    Attributes:
      paper: Paper that makes the claim.
      name: Name of the claim, unique within the paper.
      claim: The claim in words.
      lower: Experiment of the arm that is claimed to be better.
      higher: Experiment of the other arm.
      paper_effect: Size of the effect in the paper, in words; empty if the paper gives none.
      lower_paper: Paper of the better arm, if it is not the paper that makes the claim.
      higher_paper: The same for the other arm.
      along_curve: How to judge all evaluations of a run instead of the images of the last one: `MEAN` (how fast it converges)
        or `LEAST`, the smallest difference (better at all stages). Empty judges the last evaluation.
    """

    paper: str
    name: str
    claim: str
    lower: str
    higher: str
    paper_effect: str = ""
    lower_paper: str = ""
    higher_paper: str = ""
    along_curve: str = ""


@dataclasses.dataclass(frozen=True)
class GapComparison:
    """The claim that the gap between test and training images is smaller for `smaller` than for `larger`, for every seed.

    Attributes:
      paper: Paper that makes the claim.
      name: Name of the claim, unique within the paper.
      claim: The claim in words.
      smaller: Experiment of the arm that is claimed to generalize better.
      larger: Experiment of the other arm.
      paper_effect: Sizes of the gaps in the paper, in words.
      protocol: What was run, in words; it differs from the protocol of the paper's other claims.
    """

    paper: str
    name: str
    claim: str
    smaller: str
    larger: str
    paper_effect: str
    protocol: str


@dataclasses.dataclass(frozen=True)
class TermComparison:
    """The claim that a term of the bound over latents is smaller for `lower` than for `higher`, for every seed.

    Attributes:
      paper: Paper that makes the claim.
      name: Name of the claim, unique within the paper.
      claim: The claim in words.
      lower: Experiment of the arm where the term is claimed to be smaller.
      higher: Experiment of the other arm.
      term: One of `tfflows.evaluation.latent_terms.QUANTITIES`.
      less: Another quantity to subtract from it, or empty.
      paper_effect: Size of the effect in the paper, in words.
    """

    paper: str
    name: str
    claim: str
    lower: str
    higher: str
    term: str
    less: str
    paper_effect: str


@dataclasses.dataclass(frozen=True)
class Cost:
    """The claim on how much longer a training step takes with `changes` than with `baseline_changes`.

    Attributes:
      paper: Paper that makes the claim.
      name: Name of the claim, unique within the paper.
      claim: The claim in words.
      paper_effect: Size of the effect in the paper, in words.
      experiment: Experiment from which both sides are derived.
      changes: Changed fields of the timed side.
      baseline_changes: Fields that the baseline changes in addition to `changes`.
    """

    paper: str
    name: str
    claim: str
    paper_effect: str
    experiment: str
    changes: dict
    baseline_changes: dict
