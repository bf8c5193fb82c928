"""One network call a log-probability; conditions, variables and log-determinants that do not get mixed up."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.bijectors import (
    ActNorm,
    AdditiveCoupling,
    AffineCoupling,
    Bijector,
    Chain,
    CheckerboardMerge,
    CheckerboardSplit,
    GaussianPrior,
    InvertibleConv,
    InvertibleConvLU,
    Level,
    LogisticMixtureCoupling,
    MultiScale,
    Squeeze,
)

tfb, tfd = tfp.bijectors, tfp.distributions
SHAPE = [2, 2, 4]


class CountingNetwork(tf.Module):
    """Counts its calls when they run, not when they are traced."""

    def __init__(self, gain=1.0):
        super().__init__()
        self.gain = tf.Variable(gain)
        self.count = tf.Variable(0, trainable=False)

    def __call__(self, x, condition=None):
        self.count.assign_add(1)
        x = self.gain * tf.tanh(x if condition is None else x + condition)
        return tf.concat([x, x], axis=-1)


def counted(wrap, conditional=False):
    network = CountingNetwork()
    chain = Chain([ActNorm([4]), InvertibleConv(4), AffineCoupling(network, conditional=conditional)])
    return network, wrap(chain)


def images(seed=0):
    return tf.random.stateless_normal([3, *SHAPE], [seed, 0])


WRAPS = {
    "chain": lambda chain: chain,
    "tfb_chain": lambda chain: tfb.Chain([chain, tfb.Scale(2.0)]),
    "inverted_twice": lambda chain: tfb.Invert(tfb.Invert(chain)),
    "multiscale": lambda chain: MultiScale([Level(chain)], SHAPE),
}


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("wrap", WRAPS)
def test_one_call_a_log_prob(wrap, graph):
    network, bijector = counted(WRAPS[wrap])
    latent_shape = bijector.inverse_event_shape(SHAPE)
    distribution = tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), latent_shape), bijector)
    log_prob = tf.function(distribution.log_prob) if graph else distribution.log_prob
    log_prob(images())
    assert network.count.numpy() == 1


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("wrap", WRAPS)
def test_one_call_for_value_and_log_det_of_either_direction(wrap, graph):
    def both(method, log_det):
        network, bijector = counted(WRAPS[wrap])
        event_ndims = 1 if (wrap, method) == ("multiscale", "forward") else 3
        x = tf.reshape(images(), [3, -1]) if event_ndims == 1 else images()

        def call(x):
            return getattr(bijector, method)(x), getattr(bijector, log_det)(x, event_ndims)

        (tf.function(call) if graph else call)(x)
        return network.count.numpy()

    assert both("inverse", "inverse_log_det_jacobian") == 1
    assert both("forward", "forward_log_det_jacobian") == 1


def test_inverted_bijector_needs_one_call_for_a_sample_and_its_density():
    network, dequantizer = counted(tfb.Invert)
    distribution = tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), SHAPE), dequantizer)
    sample, log_prob = distribution.experimental_sample_and_log_prob([3], seed=1)
    assert network.count.numpy() == 1
    np.testing.assert_allclose(log_prob, distribution.log_prob(tf.identity(sample)), rtol=1e-4)


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
def test_a_second_condition_does_not_get_the_first_ones_log_det(graph):
    _, bijector = counted(lambda chain: chain, conditional=True)

    def call(x, first, second):
        return [
            (bijector.inverse(x, condition=c), bijector.inverse_log_det_jacobian(x, condition=c))
            for c in (first, second)
        ]

    first, second = tf.zeros([3, 2, 2, 2]), tf.ones([3, 2, 2, 2])
    x = images()
    results = (tf.function(call) if graph else call)(x, first, second)
    for (z, log_det), condition in zip(results, (first, second), strict=True):
        expected_z, expected_log_det = bijector.inverse_and_log_det(x, condition)
        np.testing.assert_allclose(z, expected_z, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(log_det, expected_log_det, rtol=1e-5)
    assert np.abs(results[0][1] - results[1][1]).min() > 1e-3


def test_equal_configurations_do_not_share_outputs():
    x = images()
    first, second = ActNorm([4]), ActNorm([4])
    second.bias.assign(tf.ones([4]))
    assert first != second and len({first, second}) == 2
    np.testing.assert_allclose(second.inverse(x) - first.inverse(x), tf.ones_like(x), atol=1e-6)
    z = tfb.Chain([first, second]).inverse(x)
    np.testing.assert_allclose(z - x, tf.ones_like(x), atol=1e-6)

    networks = [CountingNetwork(gain) for gain in (1.0, -1.0)]
    couplings = [AffineCoupling(network) for network in networks]
    outputs = [coupling.inverse(x) for coupling in couplings]
    assert [network.count.numpy() for network in networks] == [1, 1]
    assert np.abs(outputs[0] - outputs[1]).max() > 0.1


class WrongLogDet(Bijector):
    """Gives a log-determinant of the wrong shape."""

    def __init__(self, log_det_of):
        self._log_det_of = log_det_of
        super().__init__(forward_min_event_ndims=3)

    def _inverse_and_log_det(self, y):
        return y, self._log_det_of(y)

    _forward_and_log_det = _inverse_and_log_det


@pytest.mark.parametrize(
    "log_det_of",
    [
        lambda y: tf.constant(0.0),
        lambda y: tf.zeros([1]),
        lambda y: tf.zeros(y.shape[:2]),
        tf.zeros_like,
        lambda y: tf.zeros([y.shape[0], 1]),
    ],
    ids=["scalar", "one", "row", "event", "column"],
)
def test_wrong_log_det_shape_raises(log_det_of):
    bijector = WrongLogDet(log_det_of)
    for call in (
        bijector.inverse,
        bijector.forward,
        bijector.inverse_log_det_jacobian,
        bijector.forward_log_det_jacobian,
        tf.function(bijector.inverse_log_det_jacobian),
        Chain([ActNorm([4]), bijector]).inverse,
    ):
        with pytest.raises(ValueError, match=r"log-determinant of shape .* batch shape"):
            call(images())


@pytest.mark.parametrize("filters", [1, 2, 3, 8])
def test_network_of_the_wrong_width_raises_instead_of_broadcasting(filters):
    def network(x, *_):
        return tf.ones([*x.shape[:-1], filters])

    with pytest.raises(ValueError, match=rf"gave \(3, 2, 2, {filters}\)"):
        AffineCoupling(network).inverse(images())
    if filters != 2:
        with pytest.raises(ValueError, match=rf"gave \(3, 2, 2, {filters}\)"):
            AdditiveCoupling(network).forward(images())
    if filters != 8:
        with pytest.raises(ValueError, match=rf"gave \(3, 2, 2, {filters}\)"):
            GaussianPrior(network).inverse(images(), condition=images())


def test_a_condition_that_none_takes_raises():
    for bijector in (ActNorm([4]), Chain([ActNorm([4])]), MultiScale([Level(Chain([ActNorm([4])]))], SHAPE)):
        for call in (bijector.inverse, bijector.inverse_log_det_jacobian, bijector.initialize):
            with pytest.raises(ValueError, match=f"{bijector.name} .*takes no condition"):
                call(images(), condition=tf.zeros([3]))


def test_a_missing_condition_raises():
    conditional = AffineCoupling(CountingNetwork(), conditional=True, name="hungry")
    for bijector in (conditional, Chain([ActNorm([4]), conditional]), MultiScale([Level(Chain([conditional]))], SHAPE)):
        with pytest.raises(ValueError, match="hungry needs a condition"):
            bijector.inverse(images())


def test_a_keras_layer_that_is_not_built_raises():
    layer = keras.layers.Conv2D(4, 1, name="unbuilt")
    for make in (AdditiveCoupling, AffineCoupling, GaussianPrior):
        with pytest.raises(ValueError, match=r"'unbuilt' has no variables yet.*build"):
            make(layer)
    layer.build([None, 2, 2, 2])
    assert len(AffineCoupling(layer).trainable_variables) == 2


def test_a_condition_of_image_shape_is_squeezed_along():
    seen = []

    def network(x, condition):
        seen.append(condition.shape)
        return tf.zeros([*x.shape[:-1], 2 * x.shape[-1]])

    def coupling():
        return AffineCoupling(network, conditional=True)

    chain = Chain([coupling(), Chain([Squeeze(), coupling()]), coupling(), Squeeze(), coupling()])
    condition = tf.zeros([3, 4, 4, 1])
    chain.inverse(tf.zeros([3, 4, 4, 2]), condition=condition)
    expected = [[3, 4, 4, 1], [3, 2, 2, 4], [3, 2, 2, 4], [3, 1, 1, 16]]
    assert seen == expected
    seen.clear()
    chain.forward(tf.zeros([3, 1, 1, 32]), condition=condition)
    assert seen == expected[::-1]
    seen.clear()
    chain.initialize(tf.zeros([3, 4, 4, 2]), condition=condition)
    assert seen == expected
    # A condition that is no image stays as it is.
    seen.clear()
    chain.inverse(tf.zeros([3, 4, 4, 2]), condition=tf.zeros([3, 7]))
    assert seen == 4 * [[3, 7]]


def test_bijectors_refuse_what_they_cannot_do():
    with pytest.raises(ValueError, match=r"form must be one of.*'wrong'"):
        ActNorm([3], form="wrong")
    with pytest.raises(ValueError, match="parameter_shape must have 1 to event_ndims=1 axes"):
        ActNorm([2, 3], event_ndims=1)
    with pytest.raises(ValueError, match=r"two halves.*5"):
        AdditiveCoupling(CountingNetwork()).inverse(tf.zeros([1, 2, 2, 5]))
    with pytest.raises(ValueError, match=r"squeeze an image of shape \(3, 4, 1\) by 2"):
        Squeeze().inverse(tf.zeros([1, 3, 4, 1]))
    with pytest.raises(ValueError, match="channels are not a multiple of 4"):
        Squeeze().forward(tf.zeros([1, 2, 2, 6]))
    with pytest.raises(ValueError, match="at least one bijector"):
        Chain([])
    for option in ("scale", "order", "parameter_order", "conditioning_half"):
        with pytest.raises(ValueError, match=f"{option} must be one of.*'wrong'"):
            AffineCoupling(CountingNetwork(), **{option: "wrong"})
    with pytest.raises(ValueError, match="transformed_channels must be at least 1, got 0"):
        AdditiveCoupling(CountingNetwork(), transformed_channels=0)
    for kind in (CheckerboardSplit, CheckerboardMerge):
        with pytest.raises(ValueError, match=r"pattern must be one of.*'wrong'"):
            kind(pattern="wrong")
    with pytest.raises(ValueError, match=r"needs an even width, got shape \(2, 3, 1\)"):
        CheckerboardSplit().inverse_event_shape([2, 3, 1])
    with pytest.raises(ValueError, match=r"needs an even number of channels, got shape \(2, 3, 1\)"):
        CheckerboardSplit().forward_event_shape([2, 3, 1])
    with pytest.raises(ValueError, match=r"diagonal must be one of.*'wrong'"):
        InvertibleConvLU(3, diagonal="wrong")
    with pytest.raises(ValueError, match="num_components must be at least 1, got 0"):
        LogisticMixtureCoupling(CountingNetwork(), num_components=0)
    with pytest.raises(ValueError, match=r"scale must be one of.*'wrong'"):
        LogisticMixtureCoupling(CountingNetwork(), num_components=2, scale="wrong")


@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_a_direction_that_a_class_lacks_is_named(direction):
    nothing = Bijector(forward_min_event_ndims=1, name="nothing")
    with pytest.raises(TypeError, match=f"Bijector does not implement {direction}, the direction from"):
        getattr(nothing, direction)(tf.zeros([2, 3]))


def test_actnorm_refuses_images_that_it_would_broadcast():
    with pytest.raises(ValueError, match=r"built for events of shape \(None, None, 3\), got shape \(2, 4, 4, 1\)"):
        ActNorm([3]).inverse(tf.zeros([2, 4, 4, 1]))
    # One parameter for all channels is meant.
    assert ActNorm([1]).inverse(tf.zeros([2, 4, 4, 3])).shape == [2, 4, 4, 3]


def test_a_condition_reaches_an_inverted_coupling_in_a_chain():
    coupling = AffineCoupling(CountingNetwork(), conditional=True)
    alone = tfb.Invert(coupling)
    chain = Chain([ActNorm([4]), alone])  # an actnorm starts as the identity
    x, condition = images(), tf.random.stateless_normal([3, 2, 2, 2], [1, 0])
    assert chain.takes_condition
    np.testing.assert_allclose(
        chain.inverse(x, condition=condition), alone.inverse(x, condition=condition), rtol=1e-6, atol=1e-6
    )
    np.testing.assert_allclose(
        chain.inverse_log_det_jacobian(x, condition=condition),
        alone.inverse_log_det_jacobian(x, condition=condition),
        rtol=1e-5,
    )


@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_run_on_unknown_rank(direction):
    """With any number of batch axes, but with no condition: which of its axes are batch axes could not be told."""
    flow, x = Chain([ActNorm([4]), InvertibleConv(4)]), tf.random.stateless_normal([2, 3, *SHAPE], [0, 1])
    run = tf.function(getattr(flow, f"{direction}_and_log_det"), input_signature=[tf.TensorSpec(None)], autograph=False)
    for given, expected in zip(run(x), getattr(flow, f"{direction}_and_log_det")(x), strict=True):
        np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(tf.errors.InvalidArgumentError, match="needs an input of at least 3 axes"):
        run(tf.zeros([4, 4]))
    prior = GaussianPrior(lambda condition: tf.concat([condition, condition], axis=-1), conditional=True)
    condition = tf.zeros([2, *SHAPE])
    call = tf.function(
        lambda x: getattr(prior, direction)(x, condition=condition), input_signature=[tf.TensorSpec(None)]
    )
    with pytest.raises(ValueError, match="got a condition and an input of unknown rank"):
        call.get_concrete_function()
