"""The project's own results: printed values as copied, no number out of tolerance, no table stale."""

import csv
import hashlib

import pytest

from reproductions.published import EXPECTED, PARAMETERS
from reproductions.reporting.expected import (
    BITS_PER_DIM,
    find_expected,
    find_regressions,
    format_comparison,
    load_expected,
)
from reproductions.reporting.records import load_records
from reproductions.tables import stale_files

# Of the first six columns, which hold what the papers print. The notes and what follows them are ours.
PRINTED_SHA256 = "bde99ad14fa4d893b6d765438f3d00d44c864ae752d961f91a5fbfaf8eca34b7"
PRINTED_COLUMNS = 6


@pytest.fixture(scope="module")
def directory(pytestconfig):
    return pytestconfig.rootpath / "results"


@pytest.fixture(scope="module")
def expected():
    return load_expected()


def test_printed_values_are_the_ones_copied(expected):
    with open(EXPECTED, newline="") as file:
        printed = "\n".join("\x1f".join(row[:PRINTED_COLUMNS]) for row in csv.reader(file))
    assert hashlib.sha256(printed.encode()).hexdigest() == PRINTED_SHA256
    assert len(expected) == 166


def test_tolerance_is_on_own_bits_per_dim_alone(expected):
    for row in expected:
        assert row.tolerance == (0.02 if row.own and row.metric == BITS_PER_DIM else None)


def test_each_own_bits_per_dim_belongs_to_one_experiment(expected):
    for row in expected:
        if row.own and row.metric == BITS_PER_DIM:
            assert find_expected(expected, row.paper, row.experiment).value == row.value


@pytest.mark.parametrize(
    ("experiment", "printed", "source"),
    [
        ("cifar10", "3.35", ("glow", "table 2")),
        ("lsun_church", "2.67", ("glow", "table 2")),
        ("celeba_hq", "1.03", ("macow", "table 2")),
    ],
)
def test_glow_experiments_find_their_number(expected, experiment, printed, source):
    row = find_expected(expected, "glow", experiment)
    assert (row.printed, (row.paper, row.source)) == (printed, source)


@pytest.mark.parametrize("experiment", ["cifar10_conditional", "imagenet32_conditional"])
def test_what_is_unverified_is_not_expected(directory, expected, experiment):
    assert find_expected(expected, "glow", experiment) is None
    with open(directory / "unverified.csv", newline="") as file:
        assert (experiment, BITS_PER_DIM) in {(row["experiment"], row["item"]) for row in csv.DictReader(file)}


def test_parameter_counts_are_the_sum_of_their_parts():
    parts = (
        "invertible_conv", "coupling_networks", "masked_convs", "actnorm", "split_priors", "top_prior", "classifier",
        "dequantizer", "augmenter",
    )  # fmt: skip
    with open(PARAMETERS, newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({(row["paper"], row["experiment"], row["variant"]) for row in rows}) == len(rows) == 115
    for row in rows:
        # Of MaCow's code of February 2019 only the totals are known; AGAVE's and RealNVP's parts are others.
        if any(row[part] for part in parts):
            assert int(row["parameters"]) == sum(int(row[part] or 0) for part in parts), row
    assert sum(not any(row[part] for part in parts) for row in rows) == 11 + 16 + 10


def test_no_result_leaves_its_tolerance(directory):
    regressions = find_regressions(directory)
    assert not regressions, "\n".join(map(format_comparison, regressions))


def test_records_count_the_paper_scale_parameters(directory):
    with open(PARAMETERS, newline="") as file:
        published = {
            (row["paper"], row["experiment"]): int(row["parameters"])
            for row in csv.DictReader(file)
            if not row["variant"]
        }
    assert published[("glow", "cifar10")] == 44_603_604
    for record in load_records(directory / "obtained"):
        if record.scale == "paper" and not record.overrides:
            assert record.parameters == published[(record.paper, record.experiment)], record.name


def test_no_table_is_stale(directory):
    assert stale_files(directory) == [], "run `make tables`"
