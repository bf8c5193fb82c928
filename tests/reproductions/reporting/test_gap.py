"""The gap between test and training images: of a run, as a claim, in the tables."""

import dataclasses

import numpy as np
import pytest

from reproductions.reporting.claims import Arm, judge_bits_per_dim, judge_gap, load_claims, write_claim
from reproductions.reporting.records import train_test_gap
from reproductions.reporting.verdicts import gap_verdict
from reproductions.tables import build_tables

TEXT = {"paper_effect": "0.02 against 0.06", "protocol": "few images", "commit": "abc", "date": "2026-01-02"}


def test_the_gap_has_the_errors_of_both_sides():
    gap, error = train_test_gap(np.array([3.0, 5.0]), np.array([1.0, 2.0, 3.0]))
    assert gap == 2.0
    np.testing.assert_allclose(error, np.sqrt(1.0 + 1 / 3))
    assert train_test_gap(np.array([3.0], np.float32), np.array([1.0])) == (2.0, 0.0)


def images(seed, count):
    """What the images of a split have in common in all arms."""
    return 4 + np.random.default_rng(seed).standard_normal(count)


def side(gaps, noise=0.0, level=0.0):
    """`{seed: (test, train)}` of 400 test and 300 training images with the given gaps; what differs by arm is the noise."""
    found = {}
    for seed, gap in enumerate(gaps):
        own = np.random.default_rng([seed, int(1000 * abs(gap))])
        train = images(2, 300) + level + noise * own.standard_normal(300)
        test = images(1, 400) + level + gap + noise * own.standard_normal(400)
        found[seed] = (test, train)
    return found


@pytest.mark.parametrize(
    ("smaller", "larger", "noise", "verdict"),
    [
        ((0.02, 0.02), (0.06, 0.06), 0.01, "held"),
        ((0.06, 0.06), (0.02, 0.02), 0.01, "reversed"),
        ((0.02, 0.06), (0.06, 0.02), 0.01, "undecided"),
        ((0.02, 0.02), (0.20, 0.01), 0.001, "undecided"),  # far beyond two errors, but not in every seed
        ((0.02, 0.02), (0.06, 0.06), 2.0, "undecided"),
        ((0.02,), (0.06,), 0.01, "held"),
    ],
)
def test_gap_verdict(smaller, larger, noise, verdict):
    # The levels differ as they may: what counts is the gap.
    found = gap_verdict(side(smaller, noise), side(larger, noise, level=1.0))
    assert found.verdict == verdict
    if noise < 1:
        expected = [b - a for a, b in zip(smaller, larger, strict=True)]
        np.testing.assert_allclose(list(found.seed_differences.values()), expected, atol=5 * noise / np.sqrt(300))


def test_the_error_is_that_of_both_splits_each_paired():
    arms = {0: (np.array([1.0, 2.0]), np.array([1.0, 1.0])), 1: (np.array([1.0, 2.0]), np.array([1.0, 1.0]))}
    others = {0: (np.array([3.0, 6.0]), np.array([1.0, 2.0])), 1: (np.array([2.0, 4.0]), np.array([1.5, 1.5]))}
    found = gap_verdict(arms, others)
    assert found.seed_differences == {0: 2.5, 1: 1.0} and found.difference == 1.75
    # The errors of the seeds are sqrt(1.25) and 0.5.
    np.testing.assert_allclose(found.standard_error, np.sqrt(1.5) / 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (lambda arm: arm.pop(1), r"same seeds.*got \[0, 1\] and \[0\]"),
        (lambda arm: arm.update({1: (arm[1][0][:-1], arm[1][1])}), r"Seed 1: .*\(400,\) and \(399,\)"),
        (lambda arm: arm.update({1: (arm[1][0], arm[1][1][:-1])}), r"Seed 1: .*\(300,\) and \(299,\)"),
        (lambda arm: arm[0][1].__setitem__(0, np.nan), "Seed 0: a value is not finite"),
    ],
)
def test_what_is_not_paired_is_refused(changes, message):
    other = side((0.06, 0.06))
    changes(other)
    with pytest.raises(ValueError, match=message):
        gap_verdict(side((0.02, 0.02)), other)
    with pytest.raises(ValueError, match="at least one"):
        gap_verdict({}, {})


def arm(name, gaps):
    values = side(gaps, 0.01)
    test, train = ({seed: pair[split] for seed, pair in values.items()} for split in (0, 1))
    return Arm(name, test, dict.fromkeys(test, 0.1), 100, train)


SMALLER, LARGER = arm("full", (0.02, 0.03)), arm("uniform", (0.06, 0.05))


def claim():
    return judge_gap("flowpp", "gap", "a smaller gap", SMALLER, LARGER, **TEXT)


def test_a_claim_carries_the_gaps(tmp_path):
    assert claim().verdict == "held" and claim().num_images == 400
    assert claim().difference == pytest.approx(0.03, abs=0.005)
    for summary, given in zip(claim().arms, (SMALLER, LARGER), strict=True):
        gaps = [train_test_gap(given.bits_per_dim[seed], given.train_bits_per_dim[seed]) for seed in (0, 1)]
        assert summary["gap"] == pytest.approx(np.mean([gap for gap, _ in gaps]))
        assert summary["gap_standard_error"] == pytest.approx(np.hypot(gaps[0][1], gaps[1][1]) / 2)
        assert summary["gap"] == pytest.approx(summary["bits_per_dim"] - summary["train_bits_per_dim"])
    write_claim(claim(), tmp_path)
    assert load_claims(tmp_path) == (claim(),)


def test_training_images_must_have_been_measured_in_each_seed():
    without = dataclasses.replace(LARGER, train_bits_per_dim={})
    with pytest.raises(ValueError, match=r"uniform: .* not measured; run it with evaluate_train"):
        judge_gap("flowpp", "gap", "a smaller gap", SMALLER, without, **TEXT)
    half = dataclasses.replace(LARGER, train_bits_per_dim={0: LARGER.train_bits_per_dim[0]})
    with pytest.raises(ValueError, match=r"uniform: .* same seeds: got \[0, 1\] and \[0\]"):
        half.summary()


def test_the_gaps_stand_in_the_table_of_arms(results):
    write_claim(claim(), results / "claims")
    plain = dataclasses.replace(SMALLER, name="other", train_bits_per_dim={})
    write_claim(judge_bits_per_dim("flowpp", "b", "lower", plain, LARGER, **TEXT), results / "claims")
    page = build_tables(results)["claims.md"]
    table = page.partition("## Arms of Flow++")[2].splitlines()
    columns = [cell.strip() for cell in table[2].strip("|").split("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[4:] if line]
    gaps = {row[columns.index("Arm")]: row[columns.index("Gap")] for row in rows}
    summary = claim().arms[0]
    assert gaps["full"] == f"{summary['gap']:.4f} ± {summary['gap_standard_error']:.4f}" and gaps["other"] == ""
