"""The gap between test and training images: of a run, as a claim, in the tables."""

import dataclasses

import numpy as np
import pytest

from reproductions.reporting.claims import Arm, Claim, load_claims, write_claim
from reproductions.reporting.records import train_test_gap
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


def arm(name, gaps):
    values = side(gaps, 0.01)
    test, train = ({seed: pair[split] for seed, pair in values.items()} for split in (0, 1))
    return Arm(name, test, dict.fromkeys(test, 0.1), 100, train)


SMALLER, LARGER = arm("full", (0.02, 0.03)), arm("uniform", (0.06, 0.05))


def claim_of(*arms):
    return Claim(
        paper="flowpp",
        name="gap",
        claim="a smaller gap",
        quantity="gap between test and training bits/dim",
        arms=tuple(arm.summary() for arm in arms),
        difference=0.03,
        standard_error=0.001,
        seed_differences=(0.04, 0.02),
        verdict="held",
        **TEXT,
    )


def test_a_claim_carries_the_gaps(tmp_path):
    claim = claim_of(SMALLER, LARGER)
    for summary, given in zip(claim.arms, (SMALLER, LARGER), strict=True):
        gaps = [train_test_gap(given.bits_per_dim[seed], given.train_bits_per_dim[seed]) for seed in (0, 1)]
        assert summary["gap"] == pytest.approx(np.mean([gap for gap, _ in gaps]))
        assert summary["gap_standard_error"] == pytest.approx(np.hypot(gaps[0][1], gaps[1][1]) / 2)
        assert summary["gap"] == pytest.approx(summary["bits_per_dim"] - summary["train_bits_per_dim"])
    write_claim(claim, tmp_path)
    assert load_claims(tmp_path) == (claim,)


def test_training_images_must_have_been_measured_in_each_seed():
    half = dataclasses.replace(LARGER, train_bits_per_dim={0: LARGER.train_bits_per_dim[0]})
    with pytest.raises(ValueError, match=r"uniform: .* same seeds: got \[0, 1\] and \[0\]"):
        half.summary()


def test_the_gaps_stand_in_the_table_of_arms(results):
    plain = dataclasses.replace(SMALLER, name="other", train_bits_per_dim={})
    write_claim(claim_of(SMALLER, plain), results / "claims")
    page = build_tables(results)["claims.md"]
    table = page.partition("## Arms of Flow++")[2].partition("\n## ")[0].splitlines()
    columns = [cell.strip() for cell in table[2].strip("|").split("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[4:] if line]
    gaps = {row[columns.index("Arm")]: row[columns.index("Gap")] for row in rows}
    summary = claim_of(SMALLER).arms[0]
    assert gaps["full"] == f"{summary['gap']:.4f} ± {summary['gap_standard_error']:.4f}" and gaps["other"] == ""
