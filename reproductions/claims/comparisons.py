"""What a claim compares: a quantity of two arms, or the cost of a change."""

import dataclasses

from reproductions.claims.quantities import BITS_PER_DIM, Quantity

# How a claim is judged. `MEASURED` is for what the paper does not compare: the effect is reported without a verdict.
DIFFERENCE, EQUALITY, MEASURED = "difference", "equality", "measured"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The claim that a quantity is smaller in the arm `lower` than in the arm `higher`, or equal in both.

    Attributes:
      paper: Paper that makes the claim.
      name: Name of the claim, unique within the paper.
      claim: The claim in words.
      lower: Experiment of the arm that is claimed to be lower.
      higher: Experiment of the other arm.
      paper_effect: Size of the effect in the paper, in words; empty if the paper gives none.
      lower_paper: Paper of the lower arm, if it is not the paper that makes the claim.
      higher_paper: The same for the other arm.
      quantity: What is compared.
      judged: `DIFFERENCE`, `EQUALITY` or `MEASURED`.
    """

    paper: str
    name: str
    claim: str
    lower: str
    higher: str
    paper_effect: str = ""
    lower_paper: str = ""
    higher_paper: str = ""
    quantity: Quantity = BITS_PER_DIM
    judged: str = DIFFERENCE

    @property
    def sides(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """Paper and experiment of the lower and of the higher arm."""
        return (self.lower_paper or self.paper, self.lower), (self.higher_paper or self.paper, self.higher)


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
