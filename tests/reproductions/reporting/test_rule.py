"""The rule of verdicts: its formulas, and how often it errs on simulated studies."""

import numpy as np
import pytest
from scipy import stats

from reproductions.reporting.rule import (
    Difference,
    equality_verdict,
    holm,
    paired_difference,
    residual_mean_square,
    verdicts,
)
from reproductions.reporting.verdicts import HELD, REVERSED, UNDECIDED

NUM_STUDIES = 2000
SPREAD = 0.01  # of an arm over seeds, in bits/dim


def study_of(values):
    """`[arms, seeds]` as `{arm: {seed: value}}`."""
    return {f"arm_{arm}": dict(enumerate(own)) for arm, own in enumerate(values.tolist())}


def simulated(num_seeds, spreads, means, rng, pairs=((1, 0), (2, 0), (3, 0), (4, 0), (5, 0))):
    """Claims that the first arm of each pair is lower than the second one; by default all share a baseline."""
    noise = rng.standard_normal([len(spreads), num_seeds]) * np.reshape(spreads, [-1, 1])
    values = noise + np.reshape(means, [-1, 1]) + 5 * SPREAD * rng.standard_normal([1, num_seeds])
    study = study_of(values)
    return [paired_difference(dict(enumerate((values[b] - values[a]).tolist())), study) for a, b in pairs]


# ------------------------------------------------------------------------------------------------------------------ formulas


def test_the_residual_is_that_of_a_two_way_layout():
    values = np.random.default_rng(0).standard_normal([5, 3])
    found, degrees = residual_mean_square(study_of(values + np.arange(5)[:, None] + np.arange(3)))
    whole = ((values - values.mean()) ** 2).sum()
    rows, columns = 3 * ((values.mean(1) - values.mean()) ** 2).sum(), 5 * ((values.mean(0) - values.mean()) ** 2).sum()
    assert degrees == 8
    np.testing.assert_allclose(found, (whole - rows - columns) / 8)


def test_the_larger_of_two_variances_counts_and_that_of_the_images_is_added():
    rng = np.random.default_rng(1)
    values = 0.01 * rng.standard_normal([4, 3])
    study = study_of(values)
    residual, degrees = residual_mean_square(study)
    for differences in ([0.05, 0.05, 0.05], [0.0, 0.1, 0.2]):
        found = paired_difference(dict(enumerate(differences)), study, image_error=0.003)
        variance = max(np.var(differences, ddof=1), 2 * residual)
        np.testing.assert_allclose(found.standard_error**2, variance / 3 + 0.003**2)
        t = np.mean(differences) / found.standard_error
        np.testing.assert_allclose(found.p_value, 2 * stats.t.sf(abs(t), degrees))
        np.testing.assert_allclose(found.interval(), stats.t.interval(0.95, degrees, found.value, found.standard_error))


def test_two_arms_alone_are_judged_by_the_paired_t_test():
    values = np.random.default_rng(2).standard_normal([2, 4])
    found = paired_difference(dict(enumerate((values[0] - values[1]).tolist())), study_of(values))
    np.testing.assert_allclose(found.p_value, stats.ttest_rel(*values).pvalue)


def test_holms_method():
    p_values = np.random.default_rng(3).uniform(size=7) ** 4
    order = np.argsort(p_values)
    expected = np.minimum(1, np.maximum.accumulate((7 - np.arange(7)) * p_values[order]))
    np.testing.assert_allclose(np.array(holm(p_values))[order], expected)
    assert holm([]) == []


def test_a_verdict_needs_certainty_and_size():
    sure = [Difference(value, 1e-4, 20, {}) for value in (0.02, -0.02, 0.009, -0.009)]
    assert verdicts(sure) == [HELD, REVERSED, UNDECIDED, UNDECIDED]
    assert verdicts(sure, smallest=[0.03, 0.01, 0.001, 0.001]) == [UNDECIDED, REVERSED, HELD, REVERSED]
    # Sure alone, but not among twenty others.
    borderline = Difference(0.1, 0.1 / 2.5, 20, {})
    assert verdicts([borderline]) == [HELD]
    assert verdicts([borderline] + [Difference(0.0, 1.0, 20, {})] * 19)[0] == UNDECIDED


def test_no_spread_at_all():
    same = {"a": {0: 1.0, 1: 1.0}, "b": {0: 2.0, 1: 2.0}}
    assert paired_difference({0: 1.0, 1: 1.0}, same).p_value == 0.0
    assert paired_difference({0: 0.0, 1: 0.0}, same).p_value == 1.0


@pytest.mark.parametrize(
    ("study", "differences"),
    [
        ({"a": {0: 1.0, 1: 2.0}}, {0: 1.0, 1: 1.0}),
        ({"a": {0: 1.0}, "b": {0: 2.0}}, {0: 1.0, 1: 1.0}),
        ({"a": {0: 1.0, 1: 2.0}, "b": {0: 1.0, 2: 2.0}}, {0: 1.0, 1: 1.0}),
        ({"a": {0: 1.0, 1: 2.0}, "b": {0: 1.0, 1: 2.0}}, {0: 1.0}),
        ({"a": {0: 1.0, 1: 2.0}, "b": {0: 1.0, 1: 2.0}}, {0: 1.0, 1: np.nan}),
    ],
)
def test_what_cannot_be_judged_is_refused(study, differences):
    with pytest.raises(ValueError, match=r"study needs|difference needs"):
        paired_difference(differences, study)


# --------------------------------------------------------------------------------------------------------------- simulations


@pytest.mark.parametrize("num_seeds", [2, 3, 4])
@pytest.mark.parametrize("spreads", [[1] * 6, [1, 4, 1, 4, 1, 4]], ids=["equal", "4:1"])
@pytest.mark.parametrize("shared", [True, False], ids=["shared baseline", "pairs"])
def test_false_verdicts_are_rare(num_seeds, spreads, shared, record_property):
    """No arm differs from another: at most 5% of the claims, and of the families after Holm's adjustment, get a verdict."""
    rate, worst, family = false_verdicts(num_seeds, spreads, **({} if shared else {"pairs": ((0, 1), (2, 3), (4, 5))}))
    record_property("worst claim", worst)
    margin = 3 * np.sqrt(0.05 * 0.95 / NUM_STUDIES)  # of the simulation
    assert rate <= 0.05 + margin and family <= 0.05 + margin


@pytest.mark.parametrize("num_seeds", [2, 3, 4])
def test_the_limit_of_the_rule(num_seeds):
    """A baseline that all claims share and that alone varies four times as much as the rest."""
    rate, _, family = false_verdicts(num_seeds, [4, 1, 1, 1, 1, 1])
    assert 0.08 < rate < 0.2 and family < 0.2


def false_verdicts(num_seeds, spreads, **options):
    """Rates of false verdicts: of all claims, of the worst one (both unadjusted), and of families after the adjustment."""
    rng = np.random.default_rng(num_seeds)
    studies = [
        simulated(num_seeds, SPREAD * np.array(spreads), np.zeros(6), rng, **options) for _ in range(NUM_STUDIES)
    ]
    p_values = np.array([[found.p_value for found in study] for study in studies])
    false = p_values < 0.05
    family = np.mean([min(holm(own)) < 0.05 for own in p_values])
    print(f"rate {false.mean():.3f}, worst claim {false.mean(axis=0).max():.3f}, family {family:.3f}")
    return false.mean(), float(false.mean(axis=0).max()), family


@pytest.mark.parametrize(("num_seeds", "least"), [(2, 0.5), (3, 0.9), (4, 0.95)])
def test_what_differs_is_found(num_seeds, least):
    """Five claims of a study in which each arm is lower by five standard deviations over seeds."""
    rng = np.random.default_rng(10 + num_seeds)
    means = [0.0] + [-5 * SPREAD] * 5
    found = [verdicts(simulated(num_seeds, [SPREAD] * 6, means, rng)) for _ in range(300)]
    power = np.mean(np.array(found) == HELD)
    print(f"power {power:.3f}")
    assert power >= least and not np.any(np.array(found) == REVERSED)


@pytest.mark.parametrize("num_seeds", [2, 3, 4])
def test_arms_at_the_margin_are_rarely_called_equal(num_seeds):
    rng = np.random.default_rng(20 + num_seeds)
    for spread, most in ((0.005, 0.065), (0.02, 0.065)):
        means = [0.0] + [0.02] * 5
        found = [
            [equality_verdict(each) for each in simulated(num_seeds, [spread] * 6, means, rng)] for _ in range(400)
        ]
        assert np.mean(np.array(found) == HELD) <= most


def test_equal_arms_are_called_equal_where_seeds_agree():
    rng = np.random.default_rng(30)
    rates = []
    for spread in (0.005, 0.02):
        found = [[equality_verdict(each) for each in simulated(3, [spread] * 6, [0.0] * 6, rng)] for _ in range(300)]
        rates.append(np.mean(np.array(found) == HELD))
    assert rates[0] > 0.9 and rates[1] < 0.2
