"""Sums of log-weights: against all weights at once, in any cut, at extremes; and their file."""

import numpy as np
import pytest

from tfflows.evaluation.log_weights import LogWeights, load_log_weights, save_log_weights

IMAGES, SAMPLES = 5, 12


def weights(scale=3.0, shift=0.0, seed=0):
    return shift + scale * np.random.default_rng(seed).standard_normal([SAMPLES, IMAGES])


def sums_of(log_weights, cuts=()):
    sums = LogWeights.empty(log_weights.shape[1])
    for part in np.split(log_weights, cuts):
        sums.add(np.arange(log_weights.shape[1]), part)
    return sums


@pytest.mark.parametrize("cuts", [(), (1,), (5, 6), tuple(range(1, SAMPLES))], ids=str)
@pytest.mark.parametrize("shift", [0.0, -9000.0, 9000.0])
def test_sums_are_those_of_all_weights_at_once(cuts, shift):
    log_weights = weights(shift=shift)
    sums = sums_of(log_weights, cuts)
    w = np.exp(log_weights - shift)
    np.testing.assert_array_equal(sums.counts, SAMPLES)
    np.testing.assert_allclose(sums.log_probs, shift + np.log(w.mean(0)), rtol=1e-13, atol=1e-11)
    np.testing.assert_allclose(sums.elbos, log_weights.mean(0), rtol=1e-12)
    np.testing.assert_allclose(sums.effective_samples, w.sum(0) ** 2 / (w**2).sum(0), rtol=1e-8)
    np.testing.assert_allclose(sums.variances, w.var(0, ddof=1) / w.mean(0) ** 2 / SAMPLES, rtol=1e-8)


def test_the_variance_is_that_of_the_estimate():
    """Over many estimates of many samples, where the delta method is exact in the limit."""
    log_weights = 0.3 * np.random.default_rng(1).standard_normal([400, 3000])
    sums = sums_of(log_weights)
    np.testing.assert_allclose(sums.variances.mean(), sums.log_probs.var(), rtol=0.08)
    np.testing.assert_allclose(sums.log_probs.mean(), 0.3**2 / 2, atol=2e-3)


def test_equal_weights_have_no_variance_and_one_sample_an_unknown_one():
    sums = sums_of(np.full([4, 2], -50.0))
    np.testing.assert_allclose(sums.effective_samples, 4.0, rtol=1e-12)
    np.testing.assert_allclose(sums.variances, 0.0, atol=1e-12)
    assert np.all(np.isinf(sums_of(np.zeros([1, 2])).variances))


def test_a_weight_of_zero_counts_as_a_sample():
    sums = sums_of(np.array([[0.0], [-np.inf]]))
    np.testing.assert_allclose(sums.log_probs, -np.log(2.0))
    np.testing.assert_allclose(sums.effective_samples, 1.0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_weight_is_refused_and_nothing_added(value):
    sums = sums_of(weights())
    before = sums.log_sums.copy()
    wrong = weights(seed=1)
    wrong[3, 2] = value
    with pytest.raises(ValueError, match=f"image 4 with noise number {SAMPLES + 3} is {value}"):
        sums.add(np.arange(2, 2 + IMAGES)[::-1] % IMAGES, wrong[:, [0, 1, 2, 3, 4]])
    np.testing.assert_array_equal(sums.log_sums, before)
    np.testing.assert_array_equal(sums.counts, SAMPLES)


def test_only_the_named_images_get_samples():
    sums = LogWeights.empty(3)
    sums.add([2, 0], [[1.0, 2.0]])
    np.testing.assert_array_equal(sums.counts, [1, 0, 1])
    np.testing.assert_array_equal(sums.log_sums, [2.0, -np.inf, 1.0])


DESCRIPTION = {"step": 3, "num_samples": SAMPLES}


def test_a_file_gives_back_what_it_was_given(tmp_path):
    path, sums = tmp_path / "sums.npz", sums_of(weights())
    save_log_weights(path, LogWeights.empty(IMAGES), DESCRIPTION)
    save_log_weights(path, sums, DESCRIPTION)
    loaded = load_log_weights(path, DESCRIPTION)
    for name in ("counts", "totals", "log_sums", "log_squares"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(sums, name))
    assert [file.name for file in tmp_path.iterdir()] == ["sums.npz"]
    loaded.add([0], [[0.0]])  # it can be written to


@pytest.mark.parametrize(("change", "message"), [({"step": 4}, r"step \(3 there, 4 now\)"), ({"seed": 1}, "seed")])
def test_a_file_of_another_measurement_is_refused(tmp_path, change, message):
    path = tmp_path / "sums.npz"
    save_log_weights(path, sums_of(weights()), DESCRIPTION)
    with pytest.raises(ValueError, match=f"another measurement: .*{message}.*Remove"):
        load_log_weights(path, {**DESCRIPTION, **change})


@pytest.mark.parametrize("kept", [0, 10, -20])
def test_a_damaged_file_is_refused(tmp_path, kept):
    path = tmp_path / "sums.npz"
    save_log_weights(path, sums_of(weights()), DESCRIPTION)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"does not hold sums of importance samples.*Remove"):
        load_log_weights(path, DESCRIPTION)
