"""Claims of VFlow on the checkerboard, judged from the records of its study by the rule of the claims on arms."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

from reproductions.claims.measured import arm_without_images
from reproductions.reporting import rule
from reproductions.reporting.claims import MEASURED, Claim, claim_not_run
from reproductions.reporting.records import OBTAINED_DIRECTORY
from reproductions.vflow.toy.log_likelihoods import LogLikelihoodRecord, load_log_likelihoods

PAPER, PROTOCOL = "vflow", "checkerboard"
# The smallest difference that matters between log-likelihoods, in nats.
SMALLEST_NATS = 0.01


@dataclasses.dataclass(frozen=True)
class ToyComparison:
    """The claim that one model of the checkerboard has a higher test log-likelihood than another.

    Attributes:
      name: Name of the claim.
      claim: The claim in words.
      paper_effect: Size of the effect in the paper, in words.
      higher: Steps, dimensions and variant of the better model.
      lower: The same of the other one.
      is_judged: Whether the paper compares these models.
    """

    name: str
    claim: str
    paper_effect: str
    higher: tuple[int, int, str]
    lower: tuple[int, int, str]
    is_judged: bool = True


COMPARISONS = [
    ToyComparison(
        "vflow_of_3_steps_above_glow_of_3",
        "a VFlow of 3 steps in 10 dimensions has a higher log-likelihood than a Glow of 3 steps (section 5)",
        "0.16: -3.51 against -3.67",
        higher=(3, 10, ""),
        lower=(3, 2, ""),
    ),
    ToyComparison(
        "vflow_of_3_steps_above_glow_of_20",
        "a VFlow of 3 steps in 10 dimensions has a higher log-likelihood than a Glow of 20 steps (section 5)",
        "0.03: -3.51 against -3.54",
        higher=(3, 10, ""),
        lower=(20, 2, ""),
    ),
    ToyComparison(
        "vflow_of_2_steps_above_glow_of_2",
        "a VFlow in 3 dimensions with one step each in p and q fits the board better than a Glow of 2 steps (figure 4)",
        "a picture (figure 4)",
        higher=(2, 3, "gaussian_step"),
        lower=(2, 2, ""),
    ),
    ToyComparison(
        "vflow_of_2_steps_in_p_above_glow_of_2",
        "a VFlow in 3 dimensions with two steps in p has a higher log-likelihood than a Glow of 2 steps",
        "",
        higher=(2, 3, ""),
        lower=(2, 2, ""),
        is_judged=False,
    ),
]


def judge_all(results: str | os.PathLike, papers: Sequence[str]) -> list[Claim]:
    """Returns the claims on the toy, if its paper is among some papers.

    Args:
      results: The results directory.
      papers: Names of the papers.
    """
    records = load_log_likelihoods(pathlib.Path(results) / OBTAINED_DIRECTORY).get((PAPER, PROTOCOL), ())
    return judge_toy(COMPARISONS, records) if PAPER in papers else []


def _not_run(item, note=""):
    return claim_not_run(PAPER, item.name, item.claim, item.paper_effect, PROTOCOL, "log-likelihood, nats", note)


def judge_toy(items: Sequence[ToyComparison], records: Sequence[LogLikelihoodRecord]) -> list[Claim]:
    """Judges claims on the checkerboard, by the rule of the claims on arms; the claims are one family.

    Args:
      items: The claims.
      records: Records of the study; those with the most iterations and seeds count.
    """
    if not records:
        return [_not_run(item, "missing: the study") for item in items]
    most = max((record.iterations, len(record.seeds)) for record in records)
    cells = {
        (record.steps, record.dimensions, record.variant): record
        for record in records
        if (record.iterations, len(record.seeds)) == most
    }
    study = {str(cell): dict(zip(record.seeds, record.log_likelihoods, strict=True)) for cell, record in cells.items()}
    claims, found = [], {}
    for item in items:
        claim = _not_run(item)
        missing = [cell for cell in (item.higher, item.lower) if cell not in cells]
        if missing:
            steps, dimensions, variant = missing[0]
            note = f"missing: {steps} steps in {dimensions} dimensions {variant}".strip()
            claims.append(dataclasses.replace(claim, note=note))
            continue
        higher, lower = (study[str(cell)] for cell in (item.higher, item.lower))
        found[item.name] = rule.paired_difference({seed: higher[seed] - lower[seed] for seed in higher}, study)
        claims.append(claim)
    family = [item.name for item in items if item.is_judged]
    adjusted = rule.holm([found[name].p_value if name in found else 1.0 for name in family])
    adjusted = dict(zip(family, adjusted, strict=True))
    return [
        _judged_toy(claim, [cells[item.higher], cells[item.lower]], found[item.name], adjusted.get(item.name))
        if item.name in found
        else claim
        for claim, item in zip(claims, items, strict=True)
    ]


def _judged_toy(claim, records, difference, adjusted):
    names = [
        f"{record.model}, {record.steps} steps, {record.dimensions} dimensions {record.variant}" for record in records
    ]
    claim = dataclasses.replace(
        claim,
        arms=tuple(
            arm_without_images(name.strip(), record.seeds, record.parameters)
            for name, record in zip(names, records, strict=True)
        ),
        difference=difference.value,
        standard_error=difference.standard_error,
        seed_differences=tuple(difference.seed_differences.values()),
        interval=difference.interval(),
        p_value=difference.p_value,
        degrees_of_freedom=difference.degrees_of_freedom,
        commit=records[0].commit,
        date=records[0].date,
        verdict=MEASURED,
    )
    if adjusted is None:
        return dataclasses.replace(claim, note="the paper has no such comparison")
    verdict = rule.verdict_of(difference, adjusted, SMALLEST_NATS)
    return dataclasses.replace(claim, adjusted_p_value=adjusted, smallest=SMALLEST_NATS, verdict=verdict)
