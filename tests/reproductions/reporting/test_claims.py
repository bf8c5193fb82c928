"""Claims: built from arms, stored, loaded."""

import dataclasses

import numpy as np
import pytest

from reproductions.reporting.claims import NOT_RUN, Arm, Claim, load_claims, measure_cost, write_claim

TEXT = {"paper_effect": "figure only", "protocol": "3 images", "commit": "abc", "date": "2026-01-02"}
LOWER = Arm("invertible", {0: np.array([3.0, 3.2, 3.1]), 1: np.array([3.1, 3.3, 3.2])}, {0: 0.22, 1: 0.21}, 120)
HIGHER = Arm("reverse", {0: np.array([3.3, 3.5, 3.42]), 1: np.array([3.4, 3.6, 3.48])}, {0: 0.2, 1: 0.2}, 100)


@pytest.fixture
def claim():
    return Claim(
        paper="glow",
        name="invertible_lowest",
        claim="1x1 is lowest",
        quantity="test bits/dim",
        arms=(LOWER.summary(), HIGHER.summary()),
        difference=0.3,
        standard_error=0.01,
        seed_differences=(0.3, 0.3),
        verdict="held",
        num_images=3,
        interval=(0.2, 0.4),
        p_value=0.001,
        adjusted_p_value=0.002,
        degrees_of_freedom=2,
        image_error=0.001,
        smallest=0.01,
        **TEXT,
    )


def test_an_arm_is_summarized(claim):
    assert [arm["name"] for arm in claim.arms] == ["invertible", "reverse"]
    assert claim.arms[0]["bits_per_dim"] == pytest.approx(3.15)
    assert claim.arms[0]["bits_per_dim_std"] == pytest.approx(0.1 / np.sqrt(2))
    assert claim.arms[0]["seconds_per_step"] == pytest.approx(0.215)


def test_what_was_not_run_has_no_difference(claim):
    empty = {"arms": (), "difference": None, "verdict": NOT_RUN, "date": None}
    assert dataclasses.replace(claim, **empty).difference is None
    for changes in ({"difference": None}, {"verdict": NOT_RUN}):
        with pytest.raises(ValueError, match="if and only if it was not run"):
            dataclasses.replace(claim, **changes)


def test_a_single_seed_has_no_deviation():
    arm = Arm("one", {3: np.array([1.0, 2.0])}, {3: 0.1}, 10)
    assert arm.summary()["bits_per_dim_std"] is None
    assert arm.summary()["seeds"] == [3]


def test_cost_in_percent():
    claim = measure_cost("glow", "cost", "costs 7% time", LOWER, HIGHER, **TEXT)
    assert claim.verdict == "measured"
    assert claim.seed_differences == pytest.approx((10.0, 5.0))
    assert claim.difference == pytest.approx(7.5)
    assert claim.standard_error == pytest.approx(2.5)
    other = dataclasses.replace(HIGHER, seconds_per_step={0: 0.2})
    with pytest.raises(ValueError, match=r"same seeds.*\[0, 1\] and \[0\]"):
        measure_cost("glow", "cost", "costs 7% time", LOWER, other, **TEXT)


def test_write_and_load_give_the_claim_back(tmp_path, claim):
    assert write_claim(claim, tmp_path) == tmp_path / "glow" / "invertible_lowest.json"
    assert load_claims(tmp_path) == (claim,)
    other = dataclasses.replace(claim, verdict="undecided")
    with pytest.raises(FileExistsError, match=r"verdict \('held' there\)"):
        write_claim(other, tmp_path)
    write_claim(other, tmp_path, overwrite=True)
    assert load_claims(tmp_path) == (other,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"verdict": "proved"}, "held, reversed, undecided, measured, not comparable, not run, not 'proved'"),
        ({"claim": ""}, "in words"),
        ({"name": "A claim"}, "plain name"),
        ({"arms": ()}, "at least one arm"),
        ({"arms": ({"name": "a"},)}, r"not \['name'\]"),
        ({"difference": float("nan")}, "finite"),
        ({"date": "soon"}, "soon"),
    ],
)
def test_invalid_claims_are_refused(claim, changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(claim, **changes)


def test_an_arm_that_was_only_timed_has_no_bits_per_dim():
    summary = Arm("a", {}, {0: 0.1, 1: 0.3}, 5).summary()
    assert (summary["bits_per_dim"], summary["bits_per_dim_std"], summary["seeds"]) == (None, None, [])
    assert abs(summary["seconds_per_step"] - 0.2) < 1e-12
