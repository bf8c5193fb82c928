"""The rule of verdicts: its formulas, and how often it errs on simulated studies."""

import numpy as np
import pytest
from scipy import stats

from reproductions.reporting.rule import (
    HELD,
    REVERSED,
    SMALLEST_BITS_PER_DIM,
    UNDECIDED,
    Difference,
    equality_verdict,
    holm,
    image_error,
    joint_difference,
    paired_difference,
    residual_mean_square,
    verdict_of,
)
from tests.slow import slow_but

# The study has three seeds; simulations take seconds each.
EACH_NUMBER = pytest.mark.parametrize("num_seeds", slow_but([3], [2, 3, 4]))
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


def verdicts(differences, smallest=SMALLEST_BITS_PER_DIM):
    """Of claims that are one family."""
    limits = np.broadcast_to(smallest, [len(differences)])
    adjusted = holm([difference.p_value for difference in differences])
    return [verdict_of(*each) for each in zip(differences, adjusted, limits, strict=True)]


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


def test_all_stages_count_jointly():
    """The mean is that over the stages; the p-value is the largest of theirs, which is not that of the least difference."""
    rng = np.random.default_rng(4)
    values = 0.01 * rng.standard_normal([4, 3, 2])
    values[1] -= [0.3, 0.1]
    values[:, :, 0] += 0.1 * rng.standard_normal([4, 3])  # the larger difference is the less certain one
    study = {arm: {seed: own.tolist() for seed, own in enumerate(runs)} for arm, runs in enumerate(values)}
    differences = {seed: (values[0, seed] - values[1, seed]).tolist() for seed in range(3)}
    found = joint_difference(differences, study)
    alone = [
        paired_difference(
            {seed: own[stage] for seed, own in differences.items()},
            {arm: {seed: own[stage] for seed, own in runs.items()} for arm, runs in study.items()},
        )
        for stage in (0, 1)
    ]
    np.testing.assert_allclose(found.value, np.mean([each.value for each in alone]))
    assert found.p_value == alone[0].p_value > alone[1].p_value
    assert alone[0].value > alone[1].value
    with pytest.raises(ValueError, match=r"same stages of training, got \[1, 2\]"):
        joint_difference(differences, study | {0: {seed: [5.0] for seed in range(3)}})


@pytest.mark.parametrize("reverse", [False, True])
def test_stages_that_disagree_decide_nothing(reverse):
    sign = -1 if reverse else 1
    study = {"a": {0: [5.0, 5.0], 1: [5.0, 5.0]}, "b": {0: [4.0, 5.1], 1: [4.0, 5.1]}}
    for second, expected in ((-0.1, UNDECIDED), (0.1, REVERSED if reverse else HELD)):
        found = joint_difference({seed: [sign * 1.0, sign * second] for seed in (0, 1)}, study)
        assert verdict_of(found, found.p_value, 0.01) == expected


def test_the_error_of_images_does_not_average_out_over_seeds():
    rng = np.random.default_rng(5)
    images = rng.normal(4.0, 1.0, 400)
    of_image = 0.1 * rng.standard_normal(400)  # what an image adds to the difference, with each seed
    lower = {seed: (images,) for seed in range(3)}
    higher = {seed: (images + 0.02 + of_image,) for seed in range(3)}
    expected = of_image.std(ddof=1) / 20
    np.testing.assert_allclose(image_error(lower, higher), expected)
    # What the images have in common in both arms is taken out by the pairing.
    assert images.std() / 20 > 5 * expected
    # Two sets of images that were drawn by themselves: the errors add in squares.
    twice = [{seed: (own, own) for seed, (own,) in arm.items()} for arm in (lower, higher)]
    np.testing.assert_allclose(image_error(*twice), np.sqrt(2) * expected)


@pytest.mark.parametrize(
    ("lower", "higher", "message"),
    [
        ({}, {}, "at least one"),
        ({0: [[1.0, 2.0]]}, {1: [[1.0, 2.0]]}, r"same seeds.*\[0\] and \[1\]"),
        ({0: [[1.0, 2.0]]}, {0: [[1.0, 2.0, 3.0]]}, r"Seed 0.*\(2,\) and \(3,\)"),
        ({0: [[1.0]]}, {0: [[1.0]]}, "two or more images"),
        ({4: [[1.0, np.nan]]}, {4: [[1.0, 2.0]]}, "Seed 4: a value is not finite"),
        ({0: [[1.0, 2.0]], 1: [[1.0] * 3]}, {0: [[1.0, 2.0]], 1: [[1.0] * 3]}, "same images"),
    ],
)
def test_images_that_are_not_paired_are_refused(lower, higher, message):
    with pytest.raises(ValueError, match=message):
        image_error(lower, higher)


# --------------------------------------------------------------------------------------------------------------- simulations


@EACH_NUMBER
@pytest.mark.parametrize("spreads", [[1] * 6, [1, 4, 1, 4, 1, 4]], ids=["equal", "4:1"])
@pytest.mark.parametrize("shared", [True, False], ids=["shared baseline", "pairs"])
def test_false_verdicts_are_rare(num_seeds, spreads, shared, record_property):
    """No arm differs from another: at most 5% of the claims, and of the families after Holm's adjustment, get a verdict."""
    rate, worst, family = false_verdicts(num_seeds, spreads, **({} if shared else {"pairs": ((0, 1), (2, 3), (4, 5))}))
    record_property("worst claim", worst)
    margin = 3 * np.sqrt(0.05 * 0.95 / NUM_STUDIES)  # of the simulation
    assert rate <= 0.05 + margin and family <= 0.05 + margin


@EACH_NUMBER
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


@EACH_NUMBER
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
