"""Plots: their numbers, and files that equal data leave equal."""

import numpy as np
import pytest
from PIL import Image

from reproductions.reporting.plots import mean_and_deviation, plot_arms, plot_curve


def test_mean_and_deviation_over_seeds():
    curves = [[(1, 8.0), (5, 4.0)], [(1, 6.0), (5, 5.0)]]
    steps, mean, deviation = mean_and_deviation(curves)
    np.testing.assert_array_equal(steps, [1, 5])
    np.testing.assert_allclose(mean, [7.0, 4.5])
    np.testing.assert_allclose(deviation, [np.sqrt(2), np.sqrt(0.5)])
    np.testing.assert_array_equal(mean_and_deviation(curves[:1])[2], [0, 0])


@pytest.mark.parametrize(
    ("curves", "message"),
    [
        ([], "no curve"),
        ([[]], "empty"),
        ([[(1, 8.0), (5, 4.0)], [(1, 8.0)]], r"same steps: got \[1, 2\] points up to steps \[1, 5\]"),
    ],
)
def test_curves_that_do_not_fit_together_are_refused(curves, message):
    with pytest.raises(ValueError, match=message):
        mean_and_deviation(curves)


def test_arms_are_drawn_in_panels_and_reproducibly(tmp_path):
    curve = [(step, 3 + 5 / (1 + step)) for step in range(0, 100, 5)]
    arms = {"a": [curve, [(step, value + 0.1) for step, value in curve]], "b": [curve]}
    first = plot_arms({"left": arms, "right": arms}, tmp_path / "figures" / "a.png", "Title")
    again = plot_arms({"left": arms, "right": arms}, tmp_path / "b.png", "Title")
    assert first.read_bytes() == again.read_bytes()
    one = plot_arms({"left": arms}, tmp_path / "one.png", "Title")
    assert Image.open(first).size[0] == 2 * Image.open(one).size[0]
    assert np.asarray(Image.open(first)).std() > 1  # something is drawn
    longer = plot_curve([*curve, (100, 2.5)], tmp_path / "c.png", "Curve")
    assert longer.read_bytes() != plot_curve(curve, tmp_path / "d.png", "Curve").read_bytes()


@pytest.mark.parametrize("num_points", [1, 2, 3])
def test_a_short_curve_is_drawn(tmp_path, num_points):
    path = plot_curve([(step, 4.0) for step in range(num_points)], tmp_path / "short.png")
    assert Image.open(path).format == "PNG"
