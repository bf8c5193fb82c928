"""The importance-weighted bound of a split: known weights, any cut, interruptions."""

import numpy as np
import pytest
import tensorflow as tf

from tests.evaluation.tiny_models import random_images, random_source, tiny_model
from tests.slow import slow_but
from tfflows.devices.strategies import make_strategy
from tfflows.evaluation.importance import ImportanceEvaluator
from tfflows.math.random import fold_in, normal_rows, row_keys

COUNT = 11


class NoisyLevels:
    """Its bound is minus the first pixel plus normal noise of an image and a sample."""

    num_dimensions = 1 / np.log(2.0)  # a nat is a bit a dimension

    def __init__(self):
        self.calls = []

    def condition_of(self, labels):
        return None

    def elbo(self, images, keys, condition):
        self.calls.append(images.shape)
        levels = tf.cast(images[:, 0, 0, 0], tf.float32)
        return normal_rows(fold_in(keys, "noise"), tf.shape(images)[0], [1])[:, 0] - levels


def strategy_of(replicas):
    return make_strategy("one_device") if replicas == 1 else make_strategy("mirrored", replicas)


def evaluator(model, num_samples=10, replicas=1, batch_size=4, count=COUNT, **kwargs):
    return ImportanceEvaluator(
        strategy_of(replicas), model, random_source(count), num_samples=num_samples, batch_size=batch_size, **kwargs
    )


def noise(num_samples, seed=0):
    """The normal numbers that `NoisyLevels` adds, `[S, N]`."""
    keys = fold_in(row_keys(seed), "importance")
    rows = [normal_rows(fold_in(fold_in(keys, sample), "noise"), COUNT, [1])[:, 0] for sample in range(num_samples)]
    return np.stack(rows).astype(np.float64)


SIZES = [(4, 16), (11, 3), (100, 10), (3, 1)]


@pytest.mark.parametrize(
    ("batch_size", "samples_per_call", "replicas"),
    slow_but(
        [*((*sizes, 1) for sizes in SIZES), (3, 1, 3)],
        [(*sizes, replicas) for sizes in SIZES for replicas in (1, 2, 3)],
        rows=True,
    ),
)
def test_the_bound_is_that_of_the_weights(batch_size, samples_per_call, replicas):
    result = evaluator(
        NoisyLevels(), replicas=replicas, batch_size=batch_size, samples_per_call=samples_per_call
    ).evaluate()
    levels, added = random_source(COUNT).images[:, 0, 0, 0].astype(np.float64), noise(10)
    weights = np.exp(added)
    np.testing.assert_allclose(result.per_image, levels - np.log(weights.mean(0)), atol=1e-4)
    np.testing.assert_allclose(result.elbo.per_image, levels - added.mean(0), atol=1e-4)
    np.testing.assert_allclose(result.effective_samples, weights.sum(0) ** 2 / (weights**2).sum(0), rtol=1e-3)
    variances = weights.var(0, ddof=1) / weights.mean(0) ** 2 / 10
    np.testing.assert_allclose(result.noise_variances, variances, rtol=2e-3)
    np.testing.assert_allclose(result.noise_standard_error, np.sqrt(variances.sum()) / COUNT, rtol=1e-3)
    np.testing.assert_allclose(result.standard_error, result.per_image.std(ddof=1) / np.sqrt(COUNT))


def test_the_seed_is_that_of_the_noise():
    results = [evaluator(NoisyLevels(), seed=seed).evaluate() for seed in (0, 0, 1)]
    np.testing.assert_array_equal(results[0].per_image, results[1].per_image)
    assert np.abs(results[0].per_image - results[2].per_image).min() > 0


@pytest.mark.parametrize("how", [{}, {"jit_compile": True}, {"num_side_by_side": 3}])
def test_a_model_gives_its_own_bound(how):
    model = tiny_model()
    keys = fold_in(row_keys(0), "importance")
    expected = model.importance_weighted_log_prob(random_images(4), keys, 3)
    result = evaluator(model, num_samples=3, count=4, **how).evaluate()
    np.testing.assert_allclose(result.per_image, -expected / np.log(2.0) / 64, rtol=1e-5)
    assert expected.dtype == tf.float64 and np.all(result.per_image <= result.elbo.per_image)


@pytest.mark.parametrize(("batch_size", "replicas"), [(4, 1), (3, 1), (6, 2)])
def test_an_interrupted_measurement_goes_on_from_its_file(tmp_path, batch_size, replicas):
    """Wherever it stops, and if it goes on in other batches on other devices, each draw counts once."""
    path, description = tmp_path / "sums.npz", {"step": 7}
    whole = evaluator(NoisyLevels()).evaluate()
    for calls in (1, 3, 2):  # stopped after so many calls of the device each time
        asked = iter(range(calls))
        stop = lambda asked=asked: next(asked, None) is None  # noqa: E731
        assert evaluator(NoisyLevels(), samples_per_call=3).evaluate(path, description, stop=stop) is None
    model = NoisyLevels()
    rest = evaluator(model, batch_size=batch_size, replicas=replicas, samples_per_call=3)
    result = rest.evaluate(path, description)
    np.testing.assert_allclose(result.per_image, whole.per_image, rtol=1e-12)
    np.testing.assert_allclose(result.noise_variances, whole.noise_variances, rtol=1e-9)
    again = NoisyLevels()
    finished = evaluator(again).evaluate(path, description)
    np.testing.assert_array_equal(finished.per_image, result.per_image)
    assert model.calls and not again.calls  # nothing is left to compute


@pytest.mark.parametrize("change", [{"num_samples": 9}, {"count": 10}])
def test_sums_of_another_measurement_are_left_alone(tmp_path, change):
    path = tmp_path / "sums.npz"
    evaluator(NoisyLevels()).evaluate(path, {"step": 7})
    before = path.read_bytes()
    with pytest.raises(ValueError, match="another measurement"):
        evaluator(NoisyLevels(), **change).evaluate(path, {"step": 7})
    with pytest.raises(ValueError, match="step"):
        evaluator(NoisyLevels()).evaluate(path, {"step": 8})
    assert path.read_bytes() == before


def test_only_the_chief_writes(tmp_path):
    evaluator(NoisyLevels()).evaluate(tmp_path / "sums.npz", chief=False)
    assert not list(tmp_path.iterdir())


def test_a_spoilt_model_is_named(tmp_path):
    class Spoilt(NoisyLevels):
        def elbo(self, images, keys, condition):
            return super().elbo(images, keys, condition) * float("nan")

    with pytest.raises(ValueError, match=r"image 0 with noise number 0 is nan.*earlier checkpoint"):
        evaluator(Spoilt()).evaluate(tmp_path / "sums.npz")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [{"num_samples": 0}, {"samples_per_call": 0}])
def test_numbers_must_be_positive(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be at least 1"):
        evaluator(NoisyLevels(), **wrong)
