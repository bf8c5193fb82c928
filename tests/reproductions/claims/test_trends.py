"""Figures of trends stand on the long runs, and on no others."""

import numpy as np
import pytest

from reproductions.claims.outcomes import RECORDS
from reproductions.claims.study import RUNS
from reproductions.claims.study import TRENDS as QUEUED
from reproductions.claims.trends import TRENDS, difference_curves, draw_figures, figure_files, studied, trends_text
from reproductions.recipe import TREND_SEEDS, trend_name
from reproductions.reporting.records import write_record


def leave_long_runs(results, make_record, steps=(600, 1200, 1800)):
    for trend in TRENDS[:2]:
        for number, arm in enumerate((trend.lower, trend.higher)):
            for seed in TREND_SEEDS:
                curve = tuple((step, 5.0 + 0.1 * number * step / 600 + 0.01 * seed * number) for step in steps)
                record = make_record(
                    paper=trend.paper,
                    experiment=trend_name(arm),
                    seed=seed,
                    scale="claims",
                    curve=curve,
                    steps=steps[-1],
                )
                write_record(record, results / RECORDS)


def test_every_trend_is_queued():
    queued = {(run.paper, run.experiment) for run in RUNS}
    assert {trend.paper: {trend.lower, trend.higher} for trend in TRENDS} == {
        paper: set(arms) for paper, arms in QUEUED.items()
    }
    assert all((trend.paper, trend_name(arm)) in queued for trend in TRENDS for arm in (trend.lower, trend.higher))


def test_a_trend_is_drawn_once_all_its_runs_are_there(tmp_path, make_record):
    assert figure_files(tmp_path) == [] and "Not run: MaCow" in trends_text(tmp_path)
    leave_long_runs(tmp_path, make_record)
    curves = studied(tmp_path)
    assert list(curves) == list(TRENDS[:2])
    np.testing.assert_allclose(curves[TRENDS[0]][1], [(600, 0.11), (1200, 0.21), (1800, 0.31)])
    drawn = draw_figures(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in drawn] == figure_files(tmp_path)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)
    text = trends_text(tmp_path)
    assert f"({TRENDS[0].file})" in text and "Not run: VFlow" in text
    next(iter((tmp_path / RECORDS / "macow").glob(f"{trend_name('org')}*seed1*"))).unlink()
    assert list(studied(tmp_path)) == [TRENDS[1]]


def test_arms_of_a_trend_must_be_evaluated_at_the_same_steps(make_record):
    trend = TRENDS[0]
    records = {
        (trend.paper, trend_name(arm), seed): make_record(curve=((step, 5.0),))
        for arm, step in ((trend.lower, 600), (trend.higher, 500))
        for seed in TREND_SEEDS
    }
    with pytest.raises(ValueError, match="evaluated at different steps"):
        difference_curves(trend, records)
