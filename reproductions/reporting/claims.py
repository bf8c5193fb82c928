"""Records of the claims study: what a paper claims, the arms that test it, and the outcome."""

import dataclasses
import datetime
import math
import os
import pathlib
import re
from collections.abc import Mapping, Sequence

import numpy as np

from reproductions.fields import setting
from reproductions.reporting.records import load_dataclass, store_dataclass, train_test_gap
from reproductions.reporting.rule import HELD, REVERSED, UNDECIDED

CLAIMS_DIRECTORY = "claims"
# A cost, or an effect that the paper does not state, has a size and nothing to judge.
MEASURED = "measured"
# In the note of a claim that was not run, because training diverged.
DIVERGED = "diverged"
NOT_COMPARABLE, NOT_RUN = "not comparable", "not run"
VERDICTS = (HELD, REVERSED, UNDECIDED, MEASURED, NOT_COMPARABLE, NOT_RUN)
_ARM_FIELDS = {
    "name",
    "seeds",
    "bits_per_dim",
    "bits_per_dim_std",
    "seconds_per_step",
    "parameters",
}
# Further fields of arms whose training images were evaluated too.
_GAP_FIELDS = {"train_bits_per_dim", "gap", "gap_standard_error"}


@dataclasses.dataclass(frozen=True)
class Arm:
    """Results of the runs of one arm.

    Attributes:
      name: Name of the experiment.
      bits_per_dim: For each seed, the bits/dim of each test image, shape `[N]`, images in the same order in all arms.
      seconds_per_step: For each seed, the median seconds per training step.
      parameters: Number of trained parameters, in the claims study those that can affect the output.
      train_bits_per_dim: For each seed, the bits/dim of each training image, shape `[M]`; empty if they were not evaluated.
    """

    name: str
    bits_per_dim: Mapping[int, np.ndarray]
    seconds_per_step: Mapping[int, float]
    parameters: int
    train_bits_per_dim: Mapping[int, np.ndarray] = dataclasses.field(default_factory=dict)

    def summary(self) -> dict[str, object]:
        """Returns the numbers of the arm in a claim.

        These are the mean and standard deviation over seeds of the test bits/dim, None if the arm was only timed. If training
        images were evaluated too, their bits/dim and the gap (means over seeds) follow, with the standard error of the gap due
        to the choice of images on both sides.

        Raises:
          ValueError: If test and training images were not evaluated with the same seeds.
        """
        values = [float(np.mean(images, dtype=np.float64)) for images in self.bits_per_dim.values()]
        return {
            "name": self.name,
            "seeds": sorted(self.bits_per_dim),
            "bits_per_dim": float(np.mean(values)) if values else None,
            "bits_per_dim_std": float(np.std(values, ddof=1)) if len(values) > 1 else None,
            "seconds_per_step": float(np.mean(list(self.seconds_per_step.values()))),
            "parameters": self.parameters,
            **self._gap_summary(),
        }

    def _gap_summary(self):
        if not self.train_bits_per_dim:
            return {}
        if self.train_bits_per_dim.keys() != self.bits_per_dim.keys():
            raise ValueError(
                f"{self.name}: test and training images must have the same seeds: got {sorted(self.bits_per_dim)} and "
                f"{sorted(self.train_bits_per_dim)}."
            )
        train = self.train_bits_per_dim
        gaps = [train_test_gap(images, train[seed]) for seed, images in self.bits_per_dim.items()]
        return {
            "train_bits_per_dim": float(np.mean([np.mean(images, dtype=np.float64) for images in train.values()])),
            "gap": float(np.mean([gap for gap, _ in gaps])),
            "gap_standard_error": math.hypot(*(error for _, error in gaps)) / len(gaps),
        }


@dataclasses.dataclass(frozen=True)
class Claim:
    """One claim and its verdict.

    Attributes:
      paper: Paper that makes the claim.
      name: Plain name, unique within the paper; also the name of the file.
      claim: The claim in words.
      paper_effect: Size of the effect in the paper, in words; empty if the paper gives none.
      protocol: What was run, in words: data, steps, batch size.
      quantity: What `difference` measures, with its unit.
      arms: Summaries from `Arm.summary`, with the arm that is claimed to be better first; empty if the claim was not run.
      difference: The effect; positive if it goes as claimed, or a cost. None if the claim was not run.
      standard_error: Standard error of the effect; None if it has none.
      seed_differences: The effect for each seed, in the order of the seeds; may be empty.
      verdict: One of `VERDICTS`.
      commit: Commit of the code that ran; None if it is not known or nothing ran.
      date: Date in ISO 8601; None if nothing ran.
      num_images: Number of images on which each arm was evaluated; None if the claim is not about images.
      interval: 95% confidence interval of the effect, not adjusted for other claims; None if it has none.
      p_value: Two-sided p-value of no effect, not adjusted; None if the claim is not tested.
      adjusted_p_value: The same, adjusted for the paper's other claims; None for a claim of equality.
      degrees_of_freedom: Of the t-distribution behind interval and p-value.
      image_error: Standard error of the effect due to the choice of images; None if there are no values per image.
      smallest: Smallest effect that matters, or the margin of equality; None if the claim is not tested.
      note: Why there is no verdict, if there is none.
    """

    paper: str
    name: str
    claim: str
    paper_effect: str
    protocol: str
    quantity: str
    arms: tuple[Mapping[str, object], ...]
    difference: float | None
    standard_error: float | None
    seed_differences: tuple[float, ...]
    verdict: str
    commit: str | None = setting(provenance=True)
    date: str | None = setting(provenance=True)
    num_images: int | None = None
    interval: tuple[float, float] | None = None
    p_value: float | None = None
    adjusted_p_value: float | None = None
    degrees_of_freedom: int | None = None
    image_error: float | None = None
    smallest: float | None = None
    note: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "arms", tuple(self.arms))
        object.__setattr__(self, "seed_differences", tuple(self.seed_differences))
        object.__setattr__(self, "interval", None if self.interval is None else tuple(self.interval))
        for name in ("paper", "name"):
            if not re.fullmatch(r"[a-z0-9][a-z0-9_]*", getattr(self, name) or ""):
                raise ValueError(f"{name} must be a plain name, not {getattr(self, name)!r}.")
        if not self.claim:
            raise ValueError("The claim must be stated in words, got an empty text.")
        if self.verdict not in VERDICTS:
            raise ValueError(f"The verdict must be one of {', '.join(VERDICTS)}, not {self.verdict!r}.")
        if (self.verdict == NOT_RUN) != (self.difference is None):
            raise ValueError(f"A claim has no difference if and only if it was not run, got {self.difference!r}.")
        if not self.arms and self.verdict != NOT_RUN:
            raise ValueError("A claim needs at least one arm, got none.")
        for arm in self.arms:
            if arm.keys() not in (_ARM_FIELDS, _ARM_FIELDS | _GAP_FIELDS):
                raise ValueError(f"An arm must have the fields {sorted(_ARM_FIELDS)}, not {sorted(arm)}.")
        for value in (self.difference or 0.0, *self.seed_differences):
            if not math.isfinite(value):
                raise ValueError(f"A difference must be finite, not {value!r}.")
        if self.date is not None:
            datetime.datetime.fromisoformat(self.date)


def claim_not_run(
    paper: str, name: str, claim: str, paper_effect: str, protocol: str, quantity: str, note: str = ""
) -> Claim:
    """Returns a claim of which nothing has been run; `dataclasses.replace` adds what is found.

    Args:
      paper: As in `Claim`.
      name: As in `Claim`.
      claim: As in `Claim`.
      paper_effect: As in `Claim`.
      protocol: As in `Claim`.
      quantity: As in `Claim`.
      note: What is missing.
    """
    return Claim(
        paper=paper,
        name=name,
        claim=claim,
        paper_effect=paper_effect,
        protocol=protocol,
        quantity=quantity,
        arms=(),
        difference=None,
        standard_error=None,
        seed_differences=(),
        verdict=NOT_RUN,
        commit=None,
        date=None,
        note=note,
    )


def measure_cost(
    paper: str,
    name: str,
    claim: str,
    arm: Arm,
    baseline: Arm,
    *,
    paper_effect: str,
    protocol: str,
    commit: str | None,
    date: str,
) -> Claim:
    """Measures how much longer a training step of `arm` takes than one of `baseline`, in percent.

    Let t_s and u_s be the seconds per step of the two arms with seed s. The effect is the mean over seeds of
    100 (t_s / u_s - 1). With two seeds or more it has a standard error.

    Args:
      paper: As in `Claim`.
      name: As in `Claim`.
      claim: As in `Claim`.
      arm: The timed arm.
      baseline: The arm that it is compared with.
      paper_effect: As in `Claim`.
      protocol: As in `Claim`.
      commit: As in `Claim`.
      date: As in `Claim`.

    Raises:
      ValueError: If the arms were not timed with the same seeds.
    """
    timed = arm.seconds_per_step
    if not timed or timed.keys() != baseline.seconds_per_step.keys():
        raise ValueError(
            f"Both arms must be timed with the same seeds, at least one: got {sorted(timed)} and "
            f"{sorted(baseline.seconds_per_step)}."
        )
    percent = [100 * (timed[s] / baseline.seconds_per_step[s] - 1) for s in sorted(timed)]
    error = float(np.std(percent, ddof=1)) / math.sqrt(len(percent)) if len(percent) > 1 else None
    return Claim(
        paper=paper,
        name=name,
        claim=claim,
        paper_effect=paper_effect,
        protocol=protocol,
        quantity="training time a step, %",
        arms=(arm.summary(), baseline.summary()),
        difference=float(np.mean(percent)),
        standard_error=error,
        seed_differences=tuple(percent),
        verdict=MEASURED,
        commit=commit,
        date=date,
    )


def write_claim(claim: Claim, directory: str | os.PathLike, overwrite: bool = False) -> pathlib.Path:
    """Writes a claim to `<directory>/<paper>/<name>.json`, like `records.write_record`, and returns the path."""
    path = pathlib.Path(directory) / claim.paper / f"{claim.name}.json"
    return store_dataclass(claim, path, overwrite)


def load_claims(directory: str | os.PathLike) -> Sequence[Claim]:
    """Reads all claims below a directory, in the order of their paths; none if the directory does not exist.

    Raises:
      ValueError: If a file is not a valid claim.
    """
    paths = sorted(pathlib.Path(directory).glob("*/*.json"))
    return tuple(load_dataclass(Claim, path) for path in paths)
