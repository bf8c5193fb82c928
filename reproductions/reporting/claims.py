"""Records of the claims study: what a paper says, the arms that ask it, and what came out."""

import dataclasses
import datetime
import math
import os
import pathlib
import re
from collections.abc import Mapping, Sequence

import numpy as np

from reproductions.fields import setting
from reproductions.reporting import stored
from reproductions.reporting.gap import train_test_gap
from reproductions.reporting.verdicts import HELD, REVERSED, UNDECIDED, gap_verdict, paired_verdict

CLAIMS_DIRECTORY = "claims"
# A cost has a size and no direction to judge.
MEASURED = "measured"
VERDICTS = (HELD, REVERSED, UNDECIDED, MEASURED)
_ARM_FIELDS = {
    "name",
    "seeds",
    "bits_per_dim",
    "bits_per_dim_std",
    "seconds_per_step",
    "parameters",
}
# Of arms whose training images were measured too.
_GAP_FIELDS = {"train_bits_per_dim", "gap", "gap_standard_error"}


@dataclasses.dataclass(frozen=True)
class Arm:
    """What the runs of one arm left.

    Attributes:
      name: The experiment.
      bits_per_dim: For each seed the test bits/dim of each image, `[N]`, images in the same order
        in all arms.
      seconds_per_step: For each seed the median seconds of a training step.
      parameters: How many numbers the arm trains.
      train_bits_per_dim: For each seed the bits/dim of each image that was trained on, `[M]`; empty if not measured.
    """

    name: str
    bits_per_dim: Mapping[int, np.ndarray]
    seconds_per_step: Mapping[int, float]
    parameters: int
    train_bits_per_dim: Mapping[int, np.ndarray] = dataclasses.field(default_factory=dict)

    def summary(self) -> dict[str, object]:
        """Its numbers in a claim: mean and standard deviation over seeds of the test bits/dim, None if it was only timed.

        Where training images were measured too: their bits/dim and the gap, means over seeds, and the gap's standard error,
        that of the choice of images on both sides.
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
                f"{self.name}: test and training images must be of the same seeds: got {sorted(self.bits_per_dim)} and "
                f"{sorted(self.train_bits_per_dim)}"
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
      paper: The paper that makes it.
      name: A plain name, unique within the paper; the name of the file.
      claim: What is claimed, in words.
      paper_effect: The size of the effect in the paper, in words; empty if it gives none.
      protocol: What was run, in words: data, steps, batch size.
      quantity: What `difference` measures, with its unit.
      arms: Summaries as `Arm.summary` gives them, the arm that is claimed to be better first.
      difference: The effect; positive: as claimed, or a cost.
      standard_error: Its standard error; None where it has none.
      seed_differences: The effect in each seed, in the order of the seeds; may be empty.
      verdict: 'held', 'reversed', 'undecided', or 'measured' for a cost.
      commit: Of the code that ran.
      date: ISO 8601.
      num_images: How many images each arm was evaluated on; None if it is not about images.
    """

    paper: str
    name: str
    claim: str
    paper_effect: str
    protocol: str
    quantity: str
    arms: tuple[Mapping[str, object], ...]
    difference: float
    standard_error: float | None
    seed_differences: tuple[float, ...]
    verdict: str
    commit: str | None = setting(provenance=True)
    date: str = setting(provenance=True)
    num_images: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "arms", tuple(self.arms))
        object.__setattr__(self, "seed_differences", tuple(self.seed_differences))
        for name in ("paper", "name"):
            if not re.fullmatch(r"[a-z0-9][a-z0-9_]*", getattr(self, name) or ""):
                raise ValueError(f"{name} must be a plain name, not {getattr(self, name)!r}")
        if not self.claim:
            raise ValueError("the claim must be put in words")
        if self.verdict not in VERDICTS:
            raise ValueError(f"the verdict must be one of {', '.join(VERDICTS)}, not {self.verdict!r}")
        if not self.arms:
            raise ValueError("a claim needs at least one arm")
        for arm in self.arms:
            if arm.keys() not in (_ARM_FIELDS, _ARM_FIELDS | _GAP_FIELDS):
                raise ValueError(f"an arm must have {sorted(_ARM_FIELDS)}, not {sorted(arm)}")
        for value in (self.difference, *self.seed_differences):
            if not math.isfinite(value):
                raise ValueError(f"a difference must be finite, not {value!r}")
        datetime.datetime.fromisoformat(self.date)


def judge_bits_per_dim(
    paper: str,
    name: str,
    claim: str,
    lower: Arm,
    higher: Arm,
    *,
    paper_effect: str,
    protocol: str,
    commit: str | None,
    date: str,
    quantity: str = "test bits/dim",
) -> Claim:
    """The claim that `lower` has fewer bits/dim than `higher`, judged by `paired_verdict`."""
    verdict = paired_verdict(lower.bits_per_dim, higher.bits_per_dim)
    return Claim(
        paper=paper,
        name=name,
        claim=claim,
        paper_effect=paper_effect,
        protocol=protocol,
        quantity=quantity,
        arms=(lower.summary(), higher.summary()),
        difference=verdict.difference,
        standard_error=verdict.standard_error,
        seed_differences=tuple(verdict.seed_differences.values()),
        verdict=verdict.verdict,
        commit=commit,
        date=date,
        num_images=len(next(iter(lower.bits_per_dim.values()))),
    )


def judge_gap(
    paper: str,
    name: str,
    claim: str,
    smaller: Arm,
    larger: Arm,
    *,
    paper_effect: str,
    protocol: str,
    commit: str | None,
    date: str,
) -> Claim:
    """The claim that `smaller` has a smaller gap between test and training images than `larger`, judged by `gap_verdict`.

    Raises:
      ValueError: If the training images of an arm were not measured in the seeds of its test images.
    """
    arms = (smaller.summary(), larger.summary())
    for arm in (smaller, larger):
        if not arm.train_bits_per_dim:
            raise ValueError(
                f"{arm.name}: the images that it was trained on were not measured; run it with evaluate_train"
            )
    sides = [
        {seed: (images, arm.train_bits_per_dim[seed]) for seed, images in arm.bits_per_dim.items()}
        for arm in (smaller, larger)
    ]
    verdict = gap_verdict(*sides)
    return Claim(
        paper=paper,
        name=name,
        claim=claim,
        paper_effect=paper_effect,
        protocol=protocol,
        quantity="gap between test and training bits/dim",
        arms=arms,
        difference=verdict.difference,
        standard_error=verdict.standard_error,
        seed_differences=tuple(verdict.seed_differences.values()),
        verdict=verdict.verdict,
        commit=commit,
        date=date,
        num_images=len(next(iter(smaller.bits_per_dim.values()))),
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
    """How much longer a training step of `arm` takes than one of `baseline`, in percent.

    With t_s and u_s the seconds of a step in seed s: the mean over seeds of 100 (t_s / u_s - 1),
    and the standard error of that mean if there are two seeds or more.

    Raises:
      ValueError: If the arms were not timed with the same seeds.
    """
    timed = arm.seconds_per_step
    if not timed or timed.keys() != baseline.seconds_per_step.keys():
        raise ValueError(
            f"both arms must be timed with the same seeds, at least one: got {sorted(timed)} and "
            f"{sorted(baseline.seconds_per_step)}"
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
    """Writes a claim to `<directory>/<paper>/<name>.json`, as `records.write_record` does."""
    path = pathlib.Path(directory) / claim.paper / f"{claim.name}.json"
    return stored.store(claim, path, overwrite)


def load_claims(directory: str | os.PathLike) -> Sequence[Claim]:
    """Reads all claims below a directory, in the order of their paths; none if it is missing.

    Raises:
      ValueError: If a file is not a valid claim.
    """
    paths = sorted(pathlib.Path(directory).glob("*/*.json"))
    return tuple(stored.load(Claim, path) for path in paths)
