"""What does not fit a bijector is refused by one sentence that names it; unknown shapes work as far as they can."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.bijectors.test_all_bijectors import (
    ALL,
    BY_CLASS,
    CASES,
    ONE_A_CLASS,
    WITH_DTYPE,
    assert_close,
    built,
    data_of,
    kwargs_of,
    latent_of,
)
from tests.slow import slow_but
from tfflows.bijectors import (
    ActNorm,
    AdditiveCoupling,
    AffineCoupling,
    Chain,
    GaussianPrior,
    Level,
    MultiScale,
    OnHalves,
    Permutation,
)
from tfflows.math.convolution import conv2d
from tfflows.networks import CouplingNetwork

tfb = tfp.bijectors

DIRECTIONS = pytest.mark.parametrize("direction", ["inverse", "forward"])
CONDITIONAL = [name for name, case in CASES.items() if case.condition is not None]
# Bijectors of any number of channels, of an even one, or of a multiple of 4.
OF_ANY_CHANNELS = [
    name for name in CASES if name.startswith(("reverse", "squeeze", "unsqueeze", "checkerboard", "swap"))
]
OF_ANY_CHANNELS += ["logit", "on_first_channels", "logistic_mixture"]
# These cut the channels in parts.
CUT_BY_CHANNELS = [name for name in CASES if "coupling" in name] + ["swap_halves", "on_halves", "on_first_channels"]
OF_KNOWN_CHANNELS = [name for name in CASES if name not in OF_ANY_CHANNELS]


def event_of(name, direction):
    return CASES[name].data if direction == "inverse" else CASES[name].latent


def example_of(name, direction):
    return (data_of if direction == "inverse" else latent_of)(name, [2])


@DIRECTIONS
@BY_CLASS
def test_an_event_of_too_low_rank_is_refused(name, direction):
    bijector, event = built(name), event_of(name, direction)
    if not event:
        return  # a scalar is an event
    x = tf.zeros(event[1:])
    message = rf"{type(bijector).__name__} '{bijector.name}' needs .* at least {len(event)} axes, got {len(event) - 1}"
    kwargs = kwargs_of(name, [])
    for run in (getattr(bijector, direction), getattr(bijector, f"{direction}_and_log_det")):
        with pytest.raises(ValueError, match=message):
            run(x, **kwargs)
        with pytest.raises(ValueError, match=message):
            tf.function(lambda x, run=run: run(x, **kwargs), autograph=False)(x)
    with pytest.raises(ValueError, match=message):
        getattr(bijector, f"{direction}_event_shape")(event[1:])
    if direction == "inverse":
        with pytest.raises(ValueError, match=message):
            bijector.initialize(x, **kwargs)


@DIRECTIONS
@ALL
def test_the_event_shape_of_an_unknown_shape_is_unknown(name, direction):
    assert getattr(built(name), f"{direction}_event_shape")(tf.TensorShape(None)).rank is None


@DIRECTIONS
@pytest.mark.parametrize("name", slow_but(set(ONE_A_CLASS) & set(OF_KNOWN_CHANNELS), OF_KNOWN_CHANNELS))
def test_another_number_of_channels_is_refused(name, direction):
    bijector = built(name)
    *outer, channels = event_of(name, direction)
    run = tf.function(getattr(bijector, f"{direction}_and_log_det"), autograph=False)
    for size in (channels - 1, channels + 2, 2 * channels):
        with pytest.raises(ValueError, match=r"channels|for events of shape|expected axis -1|The network of"):
            run(tf.zeros([2, *outer, size]), **kwargs_of(name, [2]))


def test_a_number_of_channels_that_a_trace_does_not_know_is_checked_when_it_runs():
    permutation = Permutation([2, 0, 1])
    run = tf.function(permutation.inverse, input_signature=[tf.TensorSpec([None, 4, 4, None])])
    assert run(tf.zeros([2, 4, 4, 3])).shape == [2, 4, 4, 3]
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"not compatible with expected shape"):
        run(tf.zeros([2, 4, 4, 5]))


def test_a_convolution_does_not_take_further_channels_as_groups():
    with pytest.raises(ValueError, match=r"built for 2 channels, got an input of shape \(1, 4, 4, 4\)"):
        conv2d(tf.zeros([1, 4, 4, 4]), tf.zeros([3, 3, 2, 6]))


# The sequential inverse takes a compiler long.
@pytest.mark.parametrize("name", slow_but([n for n in ONE_A_CLASS if n != "masked_conv_conditional"], CASES))
@DIRECTIONS
def test_an_input_of_unknown_rank(name, direction):
    """It works as with the bijectors of TFP, or is refused because channels, batch axes or the size of an image must be known."""
    bijector, x = built(name), example_of(name, direction)
    kwargs = kwargs_of(name, [2])

    @tf.function(input_signature=[tf.TensorSpec(None)], autograph=False)
    def run(x):
        log_det = getattr(bijector, f"{direction}_log_det_jacobian")(x, **kwargs)
        return getattr(bijector, direction)(x, **kwargs), log_det

    refused = bool(kwargs) or name in CUT_BY_CHANNELS
    # What is undone pixel by pixel, and what only undoes a cut by channels.
    refused |= direction == "forward" and name in ("chain", "flowpp_stage", "masked_conv", "shifted_conv_additive")
    if refused:
        needed = r"know the number of channels|which of their axes are batch axes|a static image size"
        with pytest.raises(ValueError, match=needed):
            run(x)
        return
    found = run(x)
    for value, expected in zip(found, getattr(bijector, f"{direction}_and_log_det")(x, **kwargs), strict=True):
        assert_close(value, expected, 1e-4)


@pytest.mark.parametrize("name", CONDITIONAL)
def test_a_condition_may_be_an_array(name):
    bijector, x, kwargs = built(name), data_of(name, [2]), kwargs_of(name, [2])
    arrays = {key: value.numpy() for key, value in kwargs.items()}
    for result in ("inverse", "inverse_log_det_jacobian"):
        given = getattr(bijector, result)(tf.identity(x), **arrays)
        assert_close(given, getattr(bijector, result)(x, **kwargs), 1e-6)


def test_too_low_a_rank_that_a_trace_does_not_know_is_found_when_it_runs():
    run = tf.function(Permutation([2, 0, 1]).inverse, input_signature=[tf.TensorSpec(None)])
    with pytest.raises(tf.errors.InvalidArgumentError, match="needs an input of at least 3 axes"):
        run(tf.zeros([3]))


@DIRECTIONS
@pytest.mark.parametrize("name", CONDITIONAL)
def test_a_condition_must_have_the_batch_of_the_input(name, direction):
    bijector, x = built(name), tf.zeros([5, *event_of(name, direction)])
    condition = kwargs_of(name, [5])["condition"]
    run = getattr(bijector, f"{direction}_and_log_det")
    for wrong in (condition[0], condition[:1], tf.concat([condition, condition], axis=0)):
        for call in (run, tf.function(run, autograph=False)):
            with pytest.raises(ValueError, match=r"got a condition of shape .* batch axes \(5,\) in front"):
                call(x, condition=wrong)


@pytest.mark.parametrize("name", WITH_DTYPE)
def test_another_dtype_is_refused_by_name(name):
    bijector = built(name)
    x = tf.cast(example_of(name, "inverse"), tf.float64)
    with pytest.raises(ValueError, match=rf"{type(bijector).__name__} '{bijector.name}' takes float32, got .* float64"):
        bijector.inverse_and_log_det(x, **kwargs_of(name, [2]))


@pytest.mark.parametrize(
    "make",
    [
        lambda *parts: Chain(parts),
        OnHalves,
        lambda first, second: MultiScale([Level(first), Level(second)], [4, 4, 2]),
        lambda first, _: Chain([first, tfb.Shift(np.float64(1.0))]),
    ],
    ids=["chain", "halves", "multiscale", "foreign"],
)
def test_parts_of_two_dtypes_are_refused_by_name(make):
    with pytest.raises(ValueError, match=r"need one dtype, but .* is float(32|64) and .* is float(32|64)"):
        make(ActNorm([1], dtype="float32", name="single"), ActNorm([1], dtype="float64", name="double"))


def dense(filters, dtype):
    layer = keras.layers.Dense(filters, dtype=dtype, name="mixed")
    layer.build([None, 2])
    return layer


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float64"])
@pytest.mark.parametrize(
    "make",
    [
        lambda policy: AdditiveCoupling(dense(2, policy)),
        lambda policy: AffineCoupling(dense(4, policy)),
        lambda policy: GaussianPrior(dense(8, policy)),
    ],
    ids=["additive", "affine", "prior"],
)
def test_a_network_of_another_dtype_is_refused_by_name(make, policy):
    bijector = make(policy)
    kwargs = {"condition": tf.zeros([2, 4, 4, 2])} if bijector.takes_condition else {}
    with pytest.raises(ValueError, match=r"The network 'mixed' of .* gave .*float\d\d for data of float32: cast its"):
        bijector.inverse(tf.zeros([2, 4, 4, 4]), **kwargs)


def test_networks_of_the_library_may_have_a_mixed_policy():
    network = CouplingNetwork(4, 4, dtype="mixed_bfloat16")
    network.build([None, 4, 4, 2])
    assert AffineCoupling(network).inverse(tf.zeros([2, 4, 4, 4])).dtype == tf.float32
