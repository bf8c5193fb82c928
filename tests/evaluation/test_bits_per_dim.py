"""Each test image counts exactly once, on any number of devices."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tests.evaluation.tiny_models import random_images, random_source, tiny_model
from tests.slow import slow_but
from tfflows.devices.strategies import make_strategy
from tfflows.distributions.dequantizers import bits_per_dim
from tfflows.evaluation.bits_per_dim import BitsPerDim, Evaluator
from tfflows.math.random import fold_in, row_keys

COUNT = 11


class Levels:
    """Stands for a model: an image's "bits" are its first pixel, and each evaluation of an image is written down."""

    num_dimensions = 1

    def condition_of(self, labels):
        return labels

    def elbo(self, images, keys, condition):
        del keys, condition
        return -np.log(2.0).astype(np.float32) * tf.cast(images[:, 0, 0, 0], tf.float32)


def replicated(replicas):
    return make_strategy("mirrored", replicas)


@pytest.mark.parametrize("replicas", slow_but([1, 3], [1, 2, 3, 8]))
@pytest.mark.parametrize("batch_size", [4, 11, 100])
def test_each_image_gets_its_own_value(replicas, batch_size):
    source = random_source(COUNT)
    result = Evaluator(replicated(replicas), Levels(), source, batch_size=batch_size).evaluate()
    np.testing.assert_allclose(result.per_image, source.images[:, 0, 0, 0], rtol=1e-6)
    assert result.per_image.dtype == np.float64


@functools.cache
def bits_of_tiny_model(replicas, batch_size, jit_compile=False):
    strategy = replicated(replicas)
    with strategy.scope():
        model = tiny_model.__wrapped__()
    return Evaluator(strategy, model, random_source(COUNT), batch_size=batch_size, jit_compile=jit_compile).evaluate()


@pytest.mark.parametrize(("replicas", "batch_size"), slow_but([(2, 4)], [(1, 4), (2, 4), (3, 5), (8, 3)], rows=True))
def test_a_model_gives_equal_values_however_the_split_is_cut(replicas, batch_size):
    result = bits_of_tiny_model(replicas, batch_size)
    assert np.all(np.isfinite(result.per_image))
    np.testing.assert_allclose(result.per_image, bits_of_tiny_model(1, COUNT).per_image, rtol=1e-5)


def test_parts_side_by_side_give_the_same():
    model, sizes = tiny_model.__wrapped__(), []

    def measure(images, labels, keys):
        del labels
        sizes.append(images.shape[0])
        return bits_per_dim(model.elbo(images, keys), model.num_dimensions)

    evaluator = Evaluator(replicated(1), model, random_source(COUNT), batch_size=4, num_side_by_side=3, measure=measure)
    np.testing.assert_allclose(evaluator.evaluate().per_image, bits_of_tiny_model(1, COUNT).per_image, rtol=1e-5)
    assert sizes == [2, 1, 1]


def test_a_model_gives_its_own_bound_on_each_image():
    model = tiny_model()
    keys = fold_in(row_keys(0), "evaluation")
    elbo = model.elbo(random_images(COUNT), keys).numpy()
    result = bits_of_tiny_model(1, COUNT)
    np.testing.assert_allclose(result.per_image, -elbo / np.log(2.0) / 64, rtol=1e-5)


def test_evaluations_are_repeatable_and_see_new_parameters():
    strategy = make_strategy("one_device")
    model = tiny_model.__wrapped__()
    evaluator = Evaluator(strategy, model, random_source(COUNT), batch_size=4)
    first = evaluator.evaluate().per_image
    np.testing.assert_array_equal(evaluator.evaluate().per_image, first)
    for variable in model.trainable_variables:
        variable.assign_add(tf.fill(variable.shape, 0.01))
    assert np.abs(evaluator.evaluate().per_image - first).min() > 0


def test_the_seed_is_that_of_the_noise():
    values = [
        Evaluator(
            make_strategy("one_device"), tiny_model(), random_source(COUNT), batch_size=COUNT, seed=seed
        ).evaluate()
        for seed in (0, 1)
    ]
    assert np.abs(values[0].per_image - values[1].per_image).min() > 0


@pytest.mark.parametrize(
    ("values", "mean", "error"),
    [([3.0, 5.0], 4.0, 1.0), ([1.0, 2.0, 3.0, 6.0], 3.0, np.sqrt(14 / 3 / 4)), ([2.5], 2.5, 0.0)],
)
def test_mean_and_standard_error(values, mean, error):
    result = BitsPerDim(np.array(values))
    np.testing.assert_allclose([result.mean, result.standard_error], [mean, error], rtol=1e-12)
    assert isinstance(result.mean, float) and isinstance(result.standard_error, float)


@pytest.mark.parametrize("num_bits", [8, 5, 1])
def test_a_uniform_density_has_as_many_bits_as_a_level(num_bits):
    """Through the whole pipeline: 256 levels are 8 bits, 32 are 5 (trap 7 of the design)."""
    import tensorflow_probability as tfp

    from tfflows.distributions.dequantized_flow import DequantizedFlow

    shape = [8, 8, 1]
    bounds = tf.fill(shape, -0.5), tf.fill(shape, 0.5)
    uniform = tfp.distributions.Independent(tfp.distributions.Uniform(*bounds), 3)
    flow = tfp.distributions.TransformedDistribution(uniform, tfp.bijectors.Identity())
    model = DequantizedFlow(flow, num_bits)
    result = Evaluator(replicated(2), model, random_source(COUNT), batch_size=4).evaluate()
    np.testing.assert_allclose(result.per_image, float(num_bits), rtol=1e-6)
    assert result.standard_error < 1e-6


@pytest.mark.parametrize("replicas", [1, 2])
def test_another_source_is_measured_by_what_was_traced(replicas):
    traced = []

    class Counting(Levels):
        def elbo(self, images, keys, condition):
            traced.append(images.shape)
            return super().elbo(images, keys, condition)

    first, second = random_source(COUNT), random_source(5)
    evaluator = Evaluator(replicated(replicas), Counting(), first, batch_size=4)
    results = [evaluator.evaluate(), evaluator.on(second).evaluate(), evaluator.evaluate()]
    assert len(traced) == replicas
    for result, source in zip(results, (first, second, first), strict=True):
        np.testing.assert_allclose(result.per_image, source.images[:, 0, 0, 0], rtol=1e-6)
