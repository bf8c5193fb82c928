"""Expected values: parsing, which of them belongs to an experiment, and the comparison of an obtained value with it."""

import dataclasses

import pytest

from reproductions.published import EXPECTED
from reproductions.reporting.expected import (
    cited_elsewhere,
    compare,
    compare_with,
    find_expected,
    find_regressions,
    format_comparison,
    load_expected,
)
from reproductions.reporting.records import write_record
from tests.reproductions.conftest import IMPORTANCE

HEADER = "paper,source,model,dataset,metric,value,note,experiment,tolerance,importance_samples\n"


def write(directory, *rows):
    path = directory / "expected.csv"
    path.write_text(HEADER + "".join(row + ",\n" for row in rows))
    return path


def test_parses_a_row_and_keeps_the_printed_digits(tmp_path):
    row = '"a,b",table 2,M,d,bits_per_dim,3.200,"own; not, converged",e,0.02'
    (expected,) = load_expected(str(write(tmp_path, row)))
    assert (expected.paper, expected.note) == ("a,b", "own; not, converged")
    assert (expected.printed, expected.value, expected.tolerance) == ("3.200", 3.2, 0.02)
    assert expected.own


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("p,t,M,d,bits_per_dim,three,own,e,0.02", r"expected\.csv:2.*'three'"),
        ("p,t,M,d,bits_per_dim,3,borrowed,e,", "'own' or 'cited'.*'borrowed'"),
    ],
)
def test_bad_rows_are_named(tmp_path, row, message):
    with pytest.raises(ValueError, match=message):
        load_expected(write(tmp_path, row))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.csv"):
        load_expected(tmp_path / "none.csv")


def test_finds_a_papers_own_row_before_any_citation(tmp_path):
    expected = load_expected(
        write(
            tmp_path,
            "q,t1,M,d,bits_per_dim,9,cited,e,",
            "p,t2,M,d,bits_per_dim,1,own,e,0.02",
            "p,t2,M,d,parameters_millions,7,own,e,",
        )
    )
    assert find_expected(expected, "p", "e").value == 1
    assert find_expected(expected, "p", "e", "parameters_millions").value == 7
    assert find_expected(expected, "p", "other") is None
    assert find_expected(expected, "q", "e") is None
    assert find_expected(expected, "p", "") is None


def test_a_citation_stands_in_where_the_paper_prints_nothing(tmp_path):
    expected = load_expected(
        write(
            tmp_path,
            "p,t1,M,d,bits_per_dim,1,own,e,0.02",
            "q,t1,M,d,bits_per_dim,2,cited,e,",
            "q,t1,M,faces,bits_per_dim,3,cited,f,",
            "q,t1,Other,faces,bits_per_dim,4,cited,f,",
        )
    )
    assert [row.value for row in cited_elsewhere(expected, "p")] == [3]
    assert find_expected(expected, "p", "f").value == 3


def test_two_different_values_for_one_experiment_are_refused(tmp_path):
    rows = [f"p,t{i},M,d,bits_per_dim,{value},own,e,0.02" for i, value in enumerate((2.98, 2.99))]
    with pytest.raises(ValueError, match=r"2 different values.*2\.98 \(t0\); 2\.99 \(t1\)"):
        find_expected(load_expected(write(tmp_path, *rows)), "p", "e")


@pytest.fixture
def expected():
    return load_expected()


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
        ({"trained_on": "imagenet32"}, "not comparable (trained on imagenet32)", 0.005),
        (
            {"importance": {**IMPORTANCE, "samples": 4096}},
            "not comparable (4,096 importance samples; the paper names no importance samples)",
            0.005,
        ),
        ({"experiment": "other"}, "not comparable (the paper prints no value of other on cifar10)", None),
        (
            {"dataset": "cifar10_16"},
            "not comparable (the paper prints no value of cifar10 on cifar10_16)",
            None,
        ),
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


@pytest.mark.parametrize(
    ("fields", "samples"),
    [
        ({"paper": "vflow", "experiment": "cifar10", "dataset": "cifar10"}, 4096),
        ({"paper": "vflow", "experiment": "imagenet64", "dataset": "imagenet64"}, 1024),
        ({"paper": "agave", "experiment": "cifar10", "dataset": "cifar10"}, 150),
    ],
    ids=lambda value: value["paper"] + " " + value["experiment"] if isinstance(value, dict) else "",
)
def test_only_as_many_importance_samples_as_printed_are_judged(make_record, results, expected, fields, samples):
    """VFlow prints 2.98 with 4,096 samples: a true 3.015 of single draws lies outside, and is no regression."""
    printed = find_expected(expected, fields["paper"], fields["experiment"])
    assert printed.importance_samples == samples
    single = make_record(value=printed.value + 0.035, **fields)
    fewer = dataclasses.replace(single, importance={**IMPORTANCE, "samples": 64})
    own = dataclasses.replace(single, value=printed.value + 0.01, importance={**IMPORTANCE, "samples": samples})
    bad = dataclasses.replace(own, value=printed.value + 0.021, seed=1)
    takes = f"the paper takes {samples:,} importance samples: --importance_samples={samples}"
    assert compare_with(single, expected).verdict == f"not comparable (single draws; {takes})"
    assert compare_with(fewer, expected).verdict == f"not comparable (64 importance samples; {takes})"
    assert compare_with(own, expected).verdict == "within"
    for record in (single, fewer, own, bad):
        write_record(record, results / "obtained")
    assert [comparison.record for comparison in find_regressions(results)] == [bad]


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
    assert missing.splitlines()[1:] == [
        "  obtained    3.3550 ± 0.0040",
        "  verdict     not comparable (the paper prints no value of other on cifar10)",
    ]
    one = format_comparison(compare_with(make_record(num_images=1), expected))
    assert one.splitlines()[0].endswith("test split, 1 image, scale paper")
    small = format_comparison(compare_with(make_record(scale="small"), expected)).splitlines()
    assert small[1:] == ["  obtained    3.3550 ± 0.0040", "  verdict     not comparable (scale small)"]


def test_a_single_image_has_no_error_to_print(make_record, expected):
    one = {"value": 3.0, "standard_error": 0.0, "num_images": 1}
    text = format_comparison(compare_with(make_record(num_images=1, standard_error=0.0, validation=one), expected))
    assert "±" not in text and "  validation  3.0000 (1 held-out" in text


def test_what_else_was_measured_is_printed_below(make_record, expected):
    held_out = {"value": 3.4, "standard_error": 0.05, "num_images": 5000}
    train = {"value": 3.25, "standard_error": 0.01, "num_images": 50_000, "gap": 0.13, "gap_standard_error": 0.02}
    importance = {
        "samples": 1000,
        "effective_samples": 12.25,
        "noise_standard_error": 0.0005,
        "elbo": 3.41,
        "elbo_standard_error": 0.004,
    }
    record = make_record(value=3.38, validation=held_out, train=train, importance=importance)
    assert format_comparison(compare_with(record, expected)).splitlines()[3:] == [
        "  samples     1,000 per image, 12.2 effective",
        "  noise       0.0005 (standard error over the noise)",
        "  ELBO        3.4100 ± 0.0040",
        "  validation  3.4000 ± 0.0500 (5,000 held-out training images)",
        "  train       3.2500 ± 0.0100 (50,000 training images)",
        "  gap         +0.1300 ± 0.0200",
    ]


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


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda text: text.replace(b"tolerance", b"tol", 1), ":1: the columns tolerance are missing"),
        (lambda text: b"", ":1: the columns paper"),
        (lambda text: text + b"glow,a,b\n", r":\d+: 3 cells in place of 10"),
        (lambda text: text + b"glow,a,b,c,d,1,own,e,,\xff\n", r":\d+: this line is not UTF-8"),
        (lambda text: text + b'glow,"a\n', r":\d+: "),
        (lambda text: text + b"glow,a,b,c,d,1,own,e,half,\n", r":\d+: the tolerance must be a number"),
        (lambda text: text + b"glow,a,b,c,d,one,own,e,,\n", r":\d+: the value must be a number"),
        (lambda text: text + b"glow,a,b,c,d,1,own,e,,1\n", r":\d+: importance_samples must be an integer of at"),
    ],
    ids=["column", "empty", "cells", "bytes", "quote", "tolerance", "value", "samples"],
)
def test_a_garbled_file_names_the_line(tmp_path, harm, message):
    path = tmp_path / "expected.csv"
    path.write_bytes(harm(EXPECTED.read_bytes()))
    with pytest.raises(ValueError, match=f"expected.csv{message}"):
        load_expected(path)
