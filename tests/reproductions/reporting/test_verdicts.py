"""Verdicts on a claim between two arms."""

import numpy as np
import pytest

from reproductions.reporting.verdicts import paired_verdict


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
