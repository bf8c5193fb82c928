"""What every model of images says of itself."""

import numpy as np
import pytest
import tensorflow as tf

from tfflows.distributions.agave import AGAVE
from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.distributions.iaf_vae import IAFVAE
from tfflows.distributions.image_model import ImageModel
from tfflows.distributions.pixelcnn_images import PixelCNNImages
from tfflows.math.random import row_keys, uniform_rows

SHAPE = [2, 3, 1]
KINDS = {
    DequantizedFlow: (False, False),
    PixelCNNImages: (False, False),
    IAFVAE: (True, False),
    AGAVE: (True, True),
}


class Noisy(ImageModel):
    """`elbo` is uniform noise, `sample` the temperature."""

    def __init__(self):
        super().__init__(SHAPE, "noisy")

    def elbo(self, images, keys, condition=None):
        images = self._checked(images)
        return uniform_rows(keys, tf.shape(images)[0], [])

    def sample(self, num_samples, keys, temperature=1.0, condition=None):
        return tf.fill([num_samples, *SHAPE], tf.cast(temperature, tf.uint8))


@pytest.mark.parametrize(("kind", "has"), KINDS.items())
def test_kinds_say_whether_they_have_an_encoder_and_terms(kind, has):
    assert issubclass(kind, ImageModel)
    assert (kind.has_encoder, kind.has_terms) == has
    assert (kind.reconstruct is not ImageModel.reconstruct) == kind.has_encoder
    assert hasattr(kind, "terms") == kind.has_terms
    assert kind.metric_names[0] == "bits_per_dim"


def test_what_a_model_lacks_is_said():
    model = Noisy()
    images = tf.zeros([2, *SHAPE], tf.uint8)
    with pytest.raises(TypeError, match="Noisy has no reconstruct"):
        model.reconstruct(images, row_keys(0))
    with pytest.raises(TypeError, match="Noisy has no training_loss"):
        model.training_loss(images, tf.zeros([2], tf.int32), row_keys(0))
    assert model.condition_of(tf.zeros([2], tf.int32)) is None


def test_shapes_and_samples():
    model = Noisy()
    assert model.image_shape == SHAPE and model.num_dimensions == 6
    (sample,) = model.sample_with_means(2, row_keys(0), 3.0)
    np.testing.assert_array_equal(sample, 3)


def test_the_importance_weighted_bound_is_the_mean_weight():
    model = Noisy()
    images = tf.zeros([4, *SHAPE], tf.uint8)
    bound = tf.function(lambda num_samples: model.importance_weighted_log_prob(images, row_keys(1), num_samples))
    one, many = bound(tf.constant(1)), bound(tf.constant(400))
    bounds, elbos = np.exp(many), one.numpy()
    # E exp(U) = e - 1 for U uniform; the deviation of the mean of 400 is 0.025.
    np.testing.assert_allclose(bounds, np.e - 1, atol=0.12)
    assert ((elbos >= 0) & (elbos < 1)).all() and one.dtype == tf.float64


@pytest.mark.parametrize(
    "images", [np.zeros([2, *SHAPE], np.float32), np.zeros([2, 3, 3, 1], np.uint8)], ids=["dtype", "shape"]
)
def test_other_images_are_refused(images):
    with pytest.raises(ValueError, match=r"uint8 images \(2, 3, 1\)"):
        Noisy().elbo(images, row_keys(0))
