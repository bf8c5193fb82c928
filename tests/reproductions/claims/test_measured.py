"""Claims on times and counts follow from their records."""

import dataclasses

import numpy as np
import pytest

from reproductions.claims.measured import (
    COUNTED,
    GROWTHS,
    RATIOS,
    exponent_of,
    judge_all,
    judge_counts,
    judge_growth,
    judge_ratio,
)
from reproductions.reporting.benchmarks import Benchmark, Measurement, Ratio
from reproductions.reporting.claims import NOT_RUN
from reproductions.reporting.rule import HELD, REVERSED, UNDECIDED

ROW = {"lower_quartile": 1e-9, "upper_quartile": 1e9, "count": 3}


def benchmark(topic, measurements=(), ratios=()):
    return {
        topic: Benchmark(
            topic=topic,
            title="A topic",
            notes=("A note.",),
            measurements=tuple(measurements) or (Measurement("a case", "other", "other", "s", 1.0, **ROW),),
            ratios=tuple(ratios),
            threads=2,
            load_average=(0.0, 0.0, 0.0),
            seconds=1.0,
            versions={},
            commit=None,
            command="bench",
            hardware={"cpu": "a", "cores": 2, "gpus": []},
            date="2026-01-02T00:00:00+00:00",
        )
    }


@pytest.mark.parametrize(
    ("exponent", "scatter", "verdict"),
    [(1.0, 0.002, HELD), (2.0, 0.002, REVERSED), (1.5, 0.002, UNDECIDED), (1.0, 0.9, UNDECIDED)],
)
def test_growth(exponent, scatter, verdict):
    noise = scatter * np.array([1, -1, 1])
    sides = (32, 64, 128)
    rows = [
        Measurement(
            f"paper, {side}x{side}x3, batch 8", "a batch", "sample", "s", float(side**exponent * np.exp(e)), **ROW
        )
        for side, e in zip(sides, noise, strict=True)
    ]
    # Smaller sides are overhead; other batches, subjects and variants grow otherwise. None of them counts.
    rows += [dataclasses.replace(rows[0], median=1.0, case=f"paper, {side}x{side}x3, batch 8") for side in (8, 16)]
    # Other batches, subjects and variants grow otherwise, and do not count.
    rows += [dataclasses.replace(row, median=1.0, case=row.case.replace("batch 8", "batch 64")) for row in rows[:3]]
    rows += [dataclasses.replace(row, median=1.0, subject="log_prob") for row in rows[:3]]
    rows += [dataclasses.replace(row, median=1.0, case=row.case.replace("paper", "release")) for row in rows[:3]]
    claim = judge_growth(GROWTHS[0], benchmark("macow_sampling", rows))
    assert claim.verdict == verdict
    np.testing.assert_allclose(claim.difference, np.polyfit(np.log(sides), exponent * np.log(sides) + noise, 1)[0])
    assert judge_growth(GROWTHS[0], benchmark("macow_sampling", rows[:2])).note == (
        "missing: sides of macow_sampling, got [32, 64]"
    )


def test_the_interval_of_the_exponent_covers_it():
    rng = np.random.default_rng(0)
    sides = np.array([8, 16, 32, 64, 128])
    covered = []
    for _ in range(300):
        times = sides**1.3 * np.exp(0.1 * rng.standard_normal(5))
        _, low, high = exponent_of(dict(zip(sides.tolist(), times.tolist(), strict=True)))
        covered.append(low < 1.3 < high)
    assert 0.91 < np.mean(covered) < 0.99


@pytest.mark.parametrize(
    ("quartiles", "verdict"), [((0.05, 0.09), HELD), ((0.09, 0.11), UNDECIDED), ((0.11, 0.2), REVERSED)]
)
def test_ratios(quartiles, verdict):
    item = RATIOS[0]
    low, high = quartiles
    row = Ratio("a case", item.quantity, item.numerator, item.denominator, np.mean(quartiles), low, high, 4)
    other = dataclasses.replace(row, numerator="other", median=0.15, lower_quartile=0.15, upper_quartile=0.15)
    claim = judge_ratio(item, benchmark(item.topic, ratios=[other, row]))
    assert (claim.verdict, claim.difference) == (verdict, np.mean(quartiles))
    assert judge_ratio(item, {}).note == "missing: benchmark flowpp_sampling"


def test_counts():
    (item,) = COUNTED
    claim = judge_counts(item)
    # As the specification counts them: +0.217% with affine coupling and +0.253% with additive.
    np.testing.assert_allclose(claim.seed_differences, [0.217, 0.253], atol=5e-4)
    np.testing.assert_allclose(claim.difference, 0.235, atol=5e-4)
    assert claim.verdict == HELD
    assert judge_counts(dataclasses.replace(item, percent="0.3")).verdict == REVERSED


def test_without_records_nothing_is_judged_but_counts(tmp_path):
    claims = judge_all(tmp_path, ["glow", "flowpp", "macow", "vflow"])
    assert {claim.verdict for claim in claims if claim.paper != "glow"} == {NOT_RUN}
    names = [(claim.paper, claim.name) for claim in claims]
    assert len(set(names)) == len(names) == len(GROWTHS) + len(RATIOS) + len(COUNTED)
    assert judge_all(tmp_path, ["agave"]) == []
