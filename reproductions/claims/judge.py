"""Verdicts from the runs: `python reproductions/claims/judge.py` writes `results/claims/<paper>/*.json`."""

import argparse
import math
import os
import pathlib
from collections.abc import Collection, Sequence

import numpy as np

from reproductions.checkout import results_directory
from reproductions.claims import agave, flowpp, glow, macow, per_image, vflow
from reproductions.claims.arms import ARMS
from reproductions.claims.comparisons import LEAST, MEAN, Comparison, GapComparison, TermComparison
from reproductions.reporting.claims import Arm, Claim, judge_bits_per_dim, judge_gap, write_claim
from reproductions.reporting.records import Record, load_records
from reproductions.reporting.verdicts import HELD, REVERSED, UNDECIDED

PAPERS = {"glow": glow, "flowpp": flowpp, "macow": macow, "vflow": vflow, "agave": agave}


def records_of(paper: str, experiment: str, results: str | os.PathLike) -> dict[int, Record]:
    """Returns the records of the claims study for an experiment of a paper, by seed."""
    return {
        record.seed: record
        for record in load_records(pathlib.Path(results) / "obtained")
        if (record.paper, record.experiment) == (paper, experiment)
        and record.scale == "claims"
        and record.is_plain
        and not record.overrides
    }


def load_arm(
    paper: str, experiment: str, results: str | os.PathLike, seeds: Collection[int] | None = None
) -> tuple[Arm, dict[int, Record]]:
    """Returns the `Arm` of an experiment of a paper, and its records by seed.

    Args:
      paper: Name of the paper.
      experiment: Name of the experiment.
      results: The results directory.
      seeds: Seeds to use; None for all seeds of the queue.

    Raises:
      FileNotFoundError: If one of its runs is missing.
    """
    records = records_of(paper, experiment, results)
    runs = [arm for arm in ARMS if (arm.paper, arm.experiment) == (paper, experiment)]
    if seeds is not None:
        runs = [arm for arm in runs if arm.seed in seeds]
    missing = [arm.seed for arm in runs if arm.seed not in records]
    if missing or not runs:
        raise FileNotFoundError(
            f"{experiment} has no record of seeds {missing}; run reproductions/claims/run.py first."
        )
    bits = {arm.seed: per_image.load(arm, results) for arm in runs}
    train = {
        arm.seed: per_image.load(arm, results, per_image.TRAIN)
        for arm in runs
        if per_image.path_of(arm, results, per_image.TRAIN).exists()
    }
    seconds = {seed: records[seed].seconds_per_step for seed in bits}
    parameters = records[runs[0].seed].parameters
    return Arm(experiment, bits, seconds, parameters, train), {seed: records[seed] for seed in bits}


def judge(comparison: Comparison | GapComparison | TermComparison, protocol: str, results: str | os.PathLike) -> Claim:
    """Judges a comparison.

    Args:
      comparison: The comparison.
      protocol: What was run, in words; a `GapComparison` has its own protocol.
      results: The results directory.

    Returns:
      The claim with its verdict.

    Raises:
      FileNotFoundError: If a run is missing.
    """
    if isinstance(comparison, GapComparison):
        return _judge_gap(comparison, results)
    if isinstance(comparison, TermComparison):
        return _judge_term(comparison, protocol, results)
    sides = (
        (comparison.lower_paper or comparison.paper, comparison.lower),
        (comparison.higher_paper or comparison.paper, comparison.higher),
    )
    seeds = set.intersection(*({arm.seed for arm in ARMS if (arm.paper, arm.experiment) == side} for side in sides))
    (lower, records), (higher, higher_records) = (load_arm(*side, results, seeds) for side in sides)
    first = next(iter(records.values()))
    common = {"paper_effect": comparison.paper_effect, "protocol": protocol, "commit": first.commit, "date": first.date}
    if not comparison.along_curve:
        return judge_bits_per_dim(comparison.paper, comparison.name, comparison.claim, lower, higher, **common)
    measure, quantity = ALONG_CURVE[comparison.along_curve]
    differences = [measure(higher_records[seed], records[seed]) for seed in sorted(records)]
    return _claim_of_seeds(comparison, quantity, (lower, higher), differences, first.num_images, common)


def _judge_term(comparison, protocol, results):
    lower, records = load_arm(comparison.paper, comparison.lower, results)
    higher, higher_records = load_arm(comparison.paper, comparison.higher, results)
    first = next(iter(records.values()))
    common = {"paper_effect": comparison.paper_effect, "protocol": protocol, "commit": first.commit, "date": first.date}

    def value(record):
        less = record.terms[comparison.less]["value"] if comparison.less else 0.0
        return record.terms[comparison.term]["value"] - less

    seeds = sorted(records.keys() & higher_records.keys())
    differences = [value(higher_records[seed]) - value(records[seed]) for seed in seeds]
    quantity = f"{comparison.term} less {comparison.less}" if comparison.less else comparison.term
    return _claim_of_seeds(
        comparison, quantity.replace("_", " "), (lower, higher), differences, first.num_images, common
    )


def _claim_of_seeds(comparison, quantity, arms, differences, num_images, common):
    """Returns the `Claim` that rests on one difference per seed."""
    difference, error, verdict = judge_seeds(differences)
    return Claim(
        paper=comparison.paper,
        name=comparison.name,
        claim=comparison.claim,
        quantity=quantity,
        arms=tuple(arm.summary() for arm in arms),
        difference=difference,
        standard_error=error,
        seed_differences=tuple(differences),
        verdict=verdict,
        num_images=num_images,
        **common,
    )


def _judge_gap(comparison, results):
    smaller, records = load_arm(comparison.paper, comparison.smaller, results)
    larger, _ = load_arm(comparison.paper, comparison.larger, results)
    first = next(iter(records.values()))
    return judge_gap(
        comparison.paper,
        comparison.name,
        comparison.claim,
        smaller,
        larger,
        paper_effect=comparison.paper_effect,
        protocol=comparison.protocol,
        commit=first.commit,
        date=first.date,
    )


def mean_difference(higher: Record, lower: Record) -> float:
    """Returns the difference of two records' mean bits/dim over all evaluations, positive if `lower` falls sooner or further."""
    return float(np.mean([bits for _, bits in higher.curve]) - np.mean([bits for _, bits in lower.curve]))


def min_difference(higher: Record, lower: Record) -> float:
    """Returns the smallest difference of two records over all evaluations, positive if `lower` is lower at all of them.

    Args:
      higher: Record of the arm that is claimed to be higher.
      lower: Record of the arm that is claimed to be lower.

    Raises:
      ValueError: If they were not evaluated at the same steps.
    """
    steps = [[step for step, _ in record.curve] for record in (higher, lower)]
    if steps[0] != steps[1]:
        raise ValueError(
            f"{higher.experiment} and {lower.experiment} were evaluated at different steps: {steps[0]} and {steps[1]}."
        )
    return float(min(a - b for (_, a), (_, b) in zip(higher.curve, lower.curve, strict=True)))


# Functions that judge a curve, and the names of their quantities.
ALONG_CURVE = {
    MEAN: (mean_difference, "test bits/dim, mean over the evaluations of a run"),
    LEAST: (min_difference, "validation bits/dim, least difference over the evaluations of a run"),
}


def judge_seeds(differences: Sequence[float]) -> tuple[float, float, str]:
    """Returns the mean difference, its standard error over seeds, and the verdict.

    The verdict is decided if the mean exceeds two standard errors and all seeds agree in sign.

    Args:
      differences: One difference per seed, positive if it goes as claimed.
    """
    mean = float(np.mean(differences))
    error = float(np.std(differences, ddof=1)) / math.sqrt(len(differences))
    if abs(mean) > 2 * error and len(set(np.sign(differences))) == 1:
        return mean, error, HELD if mean > 0 else REVERSED
    return mean, error, UNDECIDED


def main() -> None:
    """Judges every comparison of all papers or of one; comparisons with missing runs are left as they are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", default=str(results_directory()), help="the results directory")
    parser.add_argument("--paper", choices=list(PAPERS), default=None, help="judge only the claims of this paper")
    arguments = parser.parse_args()
    results = arguments.results
    for paper in [PAPERS[arguments.paper]] if arguments.paper else PAPERS.values():
        for comparison in paper.COMPARISONS:
            try:
                claim = judge(comparison, paper.PROTOCOL, results)
            except FileNotFoundError as error:
                print(f"{'not judged':10} {comparison.claim}: {error}")
                continue
            write_claim(claim, pathlib.Path(results) / "claims", overwrite=True)
            print(f"{claim.verdict:10} {claim.difference:+.4f} +- {claim.standard_error:.4f}  {claim.claim}")


if __name__ == "__main__":
    main()
