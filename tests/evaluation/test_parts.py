"""What is computed in parts side by side, as `process_options` sets a process up, is what is computed at once."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.data import array_source
from tfflows.devices import cores
from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.distributions.image_model import ImageModel
from tfflows.evaluation.bits_per_dim import Evaluator
from tfflows.evaluation.latents import LatentCodec
from tfflows.evaluation.samples import write_samples
from tfflows.math.random import uniform_rows
from tfflows.models import Model

COUNT = 17
IMAGES = np.random.default_rng(0).integers(0, 256, [COUNT, 2, 2, 1], np.uint8)


class Pixels(ImageModel):
    """Uniform pixels, without latents."""

    def __init__(self):
        super().__init__([2, 2, 1], name="pixels")
        self.counts = []

    def sample_with_means(self, num_samples, keys, temperature, condition):
        self.counts.append(num_samples)
        return (tf.cast(255 * uniform_rows(keys, num_samples, [2, 2, 1]), tf.uint8),)


class Watched(DequantizedFlow):
    """Notes the sizes of the batches that it is traced for."""

    sizes = ()

    def elbo(self, images, keys, condition=None):
        self.sizes = (*self.sizes, images.shape[0])
        return super().elbo(images, keys, condition)


def flow():
    base = tfp.distributions.Sample(tfp.distributions.Normal(0.0, 1.0), [2, 2, 1])
    return Watched(tfp.distributions.TransformedDistribution(base, tfp.bijectors.Identity()))


@pytest.fixture
def of_parts(monkeypatch):
    """Gives a function that computes what a function gives in a process that is set up for so many parts."""

    def compute(count, function):
        monkeypatch.setattr(cores, "parts_of_process", lambda: count)
        return function()

    return compute


def test_latents_and_samples(of_parts):
    def values():
        codec = LatentCodec(flow(), batch_size=14)
        latents = codec.encode(IMAGES, seed=1)
        return latents, codec.decode(latents), codec.sample(COUNT, 2)

    for found, expected in zip(of_parts(3, values), of_parts(1, values), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_samples_without_latents(of_parts, tmp_path):
    def written():
        model = Pixels()
        (path,) = write_samples(model, tmp_path, COUNT, [1.0], 0, "npy", batch_size=14)
        return np.load(path), model.counts

    whole, counts = of_parts(1, written)
    assert counts == [14]
    split, counts = of_parts(3, written)
    assert counts == [5, 5, 4]
    np.testing.assert_array_equal(split, whole)


def test_bits_per_dim(of_parts):
    def values(batch_size=14, **options):
        model = flow()
        evaluator = Evaluator(
            tf.distribute.get_strategy(), model, array_source(IMAGES), batch_size=batch_size, **options
        )
        return evaluator.evaluate().per_image, model.sizes

    whole, sizes = of_parts(1, values)
    assert sizes == (14,)
    split, sizes = of_parts(3, values)
    assert sizes == (5, 5, 4)
    np.testing.assert_allclose(split, whole, rtol=1e-6)
    assert of_parts(3, lambda: values(batch_size=3))[1] == (1, 1, 1)
    assert of_parts(3, lambda: values(batch_size=2))[1] == (2,)  # fewer images than parts
    assert of_parts(3, lambda: values(num_side_by_side=1))[1] == (14,)


def test_a_model_in_hand(of_parts):
    def values():
        model = Model(flow(), batch_size=14)
        latents = model.encode(IMAGES, seed=1)
        bounds = model.log_prob(IMAGES, seed=3), model.log_prob(IMAGES, seed=4, num_samples=2)
        return latents, model.decode(latents), model.sample(COUNT, seed=2), *bounds

    for found, expected in zip(of_parts(3, values), of_parts(1, values), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)
