"""The VAE with inverse autoregressive flows: its ladder of latents, the bound, the objective, samples."""

import functools
import math

import numpy as np
import pytest
import tensorflow as tf

from tfflows.distributions.agave import AGAVE
from tfflows.distributions.discretized_logistic import DiscretizedLogistic
from tfflows.distributions.iaf_ladder import BottomUpBlock, IAFLadder, TopDownBlock
from tfflows.distributions.iaf_vae import IAFVAE, free_kl, total_kl
from tfflows.distributions.pixelcnn_images import PixelCNNImages
from tfflows.math.random import fold_in, normal_rows, row_keys
from tfflows.networks import FeatureStream, ImageHead, PixelCNN
from tfflows.tracing.memory import memory_scope

SHAPE = [4, 4, 3]


def images(count=3, seed=0):
    return tf.constant(np.random.default_rng(seed).integers(0, 256, [count, *SHAPE], np.uint8))


@functools.cache
def vae(head_scale=2, num_blocks=2, **options):
    ladder = IAFLadder(4, latent_channels=2, num_blocks=num_blocks, seed=1)
    model = IAFVAE(ladder, ImageHead(4, scale=head_scale), SHAPE, **options)
    model.initialize(images(8, seed=1), tf.zeros([8], tf.int32), row_keys(1))
    generator = np.random.default_rng(2)
    for variable in model.trainable_variables:
        variable.assign_add(0.1 * generator.standard_normal(variable.shape).astype(np.float32))
    return model


@pytest.fixture
def num_runs(monkeypatch):
    """How often Python runs the two kinds of blocks."""
    runs = {BottomUpBlock: 0, TopDownBlock: 0}
    for kind in runs:
        run = kind._run

        def counted(self, *args, _run=run, _kind=kind, **kwargs):
            runs[_kind] += 1
            return _run(self, *args, **kwargs)

        monkeypatch.setattr(kind, "_run", counted)
    return runs


def gradients(model, mode):
    with tf.GradientTape() as tape, memory_scope(mode):
        loss = tf.reduce_sum(model.training_loss(images(), tf.zeros([3], tf.int32), row_keys(3))[0])
    return [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, model.trainable_variables)]


def test_recomputation_runs_blocks_again_and_changes_no_gradient(num_runs):
    model = vae(num_blocks=4)
    num_runs.update(dict.fromkeys(num_runs, 0))
    expected = gradients(model, "plain")
    assert num_runs == {BottomUpBlock: 4, TopDownBlock: 4}
    for found, gradient in zip(gradients(model, "recompute"), expected, strict=True):
        np.testing.assert_allclose(found, gradient, rtol=1e-4, atol=1e-4 * (1e-3 + np.abs(gradient).max()))
    # Blocks of one kind are traced once for their values, and once more to be run again; the topmost one runs as it is.
    assert num_runs == {BottomUpBlock: 4 + 2 + 1, TopDownBlock: 4 + 2}


def test_the_bound_is_the_likelihood_less_the_kl():
    model, keys = vae(), row_keys(3)
    means, kl = model.posterior(images(), keys)
    assert [part.shape for part in kl] == [[3, 2, 2, 2]] * 2
    log_prob = model.log_prob_given(images(), means)
    np.testing.assert_allclose(total_kl(kl), np.sum(kl, axis=(0, 2, 3, 4)), rtol=1e-5)
    np.testing.assert_allclose(model.elbo(images(), keys), log_prob - total_kl(kl), rtol=1e-6)
    logistic = DiscretizedLogistic(256 * (means + 0.5), model.log_scale + math.log(256), 256, False)
    y = tf.cast(images(), tf.float32)
    np.testing.assert_allclose(log_prob, tf.reduce_sum(logistic.log_prob(y), axis=[1, 2, 3]), rtol=1e-6)


@pytest.mark.parametrize("free_bits", [0.0, 3.0])
def test_the_objective_has_the_kl_with_free_bits(free_bits):
    model, keys = vae(free_bits=free_bits), row_keys(3)
    loss, metrics = model.training_loss(images(), tf.zeros([3], tf.int32), keys)
    means, kl = model.posterior(images(), keys)
    log_prob = model.log_prob_given(images(), means)
    np.testing.assert_allclose(loss, free_kl(kl, free_bits) - log_prob, rtol=1e-5)
    np.testing.assert_allclose(metrics["kl"], total_kl(kl), rtol=1e-5)
    bits = (total_kl(kl) - log_prob) / (math.log(2) * 48)
    np.testing.assert_allclose(metrics["bits_per_dim"], bits, rtol=1e-5)


def test_the_latents_follow_the_noise_of_their_block():
    ladder, keys = vae().ladder, row_keys(5)
    noise = ladder.draw_noise(keys, 3, SHAPE)
    for place, part in enumerate(noise):
        np.testing.assert_array_equal(part, normal_rows(fold_in(keys, place), 3, [2, 2, 2]))
    x = tf.cast(images(), tf.float32) / 256 - 0.5
    first, _ = ladder(x, noise)
    other, _ = ladder(x, [noise[0], noise[1] + 1.0])
    assert np.abs(first - other).max() > 1e-3
    again, _ = ladder(x, ladder.draw_noise(keys, 3, SHAPE))
    np.testing.assert_array_equal(again, first)


def test_samples_decode_noise_of_the_prior():
    model, keys = vae(), row_keys(4)
    noise = model.ladder.draw_noise(fold_in(fold_in(keys, "prior"), "latents"), 2, SHAPE)
    for temperature in (1.0, 0.5):
        means = model.head(model.ladder.decode([temperature * part for part in noise]))
        np.testing.assert_allclose(model.prior_means(2, keys, temperature), means, rtol=1e-5, atol=1e-6)
        sample = model.sample(2, keys, temperature)
        assert sample.dtype == tf.uint8
        np.testing.assert_array_equal(sample, np.clip(np.floor(256 * (means + 0.5)), 0, 255))
    (reconstruction,) = model.reconstruct(images(), keys)
    means, _ = model.posterior(images(), keys)
    np.testing.assert_array_equal(reconstruction, np.clip(np.floor(256 * (means + 0.5)), 0, 255))


def test_smaller_auxiliary_images_are_enlarged():
    model = vae(head_scale=1, scale_per_colour=True)
    assert model.auxiliary_shape == [2, 2, 3] and model.num_dimensions == 12 and model.log_scale.shape == [3]
    sample = model.sample(2, row_keys(0)).numpy()
    assert sample.shape == (2, *SHAPE)
    np.testing.assert_array_equal(sample, np.repeat(np.repeat(sample[:, ::2, ::2], 2, axis=1), 2, axis=2))


def test_sides_that_cannot_be_halved_are_refused():
    with pytest.raises(ValueError, match="multiples of 4, got"):
        IAFLadder(4, latent_channels=2, depth=2, num_blocks=1).latent_shapes([6, 8, 3])


def test_layers_begin_with_numbers_of_their_own():
    ladder = IAFLadder(4, latent_channels=2, depth=2, num_blocks=2, seed=1)
    numbers = [np.ravel(v)[np.ravel(v) != 0] for v in ladder.trainable_variables]
    starts = [tuple(own[:4].tolist()) for own in numbers if own.size and np.ptp(own) > 0]
    assert len(starts) > 10 and len(set(starts)) == len(starts)
    other = IAFLadder(4, latent_channels=2, depth=2, num_blocks=2, seed=2)
    assert all(
        np.any(np.asarray(a) != np.asarray(b))
        for a, b in zip(ladder.trainable_variables, other.trainable_variables, strict=True)
        if np.ptp(np.ravel(a)) > 0
    )


def test_the_pixels_of_agave_are_drawn_given_what_the_vae_decodes():
    """The means of the prior or of the posterior, through the stream of features."""
    drawn = {}

    class Pixels(PixelCNNImages):
        def sample_given(self, features, num_samples, keys, temperature=1.0):
            drawn.update(features=features, num_samples=num_samples, keys=keys, temperature=temperature)
            return tf.zeros([num_samples, *SHAPE], tf.uint8)

    pixels = Pixels(PixelCNN(4, filters=10, num_blocks=0, feature_channels=4), num_components=1, image_shape=SHAPE)
    model, keys = AGAVE(vae(), pixels, FeatureStream(4, num_blocks=0)), row_keys(4)
    assert (model.weight, model.auxiliary, model.free_bits, model.pretrained) == (2.0, True, 0.0, False)
    for run, means, count in (
        (lambda: model.sample_with_means(2, keys, 0.5), vae().prior_means(2, keys, 0.5), 2),
        (lambda: model.reconstruct(images(), keys, 0.5), vae().posterior(images(), keys)[0], 3),
    ):
        decoded, sample = run()
        np.testing.assert_array_equal(decoded, vae().to_images(means))
        assert sample.shape == [count, *SHAPE] and (drawn["num_samples"], drawn["temperature"]) == (count, 0.5)
        for found, expected in zip(drawn["features"], model.features(means), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(model.sample(2, keys), model.sample_with_means(2, keys)[1])
