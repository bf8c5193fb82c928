"""A setting varied: which records make a point, where there is a figure, and the table of the terms."""

import dataclasses

import pytest

from reproductions.reporting.records import write_record
from reproductions.reporting.sweeps import SWEEPS_FILE, collect_sweeps
from reproductions.tables import build_tables, stale_files, write_tables

ROWS = """figure,title,abscissa,paper,experiment,dataset,scale,x
by_lambda,By lambda,lambda,agave,one,cifar10_16,claims,1
by_lambda,By lambda,lambda,agave,two,cifar10_16,claims,2
by_lambda,By lambda,lambda,agave,eight,cifar10_16,claims,8
by_size,By size,side,agave,one,cifar10_16,claims,16
by_size,By size,side,agave,small,cifar10_16,claims,8
"""


def terms(kl, own=4.0, other=4.5, auxiliary=5.0, **more):
    values = {
        "kl_nats": kl,
        "pixel_bits_per_dim": own,
        "other_pixel_bits_per_dim": other,
        "auxiliary_bits_per_dim": auxiliary,
    }
    return {name: {"value": value, "standard_error": 0.01} for name, value in (values | more).items()}


@pytest.fixture
def sweep(results, make_record):
    """A function that writes records of experiments, `(experiment, seed, terms, ...)`, and gives all of them."""
    (results / SWEEPS_FILE).write_text(ROWS, encoding="utf-8")
    written = []

    def write(experiment, seed, terms, **changes):
        record = make_record(
            paper="agave", dataset="cifar10_16", scale="claims", experiment=experiment, seed=seed, terms=terms
        )
        written.append(dataclasses.replace(record, **changes))
        write_record(written[-1], results / "obtained")
        return written

    return write


def test_points_are_all_seeds_of_a_row(sweep, results):
    sweep("one", 0, terms(10.0))
    sweep("one", 1, terms(12.0))
    sweep("one", 2, None)
    sweep("one", 3, terms(1.0), overrides={"width": 8})
    records = sweep("two", 0, terms(8.0))
    (figure,) = collect_sweeps(results, records, "figures")
    assert (figure.file, figure.title, figure.abscissa) == ("figures/by_lambda.png", "By lambda", "lambda")
    assert {x: [record.seed for record in seeds] for x, seeds in figure.points.items()} == {"1": [0, 1], "2": [0]}


def test_one_point_or_no_file_is_no_figure(sweep, results):
    records = sweep("one", 0, terms(10.0))
    assert collect_sweeps(results, records, "figures") == ()
    (results / SWEEPS_FILE).unlink()
    assert collect_sweeps(results, sweep("two", 0, terms(8.0)), "figures") == ()


def test_figure_and_terms_are_on_the_page(sweep, results):
    sweep("one", 0, terms(10.0))
    sweep("one", 1, terms(12.0, other=4.7))
    sweep("two", 0, terms(8.0, sample_distance=0.25))
    page = build_tables(results)["agave.md"]
    assert "![By lambda](figures/by_lambda.png)" in page
    assert "| one | claims |  | cifar10_16 | 1,000 | 2 | 11.0 | 4.0000 | 4.6000 | +0.6000 | 5.0000 |  |" in page
    assert "+0.5000 | 5.0000 | 0.2500 |" in page
    assert "figures/by_lambda.png" in stale_files(results)
    write_tables(results)
    assert stale_files(results) == []
