"""Verdicts: on a number beside the paper's, and on a claim between two arms."""

import dataclasses

import numpy as np
import pytest

from reproductions.reporting.expected import load_expected
from reproductions.reporting.records import write_record
from reproductions.reporting.regressions import find_regressions
from reproductions.reporting.verdicts import compare, compare_with, format_comparison, paired_verdict


@pytest.fixture
def expected(results):
    return load_expected(results)


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (3.35, "within"),
        (3.37, "within"),  # 3.37 - 3.35 > 0.02 in binary
        (3.33, "within"),
        (3.3701, "outside"),
        (3.3299, "better"),
    ],
)
def test_verdict_at_the_bounds_of_the_tolerance(make_record, expected, value, verdict):
    comparison = compare_with(make_record(value=value), expected)
    assert comparison.expected.printed == "3.35"
    assert comparison.verdict == verdict
    assert comparison.difference == pytest.approx(value - 3.35)
    assert comparison.leaves_tolerance == (verdict != "within")


def test_more_is_better_for_a_log_likelihood(make_record, expected):
    row = dataclasses.replace(compare_with(make_record(), expected).expected, metric="log_likelihood_nats")
    record = make_record(metric="log_likelihood_nats")
    for value, verdict in ((3.45, "better"), (3.25, "outside")):
        assert compare(dataclasses.replace(record, value=value), row).verdict == verdict


@pytest.mark.parametrize(
    ("changes", "verdict", "difference"),
    [
        ({"scale": "small"}, "not comparable (scale small)", 0.005),
        ({"overrides": {"b": 2, "a": 1}}, "not comparable (overrides a, b)", 0.005),
        ({"evaluation_images": 10_000}, "not comparable (the first 10,000 images)", 0.005),
        ({"experiment": "other"}, "not comparable (the paper prints no value)", None),
        ({"dataset": "cifar10_16"}, "not comparable (the paper prints no value)", None),
        (
            {"experiment": "celeba_hq", "dataset": "celeba_hq", "value": 1.0},
            "not comparable (no tolerance is set)",
            -0.03,
        ),
    ],
)
def test_what_is_not_comparable_says_why(make_record, expected, changes, verdict, difference):
    comparison = compare_with(make_record(**changes), expected)
    assert comparison.verdict == verdict
    assert not comparison.leaves_tolerance
    if difference is None:
        assert comparison.difference is None
    else:
        assert comparison.difference == pytest.approx(difference)


@pytest.mark.parametrize("field", ["metric", "dataset"])
def test_a_row_of_something_else_is_refused(make_record, expected, field):
    row = compare_with(make_record(), expected).expected
    with pytest.raises(ValueError, match=f"has {field} 'other'"):
        compare(make_record(**{field: "other"}), row)


def test_the_printed_comparison_has_all_four(make_record, expected):
    text = format_comparison(compare_with(make_record(value=3.3805), expected))
    assert text.splitlines() == [
        "bits_per_dim of cifar10 on cifar10, test split, 10,000 images, scale paper",
        "  expected    3.35 (glow, table 2)",
        "  obtained    3.3805 ± 0.0040",
        "  difference  +0.0305 (tolerance 0.02)",
        "  verdict     outside",
    ]
    missing = format_comparison(compare_with(make_record(experiment="other"), expected))
    assert "expected    -\n" in missing and missing.endswith("prints no value)")


def test_a_regression_is_found_only_at_paper_scale(results, make_record):
    obtained = results / "obtained"
    write_record(make_record(seed=1), obtained)
    write_record(make_record(value=4.0, scale="small"), obtained)
    write_record(make_record(value=4.0, overrides={"depth": 1}), obtained)
    assert find_regressions(results) == ()
    bad = [make_record(value=3.4, seed=2), make_record(value=3.0, seed=3)]
    for record in bad:
        write_record(record, obtained)
    found = find_regressions(results)
    assert [item.record for item in found] == bad
    assert [item.verdict for item in found] == ["outside", "better"]


def arms(differences, spread=0.1, num_images=400, seed=7):
    """Arms whose paired difference has exactly the given mean and deviation in each seed."""
    random = np.random.default_rng(seed)
    lower, higher = {}, {}
    for index, difference in enumerate(differences):
        noise = random.normal(size=num_images)
        noise = (noise - noise.mean()) / noise.std(ddof=1)
        lower[index] = random.normal(3.5, 2.0, num_images)
        higher[index] = lower[index] + difference + spread * noise
    return lower, higher


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        # The error is 0.1 / sqrt(400) = 0.005 a seed, 0.005 / sqrt(seeds) combined.
        ([0.02], "held"),
        ([0.0101], "held"),
        ([0.0099], "undecided"),
        ([0.02, 0.03], "held"),
        ([-0.02, -0.03, -0.01], "reversed"),
        ([0.006, 0.0088], "held"),  # neither seed alone, both together: 0.0074 > 2 * 0.00354
        ([0.006, 0.0078], "undecided"),
        ([0.1, -0.001], "undecided"),  # far beyond the error, but the signs differ
        ([-0.1, 0.001], "undecided"),
        ([0.0, 0.0], "undecided"),
    ],
)
def test_paired_verdict(differences, verdict):
    result = paired_verdict(*arms(differences))
    assert result.verdict == verdict
    assert result.difference == pytest.approx(np.mean(differences), abs=1e-12)
    assert result.standard_error == pytest.approx(0.005 / np.sqrt(len(differences)))
    assert list(result.seed_differences.values()) == pytest.approx(differences, abs=1e-12)


def test_pairing_takes_out_what_the_images_have_in_common():
    lower, higher = arms([0.02, 0.02])
    result = paired_verdict(lower, higher)
    unpaired = np.sqrt(sum(np.var(arm[0], ddof=1) / 400 for arm in (lower, higher)))
    assert result.verdict == "held" and unpaired > 10 * result.standard_error
    shuffled = {seed: np.random.default_rng(seed).permutation(lower[seed]) for seed in lower}
    assert paired_verdict(shuffled, higher).verdict == "undecided"


@pytest.mark.parametrize(
    ("lower", "higher", "message"),
    [
        ({}, {}, "at least one"),
        ({0: [1.0, 2.0]}, {1: [1.0, 2.0]}, r"same seeds.*\[0\] and \[1\]"),
        ({0: [1.0, 2.0]}, {0: [1.0, 2.0, 3.0]}, r"Seed 0.*\(2,\) and \(3,\)"),
        ({0: [1.0]}, {0: [1.0]}, "two or more images"),
        ({4: [1.0, np.nan]}, {4: [1.0, 2.0]}, "Seed 4: a value is not finite"),
    ],
)
def test_paired_verdict_refuses_what_is_not_paired(lower, higher, message):
    with pytest.raises(ValueError, match=message):
        paired_verdict(lower, higher)
