"""What is not a network, bijector or distribution is refused where it is given, by name."""

import keras
import pytest
import tensorflow_probability as tfp

from tfflows.bijectors import (
    AdditiveCoupling,
    AffineCoupling,
    Chain,
    GaussianPrior,
    InverseAutoregressive,
    Level,
    LogisticMixtureCoupling,
    MaskedConv,
    MultiScale,
    OnData,
    OnFirstChannels,
    OnHalves,
    Reverse,
    Squeeze,
)
from tfflows.distributions.augmented_flow import AugmentedFlow
from tfflows.distributions.augmenters import GaussianAugmenter, NormalAugmenter
from tfflows.distributions.conditional_noise import ConditionalNoise
from tfflows.distributions.dequantized_flow import DequantizedFlow

LAYERS = [keras.layers.Dense(2), keras.layers.Dense(4)]


@pytest.mark.parametrize(
    "make",
    [
        AdditiveCoupling,
        AffineCoupling,
        GaussianPrior,
        InverseAutoregressive,
        MaskedConv,
        lambda network: LogisticMixtureCoupling(network, num_components=2),
        lambda network: GaussianAugmenter(network, 1),
        lambda network: ConditionalNoise(Reverse(), network),
    ],
)
def test_networks(make):
    with pytest.raises(TypeError, match=r"A network must be a Keras layer or another callable, got \[.*, a list; "):
        make(LAYERS)


@pytest.mark.parametrize(
    ("make", "owner"),
    [
        (lambda bijectors: Chain([Reverse(), bijectors]), "Chain"),
        (lambda bijectors: OnHalves(Reverse(), bijectors), "OnHalves"),
        (lambda bijectors: OnFirstChannels(2, bijectors), "OnFirstChannels"),
        (lambda bijectors: OnData(bijectors, [4, 4, 2], 1), "OnData"),
        (lambda bijectors: MultiScale([Level(bijectors)], [4, 4, 2]), "A level"),
        (lambda bijectors: ConditionalNoise(bijectors, context_network=abs), "ConditionalNoise"),
    ],
)
@pytest.mark.parametrize(
    ("given", "kind"), [([Reverse(), Squeeze()], "list"), (LAYERS[0], "Dense"), (None, "NoneType")]
)
def test_bijectors(make, owner, given, kind):
    with pytest.raises(TypeError, match=rf"{owner} needs bijectors, got .*, a {kind}; "):
        make(given)


def test_levels():
    with pytest.raises(TypeError, match=r"MultiScale needs levels, got .*, a Squeeze; make it a Level"):
        MultiScale([Squeeze()], [4, 4, 2])
    with pytest.raises(TypeError, match=r"A level needs bijectors, got .*, a list; "):
        MultiScale([Level(Squeeze(), prior=[Reverse()])], [4, 4, 2])


@pytest.mark.parametrize("make", [DequantizedFlow, lambda flow: AugmentedFlow(flow, NormalAugmenter(1))])
def test_flows(make):
    with pytest.raises(TypeError, match=r"Flow needs a distribution, got Chain\(.*, a Chain; a bijector makes one as"):
        make(Chain([Reverse()]))


def test_preprocessing():
    flow = tfp.distributions.Sample(tfp.distributions.Normal(0.0, 1.0), [4, 4, 3])
    with pytest.raises(TypeError, match=r"AugmentedFlow needs bijectors, got .*, a function; "):
        AugmentedFlow(flow, NormalAugmenter(1), preprocessing=lambda x: 2 * x)


def test_multiscale_without_a_level_is_refused():
    with pytest.raises(ValueError, match="MultiScale needs at least one level, got an empty list"):
        MultiScale([], [4, 4, 4])
