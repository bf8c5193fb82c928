"""Claims on the checkerboard follow from the records of its study."""

import numpy as np

from reproductions.claims.toy import COMPARISONS, judge_all, judge_toy
from reproductions.reporting.claims import MEASURED, NOT_RUN
from reproductions.reporting.rule import HELD, REVERSED
from reproductions.vflow.toy.log_likelihoods import LogLikelihoodRecord


def toy_record(steps, dimensions, level, **changes):
    values = {
        "paper": "vflow",
        "dataset": "checkerboard",
        "model": "VFlow" if dimensions > 2 else "Glow",
        "steps": steps,
        "dimensions": dimensions,
        "iterations": 100,
        "batch_size": 64,
        "seeds": (0, 1, 2),
        "test_points": 10,
        "importance_samples": None,
        "log_likelihoods": tuple(level + 0.01 * np.sin(3 * steps + dimensions + np.arange(3))),
        "standard_errors": (0.01,) * 3,
        "elbos": (level,) * 3,
        "parameters": 7,
        "training_curve": ((100, level),),
        "seconds": 1.0,
        "hardware": {},
        "versions": {},
        "commit": None,
        "command": "run",
        "date": "2026-01-02T00:00:00+00:00",
    }
    return LogLikelihoodRecord(**values | changes)


def test_the_toy_is_judged_by_the_rule_over_its_seeds():
    levels = {(3, 10): -3.5, (3, 2): -3.7, (20, 2): -3.3, (2, 2): -3.9, (2, 3): -3.895}
    records = [toy_record(*cell, level) for cell, level in levels.items()]
    # Shorter runs are not the study, and variants are other models.
    records += [toy_record(3, 10, -9.0, iterations=10), toy_record(2, 3, -3.5, variant="gaussian_step")]
    claims = judge_toy(COMPARISONS, records)
    assert [claim.verdict for claim in claims] == [HELD, REVERSED, HELD, MEASURED]
    np.testing.assert_allclose([claim.difference for claim in claims], [0.2, -0.2, 0.4, 0.005], atol=0.02)
    assert {claim.degrees_of_freedom for claim in claims} == {5 * 2}
    assert all(claim.adjusted_p_value >= claim.p_value for claim in claims[:3])
    without = judge_toy(COMPARISONS, [record for record in records if record.steps != 20])
    assert [claim.verdict for claim in without][:2] == [HELD, NOT_RUN]
    assert without[1].note == "missing: 20 steps in 2 dimensions"


def test_without_records_nothing_is_judged(tmp_path):
    assert {claim.verdict for claim in judge_all(tmp_path, ["glow", "vflow"])} == {NOT_RUN}
    assert judge_all(tmp_path, ["glow"]) == []
