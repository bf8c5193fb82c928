"""Copies of models and noises are independent or refused, and no network's variables are lost."""

import copy
import functools
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.bijectors.test_copies import has_layers
from tests.distributions.small_models import (
    MODELS,
    NOISES,
    WIDTH,
    Pixelwise,
    augmented_flow,
    dequantized_flow,
    images,
    labels,
    normal_flow,
    scattered,
    step,
    values,
)
from tfflows.bijectors import ActNorm, Chain, InvertibleConv, Logit
from tfflows.distributions.agave import AGAVE
from tfflows.distributions.augmented_flow import AugmentedFlow
from tfflows.distributions.augmenters import GaussianAugmenter, NormalAugmenter
from tfflows.distributions.conditional_noise import ConditionalNoise
from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.math.random import row_keys
from tfflows.tracing.variables import named_variables

tfb = tfp.bijectors
KEYS = row_keys(1)


def linear_flow(channels=3):
    """A flow without a Keras layer."""
    bijector = Chain([ActNorm([channels]), InvertibleConv(channels, seed=1), tfb.Invert(tfb.SinhArcsinh(0.1))])
    return normal_flow(bijector, [4, 4, channels])


def linear_augmented_flow():
    return AugmentedFlow(linear_flow(5), NormalAugmenter(2), Logit())


WITHOUT_LAYERS = {
    "linear": lambda: DequantizedFlow(linear_flow(), 5),
    "linear_augmented": linear_augmented_flow,
    "linear_dequantized_augmented": lambda: DequantizedFlow(linear_augmented_flow()),
}
ALL = {**MODELS, **NOISES, "augmented_flow": augmented_flow, "flow": lambda: normal_flow(step(3), [4, 4, 3])}
COPIES = {"deep": copy.deepcopy, "pickle": lambda module: pickle.loads(pickle.dumps(module))}
HOW = pytest.mark.parametrize("how", COPIES.values(), ids=COPIES)


@HOW
@pytest.mark.parametrize("name", ALL)
def test_what_holds_layers_is_refused_in_one_sentence(name, how):
    module = ALL[name]()
    if not has_layers(module):
        assert type(how(module)) is type(module) and not module.variables
        return
    with pytest.raises(TypeError, match=r"cannot copy .* Keras layer .* Build a second one"):
        how(module)


def bound(model, dtype="float32"):
    if isinstance(model, AugmentedFlow):
        return model.elbo(values(dtype=dtype), KEYS)
    return model.training_loss(images(), labels(), KEYS)[0]


@HOW
@pytest.mark.parametrize("name", WITHOUT_LAYERS)
def test_a_deep_copy_is_independent(name, how):
    model = scattered(WITHOUT_LAYERS[name]())
    expected = bound(model).numpy()
    made = how(model)
    assert not {id(variable) for variable in made.variables} & {id(variable) for variable in model.variables}
    assert list(named_variables(made)) == list(named_variables(model))
    with tf.GradientTape() as tape:
        of_copy = bound(made)
    np.testing.assert_array_equal(of_copy, expected)
    for variable, gradient in zip(
        made.trainable_variables, tape.gradient(of_copy, made.trainable_variables), strict=True
    ):
        variable.assign_sub(0.1 * gradient)
    assert np.abs(bound(made) - expected).max() > 1e-3
    np.testing.assert_array_equal(bound(model), expected)
    np.testing.assert_array_equal(made.sample(2, KEYS).shape, [2, 4, 4, 3])


@pytest.mark.parametrize("name", [*MODELS, "augmented_flow", "gaussian_augmenter"])
def test_a_shallow_copy_shares_the_variables(name):
    module = ALL[name]()
    assert [id(variable) for variable in copy.copy(module).variables] == [id(variable) for variable in module.variables]


# ------------------------------------------------------------------------------------------------------ lost variables


class Holder(tf.Module):
    """A module of a Keras layer, in a list."""

    def __init__(self, filters):
        super().__init__()
        self.layers = [Pixelwise(3, filters)]

    def __call__(self, *inputs):
        return self.layers[0](*inputs)

    def method(self, *inputs):
        return self(*inputs)


def gaussian(network):
    return GaussianAugmenter(network(4), 2)


def conditional(network):
    return ConditionalNoise(step(3, WIDTH), network(WIDTH), pattern=None)


TAKERS = {"gaussian": gaussian, "conditional": conditional}
HIDDEN = {
    "partial": lambda filters: functools.partial(Pixelwise(3, filters), condition=None),
    "method": lambda filters: Holder(filters).method,
    "lambda": lambda filters: (lambda layer: lambda *inputs: layer(*inputs))(Pixelwise(3, filters)),
}


@pytest.mark.parametrize("take", TAKERS.values(), ids=TAKERS)
@pytest.mark.parametrize("network", HIDDEN.values(), ids=HIDDEN)
def test_a_function_that_hides_variables_is_refused(take, network):
    with pytest.raises(ValueError, match=r"reads the variables of .* hand over the layer itself, or a tf\.Module"):
        take(network)


@pytest.mark.parametrize("take", TAKERS.values(), ids=TAKERS)
def test_layers_of_a_module_are_found(take):
    noise, of_layer = take(Holder), take(lambda filters: Pixelwise(3, filters))
    assert len(noise.trainable_variables) == len(of_layer.trainable_variables)
    with tf.GradientTape() as tape:
        drawn, log_prob = noise.sample_and_log_prob(values(), KEYS)
        total = tf.reduce_sum(drawn**2) + tf.reduce_sum(log_prob)
    assert all(gradient is not None for gradient in tape.gradient(total, noise.trainable_variables))


def test_a_stream_that_hides_variables_is_refused():
    made = MODELS["agave"]()
    with pytest.raises(ValueError, match="reads the variables of"):
        AGAVE(made.vae, made.pixels, lambda *inputs: made.stream(*inputs))


class Foreign(tf.Module):
    """A noise from elsewhere, that says nothing of its layer's variables."""

    num_channels = 2

    def __init__(self):
        super().__init__()
        self.layer = keras.layers.Dense(3)

    def sample_and_log_prob(self, x, keys, dropout_keys=None):
        return self.layer(x), tf.zeros(tf.shape(x)[:1])


class NoModule:
    """As `Foreign`, but nothing finds what it holds."""

    num_channels = 2

    def __init__(self):
        self.layer = Pixelwise(3, 3)


def test_variables_of_noises_from_elsewhere_are_found_or_refused():
    foreign = Foreign()
    with pytest.raises(ValueError, match="has no variables yet"):
        dequantized_flow(dequantizer=foreign)
    foreign.layer.build([None, 3])
    plain = dequantized_flow()
    model = dequantized_flow(dequantizer=foreign)
    assert len(model.trainable_variables) == len(plain.trainable_variables) + 2
    assert "dequantizer/layer/kernel" in named_variables(model)
    augmented = AugmentedFlow(normal_flow(step(5), [4, 4, 5]), foreign)
    assert len(augmented.trainable_variables) == len(plain.trainable_variables) + 2
    for make in (
        lambda: dequantized_flow(dequantizer=NoModule()),
        lambda: AugmentedFlow(normal_flow(step(5), [4, 4, 5]), NoModule()),
    ):
        with pytest.raises(ValueError, match=r"its class NoModule is no tf\.Module: make it one"):
            make()
