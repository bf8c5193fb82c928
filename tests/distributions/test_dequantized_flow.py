"""The bounds of a dequantized flow: known densities, keyed noise, importance weights, samples."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.bijectors import ActNorm, Bijector, Chain, GaussianPrior, Level, MultiScale, Squeeze
from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.distributions.dequantizers import bits_per_dim, to_images
from tfflows.math.random import row_keys
from tfflows.networks import TopPrior

tfb, tfd = tfp.bijectors, tfp.distributions
SHAPE = [4, 4, 3]


def random_images(num_images=6, seed=0):
    return tf.cast(tf.random.stateless_uniform([num_images, *SHAPE], [seed, 1], 0, 256, tf.int32), tf.uint8)


def normal_flow(bijector):
    latent_shape = bijector.inverse_event_shape(SHAPE)
    return tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), latent_shape), bijector)


class UniformOnTheCube(Bijector):
    """Standard normal values onto the cube: data to latent is `ndtri(v + 1/2)`."""

    def __init__(self):
        super().__init__(forward_min_event_ndims=3)

    def _forward_and_log_det(self, x):
        log_det = tfd.Normal(0.0, 1.0).log_prob(x)
        return 0.5 * tf.math.erf(x / math.sqrt(2.0)), tf.reduce_sum(log_det, [-3, -2, -1])

    def _inverse_and_log_det(self, y):
        x = tf.math.ndtri(y + 0.5)
        return x, -tf.reduce_sum(tfd.Normal(0.0, 1.0).log_prob(x), [-3, -2, -1])


@pytest.mark.parametrize("num_bits", [8, 5, 1])
def test_uniform_density_is_as_many_bits_as_there_are(num_bits):
    model = DequantizedFlow(normal_flow(UniformOnTheCube()), num_bits)
    bits = bits_per_dim(model.elbo(random_images(), row_keys(0)), model.num_dimensions)
    np.testing.assert_allclose(bits, num_bits, atol=1e-3)
    loss, metrics = model.training_loss(random_images(), tf.zeros([6], tf.int32), row_keys(0))
    np.testing.assert_allclose(loss, num_bits, atol=1e-3)
    np.testing.assert_array_equal(metrics["bits_per_dim"], loss)
    bound = model.importance_weighted_log_prob(random_images(), row_keys(0), 4)
    np.testing.assert_allclose(bits_per_dim(bound, model.num_dimensions), num_bits, atol=1e-3)


def gaussian_model(num_bits=3):
    """A narrow density within wide bins, so that the noise matters."""
    actnorm = ActNorm([3], log_scale_factor=1.0)
    actnorm.log_scale.assign([2.0, 2.5, 3.0])
    return DequantizedFlow(normal_flow(actnorm), num_bits)


def test_elbo_is_the_log_density_less_the_log_of_the_bins():
    model, images = gaussian_model(), random_images()
    v = model.dequantize(images, row_keys(1))
    expected = model.flow.log_prob(v) - 48 * 3 * math.log(2)
    np.testing.assert_allclose(model.elbo(images, row_keys(1)), expected, rtol=1e-6)
    assert model.num_dimensions == 48 and model.image_shape == SHAPE


def test_noise_stays_in_the_bin_and_follows_its_keys():
    model, images = gaussian_model(8), random_images()
    v = model.dequantize(images, row_keys(1, 2))
    np.testing.assert_array_equal(to_images(v, 8), images)
    noise = v - model.dequantize_with(images, 0.0)
    np.testing.assert_allclose(tf.reduce_mean(noise), 0.5 / 256, rtol=0.05)
    np.testing.assert_array_equal(v, model.dequantize(images, row_keys(1, 2)))
    for other in (row_keys(1, 3), row_keys(2, 2), row_keys(1, 2, start=1)):
        assert np.abs(v - model.dequantize(images, other)).max() > 1e-4


@pytest.mark.parametrize("jit", [False, True])
def test_noise_does_not_depend_on_how_a_batch_is_split(jit):
    model, images = gaussian_model(), random_images()
    elbo = tf.function(
        lambda x, start: model.elbo(x, row_keys(1, 2, start)), jit_compile=jit, reduce_retracing=True, autograph=False
    )
    whole = model.elbo(images, row_keys(1, 2))
    parts = [elbo(images[start : start + 2], tf.constant(start)) for start in (0, 2, 4)]
    np.testing.assert_allclose(tf.concat(parts, axis=0), whole, rtol=1e-5)


def test_elbo_is_a_function_of_its_keys():
    model, images = gaussian_model(), random_images()
    first = model.elbo(images, row_keys(4))
    np.testing.assert_array_equal(first, model.elbo(images, row_keys(4)))
    assert np.abs(first - model.elbo(images, row_keys(5))).min() > 1e-3


def true_log_prob(model, images):
    """Of the normal density in closed form: the mass of each bin."""
    v = tf.cast(model.dequantize_with(images, 0.0), tf.float64).numpy()
    scale = np.exp(-model.flow.bijector.log_scale.numpy().astype(np.float64))
    normal = tfd.Normal(np.zeros(3), scale)
    survival = [normal.log_survival_function(edge).numpy() for edge in (v, v + 2.0**-model.num_bits)]
    cdf = [normal.log_cdf(edge).numpy() for edge in (v, v + 2.0**-model.num_bits)]
    upper = survival[0] + np.log(-np.expm1(survival[1] - survival[0]))
    lower = cdf[1] + np.log(-np.expm1(cdf[0] - cdf[1]))
    return np.where(v > 0, upper, lower).sum(axis=(1, 2, 3))


def test_importance_weighting_tightens_the_bound():
    model, images = gaussian_model(num_bits=6), random_images(64)
    truth = true_log_prob(model, images).mean()
    elbos = [tf.reduce_mean(model.elbo(images, row_keys(seed))).numpy() for seed in range(8)]

    @tf.function(reduce_retracing=True, autograph=False)
    def bound(seed, samples):
        return tf.reduce_mean(model.importance_weighted_log_prob(images, row_keys(seed), samples))

    bounds = {samples: np.mean([bound(tf.constant(seed), samples) for seed in range(8)]) for samples in (1, 4, 64)}
    # One sample is the elbo itself, with other noise.
    np.testing.assert_allclose(bounds[1], np.mean(elbos), atol=5 * np.std(elbos) / math.sqrt(8))
    assert bounds[1] < bounds[4] < bounds[64] < truth
    assert bounds[64] - bounds[1] > 0.3 * (truth - bounds[1])


@pytest.mark.parametrize("samples", [1, 3])
def test_importance_weighted_bound_in_a_graph(samples):
    model, images = gaussian_model(), random_images()
    signature = [tf.TensorSpec([None, *SHAPE], tf.uint8)]
    bound = tf.function(
        lambda x: model.importance_weighted_log_prob(x, row_keys(1), samples), input_signature=signature
    )
    np.testing.assert_allclose(
        bound(images), model.importance_weighted_log_prob(images, row_keys(1), samples), rtol=1e-5
    )


def test_one_importance_sample_of_a_known_noise_is_the_elbo():
    # A flat density: whatever the noise, the bound is the same.
    model, images = DequantizedFlow(normal_flow(UniformOnTheCube())), random_images()
    np.testing.assert_allclose(
        model.importance_weighted_log_prob(images, row_keys(0), 1), model.elbo(images, row_keys(0)), rtol=1e-4
    )


def labelled_model(num_bits=8):
    network = TopPrior([2, 2, 12], num_classes=3)
    network.build()
    network.label_embedding.kernel.assign(tf.random.stateless_normal([3, 24], [0, 1]))
    prior = GaussianPrior(network, conditional=True, parameter_order="contiguous")
    return DequantizedFlow(normal_flow(MultiScale([Level(Chain([Squeeze()]), prior)], SHAPE)), num_bits)


def test_encode_then_decode_gives_the_images_back():
    images, labels = random_images(), tf.constant([0, 1, 2, 0, 1, 2])
    for model, condition in ((gaussian_model(8), None), (gaussian_model(5), None), (labelled_model(), labels)):
        latents = model.encode(images, row_keys(1), condition)
        decoded = model.decode(tf.identity(latents), condition)
        expected = images.numpy() // 2 ** (8 - model.num_bits) * 2 ** (8 - model.num_bits)
        assert decoded.dtype == tf.uint8
        # A value on a bin's edge may round to the next.
        assert (decoded.numpy() != expected).mean() < 0.01
    assert model.condition_of(labels) is labels and gaussian_model().condition_of(labels) is None


def test_encoded_noise_keeps_away_from_the_edges_of_its_bin():
    """There float32's rounding would carry some of the values into the next bin."""
    model = DequantizedFlow(normal_flow(tfb.Identity()), num_bits=8)
    images = random_images(400)
    noise = (model.encode(images, row_keys(3)).numpy() + 0.5) * 256 % 1
    assert 0.0035 < noise.min() < 0.006 and 0.994 < noise.max() < 0.9965
    dequantized = (model.dequantize(images, row_keys(3)).numpy() + 0.5) * 256 % 1
    inside = (dequantized > 0.005) & (dequantized < 0.995)
    np.testing.assert_array_equal(noise[inside], dequantized[inside])


def test_samples_and_their_temperature():
    model = gaussian_model(8)
    first = model.sample(5, row_keys(1))
    assert first.shape == [5, *SHAPE] and first.dtype == tf.uint8
    np.testing.assert_array_equal(first, model.sample(5, row_keys(1)))
    assert np.any(first != model.sample(5, row_keys(2)))
    np.testing.assert_array_equal(first[2:], model.sample(3, row_keys(1, start=2)))
    cold = model.sample(5, row_keys(1), temperature=0.0)
    np.testing.assert_array_equal(cold, model.sample(5, row_keys(2), temperature=0.0))
    np.testing.assert_array_equal(cold, to_images(tf.zeros([5, *SHAPE]), 8))
    spread = [np.std(model.sample(50, row_keys(1), temperature=t).numpy().astype(float)) for t in (0.25, 0.5, 1.0)]
    np.testing.assert_allclose(spread[2] / np.array(spread[:2]), [4.0, 2.0], rtol=0.1)
    # A label moves the mean.
    means = labelled_model().sample(3, row_keys(1), temperature=0.0, condition=tf.constant([0, 1, 2]))
    assert np.any(means[0] != means[1]) and np.any(means[1] != means[2])


def test_init_from_a_batch():
    model, images = gaussian_model(8), random_images()
    latent = model.initialize(images, tf.zeros([6], tf.int32), row_keys(0))
    np.testing.assert_allclose(np.mean(latent, (0, 1, 2)), 0.0, atol=1e-4)
    np.testing.assert_allclose(np.std(latent, (0, 1, 2)), 1.0, rtol=1e-4)
    foreign = DequantizedFlow(normal_flow(tfb.Scale(2.0)))
    assert foreign.initialize(images, tf.zeros([6], tf.int32), row_keys(0)).shape == [6, *SHAPE]


def test_images_of_another_shape_or_type_are_refused():
    model = gaussian_model()
    with pytest.raises(ValueError, match=r"images \(4, 4, 3\), got a batch of uint8 of shape \(2, 8, 8, 3\)"):
        model.elbo(tf.zeros([2, 8, 8, 3], tf.uint8), row_keys(0))
    with pytest.raises(ValueError, match=r"uint8 images.*got a batch of float32"):
        model.elbo(tf.zeros([2, *SHAPE]), row_keys(0))


@pytest.mark.parametrize(
    ("labels", "message"), [([7, 0], "0 to 2, got 7"), ([1, -1], "0 to 2, got -1"), ([1], "batch")]
)
def test_labels_that_do_not_fit_are_refused(labels, message):
    model, images = labelled_model(), random_images()[:2]
    labels = tf.constant(labels)
    calls = [
        lambda: model.sample(2, row_keys(1), condition=labels),
        lambda: model.elbo(images, row_keys(1), labels),
        lambda: model.training_loss(images, labels, row_keys(1)),
        lambda: model.initialize(images, labels, row_keys(1)),
        lambda: model.encode(images, row_keys(1), labels),
        lambda: model.decode(tf.zeros([2, model.num_dimensions]), labels),
        tf.function(lambda: model.elbo(images, row_keys(1), tf.constant(labels.numpy())), autograph=False),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=message):
            call()


def test_the_bound_of_a_label_out_of_range_is_nan_where_a_graph_does_not_know_it():
    model, images = labelled_model(), random_images()[:4]
    bound = tf.function(lambda labels: model.elbo(images, row_keys(1), labels))
    known = bound(tf.constant([0, 2, 1, 1]))
    np.testing.assert_allclose(known, model.elbo(images, row_keys(1), tf.constant([0, 2, 1, 1])), rtol=1e-5)
    wrong = bound(tf.constant([0, 3, -1, 1])).numpy()
    np.testing.assert_array_equal(np.isnan(wrong), [False, True, True, False])
    np.testing.assert_array_equal(wrong[[0, 3]], known.numpy()[[0, 3]])
