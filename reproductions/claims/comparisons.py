"""What a claim is judged on: two arms of the queue, their gaps, or the cost of a change."""

import dataclasses

MEAN, LEAST = "mean", "least"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """`lower` is claimed to have fewer bits/dim than `higher`, in every seed that both were run with.

    Attributes:
      paper: That makes the claim.
      name: Unique within the paper.
      claim: In words.
      lower: Experiment of the arm that is claimed to be better.
      higher: Experiment of the other arm.
      paper_effect: Its size in the paper, in words; empty if the paper gives none.
      lower_paper: Whose experiment the better arm is, if not of the paper that makes the claim.
      higher_paper: The same of the other arm.
      along_curve: What is judged of the evaluations of a run instead of the last one's images: `MEAN` (how fast it converges) or
        `LEAST`, the difference where it is least (better at all stages).
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
    """`smaller` is claimed to have a smaller gap between test and training images than `larger`, in every seed.

    Attributes:
      paper: That makes the claim.
      name: Unique within the paper.
      claim: In words.
      smaller: Experiment of the arm that is claimed to generalize better.
      larger: Experiment of the other arm.
      paper_effect: The sizes in the paper, in words.
      protocol: What was run, in words: not that of the paper's other claims.
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
    """A term of the bound over latents is claimed to be less for `lower` than for `higher`, in every seed.

    Attributes:
      paper: That makes the claim.
      name: Unique within the paper.
      claim: In words.
      lower: Experiment of the arm where it is claimed to be less.
      higher: Experiment of the other arm.
      term: One of `tfflows.evaluation.latent_terms.QUANTITIES`.
      less: Another one that is subtracted from it, or empty.
      paper_effect: Its size in the paper, in words.
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
    """How much longer a training step takes with `changes` than with `baseline_changes`.

    Attributes:
      paper: That makes the claim.
      name: Unique within the paper.
      claim: In words.
      paper_effect: Its size in the paper, in words.
      experiment: That both sides are changed from.
      changes: Fields of the timed side.
      baseline_changes: Fields of the side that it is compared with, beside `changes`.
    """

    paper: str
    name: str
    claim: str
    paper_effect: str
    experiment: str
    changes: dict
    baseline_changes: dict
