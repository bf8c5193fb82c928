"""Augmented flows: where they begin, what they bound, and that only the data counts."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.reproductions.steps import TrainingStep, assert_same_step, assert_same_steps_of_parts
from tfflows.bijectors import (
    ActNorm,
    AdditiveCoupling,
    AffineCoupling,
    Chain,
    InvertibleConv,
    Level,
    Logit,
    MultiScale,
    OnData,
    Squeeze,
)
from tfflows.distributions.augmented_flow import AugmentedFlow, augment
from tfflows.distributions.augmenters import FlowAugmenter, GaussianAugmenter, NormalAugmenter
from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.distributions.dequantizers import UniformDequantizer, VariationalDequantizer, bits_per_dim
from tfflows.math.random import row_keys
from tfflows.networks import ContextNetwork, CouplingNetwork, EluCouplingNetwork
from tfflows.tracing.variables import named_variables
from tfflows.training.checkpoints import Checkpoints
from tfflows.training.optimizers import Adam

tfb, tfd = tfp.bijectors, tfp.distributions
SHAPE = [4, 4, 2]
BATCH = 5


def normal_flow(bijector, shape):
    return tfd.TransformedDistribution(
        tfd.Sample(tfd.Normal(0.0, 1.0), bijector.inverse_event_shape(tf.TensorShape(shape))), bijector
    )


def images(num_images=BATCH, shape=SHAPE, seed=0):
    return tf.cast(tf.random.stateless_uniform([num_images, *shape], [seed, 1], 0, 256, tf.int32), tf.uint8)


def values(seed=0, shape=SHAPE):
    return tf.random.stateless_uniform([BATCH, *shape], [seed, 2], -0.5, 0.5)


def scatter(module, deviation=0.2):
    generator = np.random.default_rng(0)
    for variable in module.trainable_variables:
        variable.assign_add(deviation * generator.standard_normal(variable.shape).astype(np.float32))


def step(channels, seed=0):
    network = CouplingNetwork(4, channels, seed=seed)
    network.build([None, 4, 4, channels // 2])
    return Chain([ActNorm([channels]), InvertibleConv(channels, seed), AffineCoupling(network)])


def image_shaped_flow(shape=SHAPE):
    return normal_flow(Chain([step(shape[-1]), step(shape[-1], 1)]), shape)


def multiscale_flow(shape=SHAPE):
    channels = 4 * shape[-1]
    levels = [Level(Chain([Squeeze(), step(channels)])), Level(Chain([Squeeze(), step(2 * channels, 1)]))]
    return normal_flow(MultiScale(levels, shape), shape)


FLOWS = {"image_shaped": image_shaped_flow, "multiscale": multiscale_flow}


def gaussian_augmenter(num_channels, channels=SHAPE[-1]):
    network = CouplingNetwork(4, 2 * num_channels)
    network.build([None, 4, 4, channels])
    return GaussianAugmenter(network, num_channels)


def context_network(channels):
    network = ContextNetwork(4, 1)
    network.build([None, 4, 4, channels])
    return network


def conditional_coupling(channels, transformed, seed):
    network = EluCouplingNetwork(4, 2 * transformed, context_filters=4, seed=seed)
    network.build([None, 4, 4, channels - transformed])
    return AffineCoupling(network, parameter_order="contiguous", transformed_channels=transformed, conditional=True)


def flow_augmenter(num_channels):
    steps = [ActNorm([num_channels]), conditional_coupling(num_channels, 1, 0), InvertibleConv(num_channels, 1)]
    return FlowAugmenter(
        Chain([*steps, conditional_coupling(num_channels, 1, 2)]), context_network(2), num_channels, None
    )


AUGMENTERS = {"normal": NormalAugmenter, "gaussian": gaussian_augmenter, "flow": flow_augmenter}


# ------------------------------------------------------------------------------------------------------- where it begins


@pytest.mark.parametrize("augmenter", [None, gaussian_augmenter])
@pytest.mark.parametrize("name", FLOWS)
def test_begins_at_the_value_of_the_plain_flow(name, augmenter):
    """Theorem 1: for any parameters of the plain flow, and whatever z comes out."""
    plain = FLOWS[name]()
    scatter(plain)
    augmented = augment(plain, 3, None if augmenter is None else augmenter(3))
    x = values()
    for seed in range(2):
        np.testing.assert_allclose(augmented.elbo(x, row_keys(seed)), plain.log_prob(tf.identity(x)), rtol=1e-5)
    assert augmented.event_shape == plain.event_shape
    assert {id(variable) for variable in plain.trainable_variables} <= {
        id(variable) for variable in augmented.trainable_variables
    }


def test_joint_couplings_begin_as_the_identity_and_are_trained():
    plain = image_shaped_flow()
    scatter(plain)
    network = CouplingNetwork(8, 2, padding="zeros")
    network.build([None, 4, 4, 2])
    augmented = augment(plain, 2, joint=[AdditiveCoupling(network)])
    np.testing.assert_allclose(augmented.elbo(values(), row_keys(0)), plain.log_prob(values()), rtol=1e-5)
    with tf.GradientTape() as tape:
        loss = -tf.reduce_mean(augmented.elbo(values(), row_keys(0)))
    gradient = tape.gradient(loss, network.last.kernel.value)
    assert np.abs(gradient).max() > 0
    network.last.kernel.assign_sub(gradient)
    assert -tf.reduce_mean(augmented.elbo(values(), row_keys(0))) < loss


# ---------------------------------------------------------------------------------------------------------- what it bounds


class Posterior(keras.layers.Layer):
    """The exact Gaussian of z given x under `[x, z] = weight^-1` of a standard normal: `[B, 2] -> [B, 2 x 1]`."""

    def __init__(self, weight):
        super().__init__()
        inverse = np.linalg.inv(weight)
        covariance = inverse.T @ inverse
        self.covariance = covariance
        self.factor = covariance[2:, :2] @ np.linalg.inv(covariance[:2, :2])
        variance = covariance[2:, 2:] - self.factor @ covariance[:2, 2:]
        self.log_scale = 0.5 * math.log(variance[0, 0])
        self.built = True

    def call(self, x):
        mean = tf.matmul(x, tf.constant(self.factor.T, x.dtype))
        return tf.concat([mean, tf.fill(tf.shape(mean), tf.cast(self.log_scale, x.dtype))], axis=-1)


@pytest.fixture
def linear():
    """A flow over vectors `[x1, x2, z]`, its exact posterior as a network, and the exact density of x."""
    weight = np.array([[1.2, 0.3, -0.5], [0.1, 0.8, 0.6], [0.4, -0.2, 0.9]], np.float32)
    mixing = InvertibleConv(3, event_ndims=1)
    mixing.weight.assign(weight)
    posterior = Posterior(weight)
    marginal = tfd.MultivariateNormalFullCovariance(
        np.zeros(2, np.float32), posterior.covariance[:2, :2].astype(np.float32)
    )
    x = tf.random.stateless_normal([BATCH, 2], [0, 1])
    return normal_flow(mixing, [3]), posterior, marginal.log_prob(x), x


def test_with_the_posterior_the_bound_is_tight(linear):
    flow, posterior, exact, x = linear
    augmented = AugmentedFlow(flow, GaussianAugmenter(posterior, 1))
    for seed in range(3):
        np.testing.assert_allclose(augmented.elbo(x, row_keys(seed)), exact, rtol=1e-4, atol=1e-5)
    assert augmented.event_shape == [2]


def test_importance_weights_close_the_gap(linear):
    """With q = N(0, I) the gap is the divergence of q from the posterior."""
    flow, posterior, exact, x = linear
    augmented = AugmentedFlow(flow, NormalAugmenter(1))
    many = tf.tile(x, [400, 1])
    elbo = tf.reduce_mean(augmented.elbo(many, row_keys(1))).numpy()
    mean, log_scale = tf.split(posterior(x), 2, axis=-1)
    divergence = tfd.kl_divergence(tfd.Normal(0.0, 1.0), tfd.Normal(mean, tf.exp(log_scale)))
    gap = tf.reduce_mean(divergence).numpy()
    assert gap > 0.05
    np.testing.assert_allclose(elbo, tf.reduce_mean(exact) - gap, atol=0.03)

    @tf.function(reduce_retracing=True, autograph=False)
    def bound(num_samples):
        return tf.reduce_mean(augmented.importance_weighted_log_prob(many, row_keys(1), num_samples))

    bounds = [bound(tf.constant(number)).numpy() for number in (4, 256)]
    assert elbo < bounds[0] < bounds[1]
    np.testing.assert_allclose(bounds[1], tf.reduce_mean(exact), atol=0.01)


def test_preprocessing_is_of_the_data_alone():
    """Its log-determinant counts, q sees what it gives, and samples go back through it."""
    flow = image_shaped_flow([4, 4, 4])
    scatter(flow)
    logit = Logit()
    seen = []

    class Spy(NormalAugmenter):
        def sample_and_log_prob(self, x, keys, dropout_keys=None):
            seen.append(x)
            return super().sample_and_log_prob(x, keys, dropout_keys)

    augmented = AugmentedFlow(flow, Spy(2), logit)
    x, keys = values(), row_keys(0)
    elbo = augmented.elbo(x, keys)
    y, log_det = logit.inverse_and_log_det(x)
    np.testing.assert_array_equal(seen[0], y)
    z, log_prob = NormalAugmenter(2).sample_and_log_prob(y, keys)
    expected = flow.log_prob(tf.concat([y, z], axis=-1)) - log_prob + log_det
    np.testing.assert_allclose(elbo, expected, rtol=1e-5)
    latents = augmented.encode(x, keys)
    assert latents.shape == [BATCH, 4, 4, 4]
    np.testing.assert_allclose(augmented.decode(tf.identity(latents)), x, atol=1e-4)


# ------------------------------------------------------------------------------------------------------------------- q


@pytest.mark.parametrize("name", AUGMENTERS)
def test_density_of_z(name):
    augmenter = AUGMENTERS[name](3)
    scatter(augmenter)
    x = values()
    z, log_prob = augmenter.sample_and_log_prob(x, row_keys(1))
    assert z.shape == [BATCH, 4, 4, 3] and log_prob.shape == [BATCH]
    np.testing.assert_allclose(augmenter.log_prob(tf.identity(z), x), log_prob, rtol=1e-4, atol=1e-3)
    np.testing.assert_array_equal(z, augmenter.sample_and_log_prob(x, row_keys(1))[0])
    assert np.abs(z - augmenter.sample_and_log_prob(x, row_keys(2))[0]).min() > 0
    later, _ = augmenter.sample_and_log_prob(x[2:], row_keys(1, start=2))
    np.testing.assert_allclose(later, z[2:], rtol=1e-4, atol=1e-5)


def test_data_dependent_init_reaches_q_and_the_flow():
    augmenter = flow_augmenter(2)
    augmented = AugmentedFlow(image_shaped_flow([4, 4, 4]), augmenter)
    before = {name: variable.numpy() for name, variable in named_variables(augmented).items()}
    latent = augmented.initialize(values(), row_keys(0))
    assert latent.shape == [BATCH, 4, 4, 4]
    moved = {name for name, variable in named_variables(augmented).items() if np.any(variable.numpy() != before[name])}
    assert any(name.startswith("augmenter/context_network/") for name in moved)
    assert any(name.startswith("augmenter/bijector/") for name in moved)
    assert any(name.startswith("flow/bijector/") for name in moved)


# -------------------------------------------------------------------------------------------------------- discrete images


def variational_dequantizer():
    steps = [conditional_coupling(2, 1, 5), tfb.Invert(tfb.Sigmoid())]
    return VariationalDequantizer(Chain(steps), context_network(2), None)


@pytest.mark.parametrize("name", AUGMENTERS)
@pytest.mark.parametrize("make_dequantizer", [UniformDequantizer, variational_dequantizer])
def test_discrete_images_under_either_dequantizer(name, make_dequantizer):
    flow = AugmentedFlow(multiscale_flow([4, 4, 4]), AUGMENTERS[name](2))
    model = DequantizedFlow(flow, 8, make_dequantizer())
    model.initialize(images(32), tf.zeros([32], tf.int32), row_keys(0))
    assert model.image_shape == SHAPE and model.num_dimensions == 32
    loss, metrics = model.training_loss(images(), tf.zeros([BATCH], tf.int32), row_keys(1))
    elbo = model.elbo(images(), row_keys(1))
    np.testing.assert_allclose(loss, bits_per_dim(elbo, 32), rtol=1e-5)
    np.testing.assert_array_equal(loss, metrics["bits_per_dim"])
    decoded = model.decode(tf.identity(model.encode(images(), row_keys(1))))
    assert (decoded.numpy() != images().numpy()).mean() < 0.02
    samples = model.sample(3, row_keys(0))
    assert samples.shape == [3, *SHAPE] and samples.dtype == tf.uint8


def test_bits_per_dim_are_of_the_data_alone():
    """A density of 1 on the cube is 8 bits, however many channels stand beside it."""

    class Cube(tfb.Bijector):
        def __init__(self):
            super().__init__(forward_min_event_ndims=0, name="cube")

        def _inverse(self, y):
            return tf.math.ndtri(y + 0.5)

        def _forward(self, x):
            return 0.5 * tf.math.erf(x / math.sqrt(2.0))

        def _inverse_log_det_jacobian(self, y):
            return -tfd.Normal(0.0, 1.0).log_prob(self._inverse(y))

    model = DequantizedFlow(augment(normal_flow(Chain([Cube(), ActNorm([2])]), SHAPE), 5))
    bits = bits_per_dim(model.elbo(images(), row_keys(0)), model.num_dimensions)
    np.testing.assert_allclose(bits, 8.0, atol=1e-3)


# ----------------------------------------------------------------------------------------------------------------- errors


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="leaves none for the data beside the 4 of z"):
        AugmentedFlow(image_shaped_flow([4, 4, 4]), NormalAugmenter(4))
    network = CouplingNetwork(4, 3)
    network.build([None, 4, 4, 2])
    with pytest.raises(ValueError, match=r"gave \(5, 4, 4, 3\) .* must be \[5, 4, 4, 2\]"):
        GaussianAugmenter(network, 1).sample_and_log_prob(values(), row_keys(0))
    with pytest.raises(ValueError, match=r"built for events of shape .*, 5\), got shape"):
        OnData(ActNorm([2]), SHAPE, 3).inverse(values())


# --------------------------------------------------------------------------------------------------- steps of training


def small_model():
    """Flow and q of two couplings each, over images `[8, 8, 3]` and two channels."""

    def coupling(channels, side, conditional, seed):
        network = EluCouplingNetwork(4, channels, context_filters=4 if conditional else 0, seed=seed)
        network.build([None, side, side, channels - channels // 2])
        return AffineCoupling(
            network, parameter_order="contiguous", transformed_channels=channels // 2, conditional=conditional
        )

    def steps(channels, side, conditional=False):
        return [
            layer
            for seed in range(2)
            for layer in (coupling(channels, side, conditional, seed), InvertibleConv(channels, seed))
        ]

    context = context_network(3)
    augmenter = FlowAugmenter(Chain(steps(2, 8, conditional=True)), context, 2, pattern=None)
    flow = normal_flow(Chain([Squeeze(), *steps(20, 4)]), [8, 8, 5])
    return DequantizedFlow(AugmentedFlow(flow, augmenter), 8)


def Step(replicas=1, **settings):
    return TrainingStep(small_model, lambda rate: Adam(rate), replicas, scatter=0.05, **settings)


@pytest.mark.parametrize("memory", [pytest.param("recompute", marks=pytest.mark.slow), "reversible"])
@pytest.mark.slow
def test_memory_modes_give_the_same_step(memory):
    assert_same_step(Step(), Step(memory=memory), 1e-4, 1e-5)


@pytest.mark.slow
def test_two_replicas_take_the_step_of_one():
    assert_same_steps_of_parts(Step(), Step(replicas=2))


def test_checkpoints_hold_every_variable(tmp_path):
    model, other = small_model(), small_model()
    variables = named_variables(model)
    assert {id(variable) for variable in variables.values()} >= {id(v) for v in model.trainable_variables}
    scatter(model)
    Checkpoints(tmp_path, variables).save(3)
    assert Checkpoints(tmp_path, named_variables(other)).restore_latest() == 3
    np.testing.assert_array_equal(
        other.elbo(images(2, [8, 8, 3]), row_keys(0)), model.elbo(images(2, [8, 8, 3]), row_keys(0))
    )
