"""Curves from the lines of a metrics file."""

import pytest

from reproductions.reporting.records import evaluation_curve, training_curve

LINES = [
    {"step": 2, "bits_per_dim": 8.0},
    {"step": 4, "bits_per_dim": 6.0},
    {"step": 4, "test_bits_per_dim": 6.5},
    {"step": 6, "bits_per_dim": 5.0},
    {"step": 8, "bits_per_dim": 4.0},
    {"step": 8, "test_bits_per_dim": 4.5},
    {"step": 9, "bits_per_dim": 1.0},
]


def test_evaluations():
    assert evaluation_curve(LINES) == [(4, 6.5), (8, 4.5)]
    assert evaluation_curve([]) == []


@pytest.mark.parametrize(
    ("steps", "points"),
    [
        ([4, 8, 9], [(4, 7.0), (8, 4.5), (9, 1.0)]),
        ([9], [(9, (2 * (8 + 6 + 5 + 4) + 1) / 9)]),
        ([6], [(6, 19 / 3)]),  # what comes after is left out
        ([3, 5, 8], [(3, 8.0), (5, 6.0), (8, 4.5)]),  # a line is counted where it ends
        ([1, 2, 3], [(2, 8.0)]),
        ([], []),
    ],
)
def test_training_is_the_mean_since_the_step_before(steps, points):
    assert training_curve(LINES, steps) == points
