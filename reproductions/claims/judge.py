"""Verdicts from the runs: `python reproductions/claims/judge.py` writes `results/claims/<paper>/*.json`.

Every comparison of the second study has a claim, "not run" until all of its runs are there. A claim of the first study stays
until its replacement has been run. The rule is `reproductions.reporting.rule`.
"""

import argparse
import dataclasses
import functools
import importlib
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from reproductions.checkout import results_directory
from reproductions.claims import (
    agave,
    first_study,
    flowpp,
    glow,
    macow,
    measured,
    outcomes,
    per_image,
    study,
    toy,
    vflow,
)
from reproductions.claims.arms import ArmRun
from reproductions.claims.comparisons import DIFFERENCE, EQUALITY, MEASURED, Comparison
from reproductions.claims.quantities import Quantity, Run
from reproductions.claims.rates import read_rates
from reproductions.driver.start_up import start_up
from reproductions.recipe import PREFIX, RECIPE
from reproductions.reporting import rule
from reproductions.reporting.claims import (
    CLAIMS_DIRECTORY,
    DIVERGED,
    NOT_COMPARABLE,
    NOT_RUN,
    Arm,
    Claim,
    claim_not_run,
    write_claim,
)
from reproductions.reporting.records import Record, load_records

PAPERS = {"glow": glow, "flowpp": flowpp, "macow": macow, "vflow": vflow, "agave": agave}
PROTOCOL = "second study"
FIRST_PROTOCOL = "first study"

Side = tuple[str, str]
# How arms were trained, beside their architecture; what is watched or kept does not count.
_RECIPE_FIELDS = (*(name for name in RECIPE if name not in ("scale", "init_batch_size")), "dropout_rate")


@dataclasses.dataclass(frozen=True)
class Study:
    """A study whose runs are on disk.

    Attributes:
      protocol: `PROTOCOL` or `FIRST_PROTOCOL`.
      planned: All runs that carry a verdict.
      groups: Arms whose spread over seeds is taken together.
      records: Records of the finished runs, by paper, experiment and seed.
      results: The results directory.
    """

    protocol: str
    planned: Sequence[ArmRun]
    groups: Sequence[Sequence[Side]]
    records: Mapping[tuple[str, str, int], Record]
    results: pathlib.Path

    def seeds(self, sides: Sequence[Side]) -> list[int]:
        """Seeds that are planned for all sides."""
        return sorted(
            set.intersection(
                *({run.seed for run in self.planned if (run.paper, run.experiment) == side} for side in sides)
            )
        )

    def group(self, comparison: Comparison, seeds: Sequence[int]) -> list[Side]:
        """The arms whose spread judges a comparison: its sides and the group of one of them, if possible of its own paper.

        Arms that have not been run with all seeds are left out; they come in when they have.
        """
        sides = comparison.sides
        own_first = sorted(sides, key=lambda side: side[0] != comparison.paper)
        group = next((group for side in own_first for group in self.groups if side in group), ())
        return [side for side in dict.fromkeys((*sides, *group)) if side in sides or not self.missing([side], seeds)]

    def missing(self, sides: Sequence[Side], seeds: Sequence[int]) -> list[str]:
        """Runs that are not there, in words."""
        found = []
        for paper, experiment in sides:
            absent = [
                f"{seed} ({DIVERGED})"
                if outcomes.has_diverged(ArmRun(paper, experiment, seed), self.results)
                else str(seed)
                for seed in seeds
                if (paper, experiment, seed) not in self.records
            ]
            found += [f"{paper} {experiment} seed {', '.join(absent)}"] if absent else []
        return found

    def runs(self, side: Side, seeds: Sequence[int]) -> dict[int, Run]:
        """The finished runs of an arm, by seed."""
        return {seed: self._run(ArmRun(*side, seed)) for seed in seeds}

    def _run(self, run):
        has_train = per_image.path_of(run, self.results, per_image.TRAIN).exists()
        train = per_image.load(run, self.results, per_image.TRAIN) if has_train else None
        norms = outcomes.gradient_norms(run, self.results)
        return Run(self.records[dataclasses.astuple(run)], per_image.load(run, self.results), train, norms)


def second_study(results: str | os.PathLike) -> Study:
    """Returns the study of one recipe, with what has been run of it.

    Raises:
      ValueError: If a run was trained at another rate than the one chosen for its paper.
    """
    records = outcomes.records_of(results)
    rates = read_rates(results)
    for (paper, name, seed), record in records.items():
        chosen = rates.get(paper, {}).get("learning_rate")
        if record.overrides.get("learning_rate", chosen) != chosen:
            raise ValueError(
                f"{paper} {name} seed {seed} was trained at {record.overrides['learning_rate']}, and the rate chosen for "
                f"{paper} is {chosen}; remove its record and run it again."
            )
    return Study(PROTOCOL, study.VERDICT_RUNS, study.GROUPS, records, pathlib.Path(results))


def earlier_study(results: str | os.PathLike) -> Study:
    """Returns the first study, with its runs."""
    records = {
        (record.paper, record.experiment, record.seed): record
        for record in load_records(pathlib.Path(results) / "obtained")
        if record.scale == "claims" and record.is_plain and not record.overrides
    }
    return Study(FIRST_PROTOCOL, first_study.ARMS, first_study.GROUPS, records, pathlib.Path(results))


def differing_recipe(sides: Sequence[Side]) -> list[str]:
    """Returns the fields in which the training of two arms of different papers differs.

    The learning rate counts unless the study chose both by the same procedure. Arms of one paper differ only in what a claim is
    about, so that nothing is returned for them.
    """
    if len({paper for paper, _ in sides}) == 1:
        return []
    experiments = [_experiment(side) for side in sides]
    chosen = all(name.startswith(PREFIX) for _, name in sides)
    names = _RECIPE_FIELDS if chosen else (*_RECIPE_FIELDS, "learning_rate")
    return [name for name in names if len({getattr(experiment, name, 0) for experiment in experiments}) > 1]


@functools.cache
def _experiment(side):
    paper, name = side
    if name.startswith(PREFIX):
        return importlib.import_module(f"reproductions.{paper}.study").STUDY[name]
    return importlib.import_module(f"reproductions.{paper}.experiments").EXPERIMENTS[name]


def measured_difference(
    comparison: Comparison, of: Study, seeds: Sequence[int]
) -> tuple[rule.Difference, float | None]:
    """Returns the difference of a comparison, and its error over images, None without values per image.

    Raises:
      ValueError: If a run lacks the quantity, or the stages of runs differ.
    """
    quantity = comparison.quantity
    lower, higher = (of.runs(side, seeds) for side in comparison.sides)
    values = {
        " ".join(side): {seed: quantity.value(run) for seed, run in runs.items()}
        for side in of.group(comparison, seeds)
        if _has(quantity, runs := of.runs(side, seeds), side in comparison.sides)
    }
    differences = {seed: quantity.value(higher[seed]) - quantity.value(lower[seed]) for seed in seeds}
    if any(np.ndim(value) for value in differences.values()):
        return rule.joint_difference(differences, values), None
    error = None
    if quantity.images is not None:
        sets = ({seed: quantity.images(run) for seed, run in runs.items()} for runs in (lower, higher))
        error = rule.image_error(*sets)
    return rule.paired_difference(differences, values, error or 0.0), error


def _has(quantity: Quantity, runs: Mapping[int, Run], required: bool) -> bool:
    """Whether an arm has the quantity at all; a model without latents has no term of latents."""
    try:
        for run in runs.values():
            quantity.value(run)
    except ValueError:
        if required:
            raise
        return False
    return True


def judge_paper(comparisons: Sequence[Comparison], of: Study) -> list[Claim]:
    """Judges all comparisons of a paper in a study, which are one family for Holm's adjustment.

    Comparisons that have not been run count in the family with a p-value of 1, so that none of them takes a verdict away when it
    comes in.

    Args:
      comparisons: The comparisons.
      of: The study.
    """
    claims, measured = [], {}
    for comparison in comparisons:
        seeds = of.seeds(comparison.sides)
        missing = of.missing(comparison.sides, seeds)
        if missing:
            claims.append(_unjudged(comparison, of, f"missing: {'; '.join(missing)}"))
            continue
        difference, error = measured_difference(comparison, of, seeds)
        measured[comparison.name] = difference
        claims.append(_measured_claim(comparison, of, seeds, difference, error))
    tested = [item for item in comparisons if item.judged == DIFFERENCE and not differing_recipe(item.sides)]
    known = [item for item in tested if item.name in measured]
    adjusted = rule.holm([measured[item.name].p_value if item in known else 1.0 for item in tested])
    adjusted = {item.name: value for item, value in zip(tested, adjusted, strict=True) if item in known}
    return [
        _with_verdict(claim, item, measured.get(item.name), adjusted)
        for claim, item in zip(claims, comparisons, strict=True)
    ]


def _unjudged(comparison, of, note):
    return claim_not_run(
        comparison.paper,
        comparison.name,
        comparison.claim,
        comparison.paper_effect,
        of.protocol,
        comparison.quantity.name,
        note,
    )


def _measured_claim(comparison, of, seeds, difference, error):
    from reproductions.claims.sizes import DEAD  # with TensorFlow

    arms = []
    for side in comparison.sides:
        runs = of.runs(side, seeds)
        train = {seed: run.train for seed, run in runs.items() if run.train is not None}
        seconds = {seed: run.record.seconds_per_step for seed, run in runs.items()}
        test = {seed: run.test for seed, run in runs.items()}
        live = runs[seeds[0]].record.parameters - DEAD[side[0]](_experiment(side))
        arms.append(Arm(side[1], test, seconds, live, train))
    first = of.runs(comparison.sides[0], seeds)[seeds[0]]
    low, high = difference.interval()
    return dataclasses.replace(
        _unjudged(comparison, of, ""),
        arms=tuple(arm.summary() for arm in arms),
        difference=difference.value,
        standard_error=difference.standard_error,
        seed_differences=tuple(difference.seed_differences.values()),
        verdict=MEASURED,
        commit=first.record.commit,
        date=first.record.date,
        num_images=first.test.size,
        interval=(low, high),
        p_value=difference.p_value,
        degrees_of_freedom=difference.degrees_of_freedom,
        image_error=error,
    )


def _with_verdict(claim, comparison, difference, adjusted):
    """The claim with its verdict, if it has been run."""
    if difference is None:
        return claim
    recipe = differing_recipe(comparison.sides)
    if recipe:
        return dataclasses.replace(claim, verdict=NOT_COMPARABLE, note=f"recipes differ: {', '.join(recipe)}")
    if comparison.judged == MEASURED:
        return dataclasses.replace(claim, note="the paper has no such comparison")
    if comparison.judged == EQUALITY:
        verdict = rule.equality_verdict(difference)
        return dataclasses.replace(claim, verdict=verdict, smallest=rule.EQUALITY_MARGIN)
    p_value, smallest = adjusted[comparison.name], comparison.quantity.smallest
    verdict = rule.verdict_of(difference, p_value, smallest)
    return dataclasses.replace(claim, verdict=verdict, adjusted_p_value=p_value, smallest=smallest)


def judge_all(results: str | os.PathLike, papers: Sequence[str] = tuple(PAPERS)) -> list[Claim]:
    """Judges all claims of some papers: of the second study, of the first where it still stands, on times, counts and the toy."""
    claims = []
    second, first = second_study(results), earlier_study(results)
    for paper in papers:
        own = judge_paper(PAPERS[paper].COMPARISONS, second)
        run = {claim.name for claim in own if claim.verdict != NOT_RUN}
        # The whole first study is the family, whatever has been run again.
        of_first = [(item, replaced_by) for item, replaced_by in first_study.COMPARISONS if item.paper == paper]
        judged = judge_paper([item for item, _ in of_first], first)
        own += [claim for claim, (_, replaced_by) in zip(judged, of_first, strict=True) if replaced_by not in run]
        claims += own
    return claims + measured.judge_all(results, papers) + toy.judge_all(results, papers)


def write_all(claims: Sequence[Claim], results: str | os.PathLike) -> None:
    """Writes claims, and removes those of the same papers that are no comparison any more; costs stay."""
    directory = pathlib.Path(results) / CLAIMS_DIRECTORY
    costs = {(cost.paper, cost.name) for cost in glow.COSTS}
    for claim in claims:
        write_claim(claim, directory, overwrite=True)
    names = {(claim.paper, claim.name) for claim in claims} | costs
    for paper in {claim.paper for claim in claims}:
        for path in (directory / paper).glob("*.json"):
            if (paper, path.stem) not in names:
                path.unlink()


def main(report: Callable[[str], None] = print) -> None:
    """Judges every comparison of all papers or of one, and writes the claims."""
    start_up()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--results", default=str(results_directory()), help="the results directory")
    parser.add_argument("--paper", choices=list(PAPERS), default=None, help="judge only the claims of this paper")
    arguments = parser.parse_args()
    claims = judge_all(arguments.results, [arguments.paper] if arguments.paper else list(PAPERS))
    write_all(claims, arguments.results)
    for claim in claims:
        effect = "" if claim.difference is None else f": {claim.difference:+.4f}"
        effect += "" if claim.interval is None else " [{:+.4f}, {:+.4f}]".format(*claim.interval)
        report(f"{claim.verdict:14} {claim.paper} {claim.name}{effect}")


if __name__ == "__main__":
    main()
