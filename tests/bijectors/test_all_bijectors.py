"""One table of all bijectors, each with random parameters, through the same checks."""

import functools
import inspect
import math
import re
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.derivatives import assert_derivatives
from tests.slow import slow_but
from tfflows.bijectors import (
    ActNorm,
    AdditiveCoupling,
    AffineCoupling,
    BatchNorm,
    Chain,
    CheckerboardAffineCoupling,
    CheckerboardMerge,
    CheckerboardSplit,
    GaussianPrior,
    InverseAutoregressive,
    InvertibleConv,
    InvertibleConvLU,
    Level,
    LogisticMixtureCoupling,
    LogisticMixtureLogitCDF,
    Logit,
    MaskedConv,
    MultiScale,
    OnData,
    OnFirstChannels,
    OnHalves,
    Permutation,
    Reverse,
    Squeeze,
    SwapHalves,
    Unsqueeze,
)
from tfflows.networks import (
    AutoregressiveNetwork,
    CouplingNetwork,
    EluCouplingNetwork,
    GatedConditioner,
    MaskedNetwork,
    ResidualConditioner,
    TopPrior,
    ZeroConv2D,
)

tfb, tfd = tfp.bijectors, tfp.distributions

NUM_CLASSES = 3


class Case(NamedTuple):
    """A bijector to check.

    Attributes:
      make: From a dtype to the bijector.
      data: Shape of an event of data.
      latent: Shape of an event of the latent.
      condition: Shape of a condition, `'label'`, or None.
      bounded: Whether every finite input has a finite latent; an exponential of a network's output is not bounded.
    """

    make: Callable
    data: tuple
    latent: tuple
    condition: object = None
    bounded: bool = True


class PixelwiseNetwork(keras.layers.Layer):
    """A dense layer on the channels of the input, joined with those of the condition; compiles fast."""

    def __init__(self, channels, filters, dtype):
        super().__init__(dtype=dtype)
        self.dense = keras.layers.Dense(filters, "tanh", kernel_initializer="zeros", dtype=dtype)
        self.dense.build([None, channels])
        self.built = True

    def call(self, *inputs):
        return self.dense(tf.concat(inputs, axis=-1))


class NeighbourNetwork(PixelwiseNetwork):
    """A `PixelwiseNetwork` that sees the left neighbour of each pixel, which has the other colour of the checkerboard."""

    def call(self, x, *condition):
        return super().call(tf.roll(x, 1, axis=-2), *condition)


def additive(dtype, condition_channels=0, **options):
    network = PixelwiseNetwork(2 + condition_channels, 2, dtype)
    return AdditiveCoupling(network, conditional=condition_channels > 0, dtype=dtype, **options)


def affine(dtype, channels=4, condition_channels=0, **options):
    network = PixelwiseNetwork(channels // 2 + condition_channels, channels, dtype)
    return AffineCoupling(network, conditional=condition_channels > 0, dtype=dtype, **options)


def convolutional(kind, dtype, filters, padding="border", **options):
    network = CouplingNetwork(6, filters, padding, dtype=dtype)
    network.build([None, 4, 4, 2])
    return kind(network, dtype=dtype, **options)


def logistic_mixture(dtype, channels=4, condition_channels=0, components=3, **options):
    filters = channels // 2 * (2 + 3 * components)
    network = PixelwiseNetwork(channels // 2 + condition_channels, filters, dtype)
    conditional = condition_channels > 0
    return LogisticMixtureCoupling(network, components, conditional=conditional, dtype=dtype, **options)


def elementwise_mixture(dtype, shape=()):
    def variable(seed, *trailing):
        value = tf.random.stateless_normal([*shape, *trailing], [5, seed], dtype=tf.float64)
        return tf.Variable(tf.cast(value, dtype))

    return LogisticMixtureLogitCDF(
        variable(0, 3), variable(1, 3), variable(2, 3), log_scale=variable(3), shift=variable(4), dtype=dtype
    )


def gated_coupling(dtype, components=2):
    network = GatedConditioner(4, 2 * (2 + 3 * components), num_blocks=1, num_heads=2, dtype=dtype)
    network.build([None, 4, 4, 2])
    return LogisticMixtureCoupling(network, components, conditional="optional", dtype=dtype)


def flowpp_stage(dtype):
    halves = OnHalves(InvertibleConv(2, seed=1, dtype=dtype), InvertibleConv(2, seed=2, dtype=dtype))
    norm = ActNorm([4, 2, 4], form="positive_scale_then_shift", dtype=dtype)
    step = Chain([norm, halves, logistic_mixture(dtype), SwapHalves()])
    return Chain([CheckerboardSplit(), step, CheckerboardMerge(), Squeeze(order="position_first")])


def masked_conv(dtype, kind="masked", order="A", kernel_size=(3, 3), affine=True, context_filters=0, channels=2):
    filters = 2 * channels if affine else channels
    network = MaskedNetwork(filters, kernel_size, kind, order, 6, context_filters, dtype=dtype)
    network.build([None, 4, 4, channels])
    return MaskedConv(network, affine, conditional=context_filters > 0, dtype=dtype)


def inverse_autoregressive(dtype):
    return InverseAutoregressive(AutoregressiveNetwork(2, 4, dtype=dtype), conditional=True, dtype=dtype)


def uneven_coupling(dtype, channels, transformed, context_filters=0):
    network = EluCouplingNetwork(5, 2 * transformed, context_filters, dtype=dtype)
    network.build([None, 4, 4, channels - transformed])
    options = {"order": "scale_then_shift", "parameter_order": "contiguous", "transformed_channels": transformed}
    return AffineCoupling(network, conditional=context_filters > 0, dtype=dtype, **options)


def fine_grained(dtype, context_filters=0):
    inner = Chain([uneven_coupling(dtype, 3, 1, 4 * context_filters), ActNorm([3], dtype=dtype)])
    level = [
        Squeeze(order="position_first"),
        masked_conv(dtype, "shifted", channels=4, kernel_size=(1, 3), context_filters=4 * context_filters),
        OnFirstChannels(3, inner),
        Unsqueeze(order="position_first"),
    ]
    return Chain(level)


def conditional_prior(dtype, **options):
    network = ZeroConv2D(4, dtype=dtype)
    network.build([None, 4, 4, 3])
    return GaussianPrior(network, dtype=dtype, **options)


def top_prior(dtype, shape=(4, 4, 2), num_classes=0):
    network = TopPrior(shape, num_classes=num_classes, dtype=dtype)
    network.build()
    return GaussianPrior(network, conditional=num_classes > 0, parameter_order="contiguous", dtype=dtype)


def batch_norm(dtype, channels=4, **options):
    norm = BatchNorm(channels, dtype=dtype, **options)
    norm.mean.assign(tf.linspace(tf.constant(-1.0, dtype), 1.0, norm.mean.shape[0]))
    norm.variance.assign(tf.linspace(tf.constant(0.5, dtype), 2.0, norm.mean.shape[0]))
    return norm


def checkerboard_coupling(dtype, channels=2, condition_channels=0, **options):
    network = NeighbourNetwork(channels + condition_channels, 2 * channels, dtype)
    return CheckerboardAffineCoupling(network, conditional=condition_channels > 0, dtype=dtype, **options)


def realnvp_scale(dtype):
    """The couplings of a scale of RealNVP, with their networks and batch norms."""
    network = ResidualConditioner(3, 4, num_blocks=1, colour="even", dtype=dtype)
    network.build([None, 4, 4, 2])
    checkerboard = CheckerboardAffineCoupling(network, initial_rescaling=0.3, dtype=dtype)
    network = ResidualConditioner(3, 8, num_blocks=1, dtype=dtype)
    network.build([None, 2, 2, 4])
    options = {"scale": "rescaled_tanh", "order": "shift_then_scale", "parameter_order": "contiguous"}
    channel = AffineCoupling(network, conditioning_half="second", initial_rescaling=0.3, dtype=dtype, **options)
    steps = [
        Chain([checkerboard, batch_norm(dtype, 2, part="odd")]),
        Squeeze(),
        Chain([channel, batch_norm(dtype, 8, part="first")]),
        Unsqueeze(),
    ]
    return Chain([*steps, Squeeze(order="even_first")])


def flow_step(dtype, shape, mixing=None):
    mixing = Permutation.random(shape[-1], seed=1) if mixing is None else mixing
    return Chain([ActNorm(shape[-1:], dtype=dtype), mixing, affine(dtype, shape[-1])])


def conditional_chain(dtype):
    return Chain(
        [
            affine(dtype, 2, condition_channels=1),
            Chain([Squeeze(), ActNorm([8], dtype=dtype)], name="squeezes_within"),
            affine(dtype, 8, condition_channels=4),
        ]
    )


def foreign_chain(dtype):
    half = tf.constant(0.5, dtype)
    return Chain(
        [
            tfb.Shift(half),
            ActNorm([4], dtype=dtype),
            tfb.Softplus(),
            affine(dtype),
            tfb.Invert(ActNorm([4, 4, 4], dtype=dtype)),
            tfb.Reshape([4, 4, 4], [64]),
            ActNorm([64], event_ndims=1, dtype=dtype),
        ]
    )


def multiscale(dtype, last_prior, split_prior=True):
    prior = None
    if split_prior:
        network = ZeroConv2D(4, dtype=dtype)
        network.build([None, 4, 4, 2])
        prior = GaussianPrior(network, dtype=dtype)
    levels = [
        Level(Chain([Squeeze(), flow_step(dtype, [4, 4, 4])]), prior),
        Level(Chain([Squeeze(), flow_step(dtype, [2, 2, 8])]), last_prior(dtype)),
    ]
    return MultiScale(levels, [8, 8, 1])


def spatially_conditional_multiscale(dtype):
    levels = [
        Level(Chain([Squeeze(), affine(dtype, 4, condition_channels=4)])),
        Level(Chain([Squeeze(), affine(dtype, 8, condition_channels=16)])),
    ]
    return MultiScale(levels, [8, 8, 1])


IMAGE = (4, 4, 4)
CASES = {
    "actnorm_per_channel": Case(lambda d: ActNorm([4], dtype=d), IMAGE, IMAGE),
    "actnorm_per_activation": Case(lambda d: ActNorm(IMAGE, dtype=d), IMAGE, IMAGE),
    "actnorm_paper": Case(lambda d: ActNorm([4], form="scale_then_shift", dtype=d), IMAGE, IMAGE),
    "actnorm_paper_per_activation": Case(lambda d: ActNorm(IMAGE, form="scale_then_shift", dtype=d), IMAGE, IMAGE),
    "actnorm_vector": Case(lambda d: ActNorm([6], event_ndims=1, log_scale_factor=1.0, dtype=d), (6,), (6,)),
    "actnorm_positive_scale": Case(lambda d: ActNorm(IMAGE, form="positive_scale_then_shift", dtype=d), IMAGE, IMAGE),
    "checkerboard_split": Case(lambda d: CheckerboardSplit(), (3, 4, 2), (3, 2, 4)),
    "checkerboard_split_by_pixels": Case(lambda d: CheckerboardSplit("checkerboard"), (3, 4, 2), (3, 2, 4)),
    "checkerboard_merge": Case(lambda d: CheckerboardMerge(), (3, 2, 4), (3, 4, 2)),
    "checkerboard_merge_by_pixels": Case(lambda d: CheckerboardMerge("checkerboard"), (3, 2, 4), (3, 4, 2)),
    "swap_halves": Case(lambda d: SwapHalves(), IMAGE, IMAGE),
    "batch_norm": Case(batch_norm, IMAGE, IMAGE),
    "batch_norm_vector": Case(functools.partial(batch_norm, channels=6, event_ndims=1), (6,), (6,)),
    "batch_norm_half": Case(functools.partial(batch_norm, part="second"), IMAGE, IMAGE),
    "batch_norm_colour": Case(functools.partial(batch_norm, channels=2, part="odd"), (3, 4, 2), (3, 4, 2)),
    "checkerboard_affine_coupling": Case(checkerboard_coupling, (3, 4, 2), (3, 4, 2)),
    "checkerboard_affine_coupling_conditional": Case(
        functools.partial(checkerboard_coupling, condition_channels=3, conditioning_colour="odd"),
        (3, 4, 2),
        (3, 4, 2),
        (3, 4, 3),
    ),
    "realnvp_scale": Case(realnvp_scale, (4, 4, 2), (2, 2, 8), bounded=False),
    "on_halves": Case(
        lambda d: OnHalves(InvertibleConv(2, identity_noise=0.01, dtype=d), ActNorm([2], dtype=d)), IMAGE, IMAGE
    ),
    "actnorm_exp": Case(lambda d: ActNorm([4], form="exp_scale_then_shift", dtype=d), IMAGE, IMAGE),
    "unsqueeze": Case(lambda d: Unsqueeze(), (2, 3, 8), (4, 6, 2)),
    "masked_conv": Case(masked_conv, (4, 3, 2), (4, 3, 2)),
    "masked_conv_conditional": Case(
        functools.partial(masked_conv, order="B", context_filters=3), (4, 3, 2), (4, 3, 2), (4, 3, 3)
    ),
    "shifted_conv_additive": Case(
        functools.partial(masked_conv, kind="shifted", order="C", kernel_size=(3, 2), affine=False),
        (4, 3, 2),
        (4, 3, 2),
    ),
    "shifted_conv_conditional": Case(
        functools.partial(masked_conv, kind="shifted", order="D", kernel_size=(3, 2), context_filters=3),
        (4, 3, 2),
        (4, 3, 2),
        (4, 3, 3),
    ),
    "inverse_autoregressive": Case(inverse_autoregressive, (2, 3, 2), (2, 3, 2), (2, 3, 4), bounded=False),
    "uneven_coupling": Case(functools.partial(uneven_coupling, channels=3, transformed=2), (4, 4, 3), (4, 4, 3)),
    "on_first_channels": Case(lambda d: OnFirstChannels(3, ActNorm([3], dtype=d)), IMAGE, IMAGE),
    "on_data_conditional": Case(
        lambda d: OnData(Chain([affine(d, condition_channels=3), Squeeze()]), IMAGE, 2), (4, 4, 6), (96,), (4, 4, 3)
    ),
    "fine_grained_conditional": Case(
        functools.partial(fine_grained, context_filters=1), (4, 4, 1), (4, 4, 1), (4, 4, 1)
    ),
    "logit": Case(lambda d: Logit(dtype=d), IMAGE, IMAGE),
    "logistic_mixture_coupling": Case(logistic_mixture, IMAGE, IMAGE),
    "logistic_mixture_coupling_second_half": Case(
        functools.partial(logistic_mixture, conditioning_half="second"), IMAGE, IMAGE
    ),
    "logistic_mixture_coupling_conditional": Case(
        functools.partial(logistic_mixture, condition_channels=3), IMAGE, IMAGE, (4, 4, 3)
    ),
    "logistic_mixture_coupling_vector": Case(
        functools.partial(logistic_mixture, channels=6, components=1, event_ndims=1), (6,), (6,)
    ),
    "logistic_mixture_coupling_paper": Case(
        functools.partial(logistic_mixture, scale="exp", min_log_scale=None), IMAGE, IMAGE
    ),
    "logistic_mixture_coupling_margin": Case(functools.partial(logistic_mixture, margin=0.05), IMAGE, IMAGE),
    "logistic_mixture_coupling_gated": Case(gated_coupling, IMAGE, IMAGE),
    "logistic_mixture": Case(elementwise_mixture, (), ()),
    "affine_coupling_tanh": Case(functools.partial(affine, scale="tanh", order="scale_then_shift"), IMAGE, IMAGE),
    "flowpp_stage": Case(flowpp_stage, (4, 4, 2), (2, 2, 8)),
    "reverse": Case(lambda d: Reverse(), IMAGE, IMAGE),
    "permutation": Case(lambda d: Permutation.random(5, seed=3), (3, 2, 5), (3, 2, 5)),
    "permutation_vector": Case(lambda d: Permutation([2, 0, 1], event_ndims=1), (3,), (3,)),
    "squeeze": Case(lambda d: Squeeze(), (4, 6, 2), (2, 3, 8)),
    "squeeze_position_first": Case(lambda d: Squeeze(order="position_first"), (4, 6, 2), (2, 3, 8)),
    "squeeze_even_first": Case(lambda d: Squeeze(order="even_first"), (4, 6, 2), (2, 3, 8)),
    "unsqueeze_even_first": Case(lambda d: Unsqueeze(order="even_first"), (2, 3, 8), (4, 6, 2)),
    "squeeze_by_3": Case(lambda d: Squeeze(factor=3), (3, 6, 2), (1, 2, 18)),
    "invertible_conv": Case(lambda d: InvertibleConv(5, seed=1, dtype=d), (3, 2, 5), (3, 2, 5)),
    "invertible_conv_vector": Case(lambda d: InvertibleConv(5, event_ndims=1, dtype=d), (5,), (5,)),
    "invertible_conv_lu": Case(lambda d: InvertibleConvLU(5, seed=1, dtype=d), (3, 2, 5), (3, 2, 5)),
    "invertible_conv_lu_paper": Case(
        lambda d: InvertibleConvLU(5, seed=1, diagonal="direct", dtype=d), (3, 2, 5), (3, 2, 5)
    ),
    "invertible_conv_lu_vector": Case(lambda d: InvertibleConvLU(5, event_ndims=1, dtype=d), (5,), (5,)),
    "additive_coupling": Case(lambda d: convolutional(AdditiveCoupling, d, 2), IMAGE, IMAGE),
    "additive_coupling_second_half": Case(functools.partial(additive, conditioning_half="second"), IMAGE, IMAGE),
    "additive_coupling_conditional": Case(functools.partial(additive, condition_channels=3), IMAGE, IMAGE, (4, 4, 3)),
    "affine_coupling": Case(lambda d: convolutional(AffineCoupling, d, 4), IMAGE, IMAGE),
    "affine_coupling_contiguous": Case(functools.partial(affine, parameter_order="contiguous"), IMAGE, IMAGE),
    "affine_coupling_sigmoid_then_shift": Case(functools.partial(affine, order="scale_then_shift"), IMAGE, IMAGE),
    "affine_coupling_own_scale": Case(
        functools.partial(affine, scale=lambda raw_scale: 3 * tf.tanh(raw_scale / 3)), IMAGE, IMAGE
    ),
    "affine_coupling_rescaled": Case(
        functools.partial(affine, scale="rescaled_tanh", parameter_order="contiguous"), IMAGE, IMAGE
    ),
    "affine_coupling_shift_then_exp": Case(functools.partial(affine, scale="exp"), IMAGE, IMAGE),
    "affine_coupling_paper": Case(
        lambda d: convolutional(
            AffineCoupling, d, 4, padding="zeros", scale="exp", order="scale_then_shift", conditioning_half="second"
        ),
        IMAGE,
        IMAGE,
        bounded=False,
    ),
    "affine_coupling_conditional": Case(functools.partial(affine, condition_channels=3), IMAGE, IMAGE, (4, 4, 3)),
    "affine_coupling_vector": Case(functools.partial(affine, channels=6, event_ndims=1), (6,), (6,)),
    "gaussian_prior_conditional": Case(conditional_prior, (4, 4, 2), (4, 4, 2), (4, 4, 3), bounded=False),
    "gaussian_prior_contiguous": Case(
        functools.partial(conditional_prior, parameter_order="contiguous"),
        (4, 4, 2),
        (4, 4, 2),
        (4, 4, 3),
        bounded=False,
    ),
    "gaussian_prior": Case(top_prior, (4, 4, 2), (4, 4, 2)),
    "gaussian_prior_of_label": Case(
        functools.partial(top_prior, num_classes=NUM_CLASSES), (4, 4, 2), (4, 4, 2), "label"
    ),
    "chain": Case(lambda d: flow_step(d, IMAGE, InvertibleConv(4, dtype=d)), IMAGE, IMAGE),
    "chain_conditional": Case(conditional_chain, (4, 4, 2), (2, 2, 8), (4, 4, 1)),
    "chain_of_foreign": Case(foreign_chain, IMAGE, (64,)),
    "multiscale": Case(
        functools.partial(multiscale, last_prior=lambda d: top_prior(d, (2, 2, 8))), (8, 8, 1), (64,), bounded=False
    ),
    "multiscale_of_label": Case(
        functools.partial(multiscale, last_prior=lambda d: top_prior(d, (2, 2, 8), NUM_CLASSES)),
        (8, 8, 1),
        (64,),
        "label",
        bounded=False,
    ),
    "multiscale_standard_priors": Case(
        functools.partial(multiscale, last_prior=lambda d: None, split_prior=False), (8, 8, 1), (64,)
    ),
    "multiscale_conditional": Case(spatially_conditional_multiscale, (8, 8, 1), (64,), (8, 8, 1)),
}
ALL = pytest.mark.parametrize("name", CASES)
# XLA takes long over these, and compiles others of the same classes in every run.
LONG_TO_COMPILE = (
    "masked_conv_conditional",
    "shifted_conv_additive",
    "fine_grained_conditional",
    "logistic_mixture_coupling_second_half",
    "logistic_mixture_coupling_vector",
    "logistic_mixture_coupling_paper",
)
LONG_OF_THEIR_CLASS = (
    "logistic_mixture",
    "logistic_mixture_coupling",
    "multiscale",
    "inverse_autoregressive",
    "chain",
    "on_halves",
    "on_data_conditional",
    "additive_coupling",
)
# One of each class: where a check takes long, the others are slow ones.
ONE_A_CLASS = (
    "actnorm_per_channel",
    "checkerboard_split",
    "checkerboard_merge",
    "batch_norm_colour",
    "checkerboard_affine_coupling",
    "swap_halves",
    "on_halves",
    "unsqueeze",
    "masked_conv_conditional",
    "inverse_autoregressive",
    "on_first_channels",
    "on_data_conditional",
    "logit",
    "logistic_mixture_coupling",
    "logistic_mixture",
    "reverse",
    "permutation",
    "squeeze",
    "invertible_conv",
    "invertible_conv_lu",
    "additive_coupling",
    "affine_coupling",
    "gaussian_prior_conditional",
    "chain",
    "multiscale",
)
# Those that do not decode one position after the other: their derivatives take little time.
QUICKLY_SAMPLED = [name for name in ONE_A_CLASS if name not in ("masked_conv_conditional", "inverse_autoregressive")]
BY_CLASS = pytest.mark.parametrize("name", slow_but(ONE_A_CLASS, CASES))
# Of these, the simplest that fold the batch for a network.
WITH_A_NETWORK = (
    "affine_coupling_conditional",
    "gaussian_prior_conditional",
)
# These hold no floating-point parameters, and move values of any dtype.
WITHOUT_DTYPE = [
    name
    for name in CASES
    if name.startswith(
        ("reverse", "permutation", "squeeze", "unsqueeze", "checkerboard_split", "checkerboard_merge", "swap")
    )
]
WITH_DTYPE = [name for name in CASES if name not in WITHOUT_DTYPE]


def build(name, dtype=tf.float32, seed=0):
    """The bijector with random parameters; equal for both dtypes up to rounding."""
    bijector = CASES[name].make(tf.as_dtype(dtype).name)
    for index, variable in enumerate(bijector.trainable_variables):
        noise = tf.random.stateless_normal(variable.shape, [seed, index], dtype=tf.float64)
        variable.assign(variable + tf.cast(0.15 * noise, variable.dtype))
    return bijector


# For tests that only read: building takes longer than most of them.
built = functools.cache(build)


def random_event(shape, batch, dtype=tf.float32, seed=0):
    return tf.cast(tf.random.stateless_normal([*batch, *shape], [7, seed], dtype=tf.float64), dtype)


def data_of(name, batch, dtype=tf.float32):
    x = random_event(CASES[name].data, batch, dtype)
    if name == "logit":
        return 0.5 * tf.tanh(x)
    return 2.0 + tf.exp(0.3 * x) if name == "chain_of_foreign" else x


def latent_of(name, batch, dtype=tf.float32):
    z = random_event(CASES[name].latent, batch, dtype, seed=1)
    # Softplus has positive values alone; the latents of data are in its range.
    return built(name, dtype).inverse(data_of(name, batch, dtype)) if name == "chain_of_foreign" else z


def kwargs_of(name, batch, dtype=tf.float32):
    """`{'condition': ...}` if the bijector takes one."""
    shape = CASES[name].condition
    if shape is None:
        return {}
    if shape == "label":
        size = math.prod(batch)
        return {"condition": tf.reshape(tf.range(size) % NUM_CLASSES, batch)}
    return {"condition": random_event(shape, batch, dtype, seed=2)}


def tiled(tensor, times):
    return tf.repeat(tensor, times, axis=0)


def assert_close(actual, expected, tolerance):
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


PRECISIONS = (("float32", 3e-4), ("float64", 1e-9))


@pytest.mark.parametrize(
    ("name", "dtype", "tolerance"),
    [
        *slow_but(
            [(name, *precision) for name in ONE_A_CLASS for precision in PRECISIONS],
            [(name, *precision) for name in CASES for precision in PRECISIONS],
            rows=True,
        )
    ],
)
def test_inverts(name, dtype, tolerance):
    # tf.identity and a second bijector of equal parameters keep TFP's cache out of it.
    bijector, other = built(name, dtype), build(name, dtype)
    x, z, kwargs = data_of(name, [3], dtype), latent_of(name, [3], dtype), kwargs_of(name, [3], dtype)
    latent = bijector.inverse(x, **kwargs)
    data = bijector.forward(z, **kwargs)
    assert latent.dtype == data.dtype == dtype
    assert_close(other.forward(tf.identity(latent), **kwargs), x, tolerance)
    assert_close(other.inverse(tf.identity(data), **kwargs), z, tolerance)
    assert_close(
        bijector.inverse_log_det_jacobian(x, **kwargs),
        -other.forward_log_det_jacobian(tf.identity(latent), **kwargs),
        10 * tolerance,
    )


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        *((name, "inverse") for name in CASES),
        *slow_but([(name, "forward") for name in QUICKLY_SAMPLED], [(name, "forward") for name in CASES], rows=True),
    ],
)
def test_log_det_is_that_of_the_jacobian(name, direction):
    bijector = built(name, "float64")
    batch = [2]
    size = math.prod(CASES[name].data)
    start = (data_of if direction == "inverse" else latent_of)(name, batch, tf.float64)
    kwargs = kwargs_of(name, batch, tf.float64)
    log_det = getattr(bijector, f"{direction}_log_det_jacobian")(tf.identity(start), **kwargs)
    # Row i of the Jacobian is the gradient of output i: all rows at once, from copies of each image.
    copies = tiled(start, size)
    with tf.GradientTape() as tape:
        tape.watch(copies)
        out = getattr(bijector, direction)(copies, **{key: tiled(value, size) for key, value in kwargs.items()})
    rows = tf.reshape(tf.tile(tf.eye(size, dtype=tf.float64), [2, 1]), out.shape)
    jacobian = tf.reshape(tape.gradient(out, copies, output_gradients=rows), [2, size, size])
    assert_close(log_det, np.linalg.slogdet(jacobian)[1], 1e-9)


def test_one_case_of_each_class_is_differentiated_by_default():
    assert {type(built(name)) for name in ONE_A_CLASS} == {type(built(name)) for name in CASES}


@pytest.mark.parametrize(
    ("name", "direction"),
    slow_but(
        [*((name, "inverse") for name in ONE_A_CLASS), *((name, "forward") for name in QUICKLY_SAMPLED)],
        [(name, direction) for name in CASES for direction in ("inverse", "forward")],
        rows=True,
    ),
)
def test_first_and_second_derivatives_are_those_of_finite_differences(name, direction):
    """Of value and log-determinant, each weighted at random, along random directions of the input and of the parameters."""
    bijector = build(name, tf.float64)
    run = getattr(bijector, f"{direction}_and_log_det")
    start = (data_of if direction == "inverse" else latent_of)(name, [2], tf.float64)
    if name == "logistic_mixture_coupling_gated":
        start += 0.01  # else one of its units would stand 6e-8 from the kink of the derivative of elu
    kwargs = kwargs_of(name, [2], tf.float64)
    assert_derivatives(lambda x: run(x, **kwargs), [start], bijector.trainable_variables, ["value", "log_det"])


@ALL
@pytest.mark.parametrize("value", slow_but([1e4, 0.0], [1e4, -1e4, 0.0, 1.0]))
def test_finite_on_extreme_images(name, value):
    bijector = built(name)
    if not CASES[name].bounded:
        value = np.clip(value, -4.0, 4.0)
    if name == "chain_of_foreign":
        value = abs(value) + 2.0
    if name == "logit":
        value = np.clip(value, -0.5, 0.5)  # it is defined there
    x = tf.fill([2, *CASES[name].data], tf.constant(value, tf.float32))
    with tf.GradientTape() as tape:
        tape.watch(x)
        z, log_det = bijector.inverse_and_log_det(x, **kwargs_of(name, [2]))
        total = tf.reduce_sum(z) + tf.reduce_sum(log_det)
    for result in (z, log_det, tape.gradient(total, x)):
        assert np.isfinite(result).all()


def everything(bijector, x, z, kwargs):
    """Values, log-determinants and gradients of both directions."""
    variables = list(bijector.trainable_variables)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, z])
        latent, ildj = bijector.inverse(x, **kwargs), bijector.inverse_log_det_jacobian(x, **kwargs)
        data, fldj = bijector.forward(z, **kwargs), bijector.forward_log_det_jacobian(z, **kwargs)
        inverse_sum = tf.reduce_sum(tf.sin(latent)) + tf.reduce_sum(ildj)
        forward_sum = tf.reduce_sum(tf.sin(data)) + tf.reduce_sum(fldj)
    gradients = tape.gradient(inverse_sum, [x, *variables]) + tape.gradient(forward_sum, [z, *variables])
    return [latent, ildj, data, fldj], [tf.convert_to_tensor(g) for g in gradients if g is not None]


# A compiler takes long: for each class it compiles one case by default, and not those that take longest.
@pytest.mark.parametrize(
    "name",
    slow_but(
        set(ONE_A_CLASS) - {*LONG_TO_COMPILE, *LONG_OF_THEIR_CLASS},
        CASES,
    ),
)
def test_graph_and_compiled_equal_eager(name):
    bijector = built(name)
    x, z, kwargs = data_of(name, [2]), latent_of(name, [2]), kwargs_of(name, [2])
    signature = [tf.TensorSpec([None, *tensor.shape[1:]]) for tensor in (x, z)]
    condition = kwargs.get("condition")
    if condition is not None:
        signature.append(tf.TensorSpec([None, *condition.shape[1:]], condition.dtype))

    def call(x, z, condition=None):
        return everything(bijector, x, z, {} if condition is None else {"condition": condition})

    eager_values, eager_gradients = everything(bijector, tf.identity(x), tf.identity(z), kwargs)
    arguments = [x, z, *kwargs.values()]
    for function in (
        tf.function(call, input_signature=signature, autograph=False),
        tf.function(call, jit_compile=True, autograph=False),
    ):
        values, gradients = function(*arguments)
        for actual, expected in zip(values, eager_values, strict=True):
            assert_close(actual, expected, 1e-4)
        assert len(gradients) == len(eager_gradients)
        for actual, expected in zip(gradients, eager_gradients, strict=True):
            np.testing.assert_allclose(actual, expected, rtol=2e-3, atol=2e-3 * (1e-3 + np.abs(expected).max()))


@BY_CLASS
def test_batch_shapes(name):
    bijector = built(name)
    case = CASES[name]
    x, kwargs = data_of(name, [6]), kwargs_of(name, [6])
    latent, log_det = bijector.inverse_and_log_det(x, **kwargs)
    assert log_det.shape == [6]

    def shaped(tensor, batch):
        return tf.reshape(tensor[: math.prod(batch)], [*batch, *tensor.shape[1:]])

    def check(batch):
        batch_kwargs = {key: shaped(value, batch) for key, value in kwargs.items()}
        z, ildj = bijector.inverse_and_log_det(shaped(x, batch), **batch_kwargs)
        assert ildj.shape == batch and z.shape == [*batch, *case.latent]
        assert_close(z, shaped(latent, batch), 1e-4)
        assert_close(ildj, shaped(log_det, batch), 1e-3)
        y, fldj = bijector.forward_and_log_det(shaped(latent, batch), **batch_kwargs)
        assert fldj.shape == batch and y.shape == [*batch, *case.data]
        assert_close(y, shaped(x, batch), 1e-3)
        # The public methods reduce to the same shape.
        assert bijector.inverse_log_det_jacobian(shaped(x, batch), **batch_kwargs).shape == batch

    check([])
    check([2, 3])


@pytest.mark.parametrize("name", slow_but(WITH_A_NETWORK, CASES))
def test_batch_shapes_that_a_trace_does_not_know(name):
    """As `test_batch_shapes`, in a graph whose batch axes are unknown."""
    bijector, case = built(name), CASES[name]
    x, kwargs = data_of(name, [2, 3]), kwargs_of(name, [2, 3])
    condition = kwargs.get("condition")

    def traced(method, event):
        signature = [tf.TensorSpec([None, None, *event])]
        if condition is not None:
            signature.append(tf.TensorSpec([None, None, *condition.shape[2:]], condition.dtype))
        return tf.function(method, input_signature=signature, autograph=False)

    z, ildj = traced(bijector.inverse_and_log_det, case.data)(x, *kwargs.values())
    expected, expected_ildj = bijector.inverse_and_log_det(x, **kwargs)
    assert_close(z, expected, 1e-4)
    assert_close(ildj, expected_ildj, 1e-3)
    y, fldj = traced(bijector.forward_and_log_det, case.latent)(z, *kwargs.values())
    assert_close(y, x, 1e-3)
    assert_close(fldj, -expected_ildj, 1e-3)


@BY_CLASS
def test_works_in_tfp(name):
    bijector = build(name)
    case, batch = CASES[name], [2]
    x, kwargs = data_of(name, batch), kwargs_of(name, batch)
    z, ildj = built(name).inverse_and_log_det(x, **kwargs)
    event_ndims = len(case.data)

    chain = tfb.Chain([bijector, tfb.Scale(2.0)])
    chain_kwargs = {bijector.name: kwargs} if kwargs else {}
    assert_close(chain.inverse(x, **chain_kwargs), z / 2, 1e-5)
    scale_log_det = math.prod(case.data) * math.log(2)
    assert_close(chain.inverse_log_det_jacobian(x, event_ndims, **chain_kwargs), ildj - scale_log_det, 1e-4)
    assert_close(chain.forward(z / 2, **chain_kwargs), x, 1e-3)

    inverted = tfb.Invert(bijector)
    assert_close(inverted.forward(x, **kwargs), z, 1e-5)
    assert_close(inverted.forward_log_det_jacobian(x, event_ndims, **kwargs), ildj, 1e-4)
    assert_close(inverted.inverse(tf.identity(z), **kwargs), x, 1e-3)

    base = tfd.Sample(tfd.Normal(0.0, 1.0), case.latent)
    distribution = tfd.TransformedDistribution(base, bijector)
    assert distribution.event_shape == case.data
    assert distribution.batch_shape == []
    assert distribution.event_shape_tensor().numpy().tolist() == list(case.data)
    log_prob = distribution.log_prob(tf.identity(x), bijector_kwargs=kwargs)
    assert log_prob.shape == batch
    assert_close(log_prob, base.log_prob(z) + ildj, 1e-4)
    for sample_shape in ([2], [2, 3]):
        sample = distribution.sample(sample_shape, seed=1, bijector_kwargs=kwargs_of(name, sample_shape))
        assert sample.shape == [*sample_shape, *case.data]
    if not kwargs:
        assert distribution.sample(seed=1).shape == case.data


@BY_CLASS
def test_every_trainable_variable_gets_a_gradient(name):
    bijector = built(name)
    x, kwargs = data_of(name, [2]), kwargs_of(name, [2])
    distribution = tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), CASES[name].latent), bijector)
    variables = distribution.trainable_variables
    assert len({id(variable) for variable in variables}) == len(variables)
    assert {id(v) for v in variables} == {id(v) for v in bijector.trainable_variables}
    assert bool(variables) == (name in WITH_DTYPE and not name.startswith(("logit", "batch_norm")))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(distribution.log_prob(x, bijector_kwargs=kwargs))
    for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
        assert gradient is not None, variable.name
        assert np.abs(gradient).max() > 0, variable.name


@ALL
def test_event_shapes(name):
    bijector = built(name)
    case = CASES[name]
    assert bijector.inverse_event_shape(case.data) == case.latent
    assert bijector.forward_event_shape(case.latent) == case.data
    assert bijector.inverse_event_shape([7, *case.data]) == [7, *case.latent]
    assert bijector.forward_event_shape([7, *case.latent]) == [7, *case.data]
    assert tf.convert_to_tensor(bijector.inverse_event_shape_tensor(case.data)).numpy().tolist() == list(case.latent)
    assert tf.convert_to_tensor(bijector.forward_event_shape_tensor(case.latent)).numpy().tolist() == list(case.data)
    assert bijector.inverse_min_event_ndims == len(case.data)
    assert bijector.forward_min_event_ndims == len(case.latent)


@BY_CLASS
def test_checkpoint_round_trip(name, tmp_path):
    saved, restored = build(name), build(name, seed=1)
    x, kwargs = data_of(name, [2]), kwargs_of(name, [2])
    expected = saved.inverse_and_log_det(x, **kwargs)
    if name.startswith("batch_norm"):
        saved.mean.assign_add(tf.ones_like(saved.mean))
        expected = saved.inverse_and_log_det(x, **kwargs)
    if saved.trainable_variables or name.startswith("batch_norm"):
        assert np.abs(restored.inverse(x, **kwargs) - expected[0]).max() > 1e-3
    path = tf.train.Checkpoint(bijector=saved).save(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(bijector=restored).restore(path).assert_existing_objects_matched()
    for actual, value in zip(restored.inverse_and_log_det(x, **kwargs), expected, strict=True):
        np.testing.assert_array_equal(actual, value)


@ALL
def test_says_what_it_is(name):
    bijector = built(name)
    assert type(bijector).__name__ in repr(bijector)
    assert bijector.name in repr(bijector)
    assert type(bijector).__name__ in str(bijector) or bijector.name in str(bijector)
    assert bijector.validate_args is False
    assert bijector.holds_blocks == isinstance(bijector, OnFirstChannels | OnData)


def test_a_multiscale_flow_says_what_leaves_where():
    text = repr(built("multiscale"))
    assert len(text.splitlines()) == 1 + len(built("multiscale").levels)
    for index, level in enumerate(built("multiscale").levels):
        prior = "N(0, I)" if level.prior is None else level.prior.name
        line = text.splitlines()[1 + index]
        assert (
            line.startswith(f"  level {index}: ")
            and level.flow.name in line
            and "leaves under" in line
            and prior in line
        )


# What an argument that is left out means, in every class that has it.
DEFAULTS = {
    "seed": 0,
    "validate_args": False,
    "dtype": tf.float32,
    "event_ndims": 3,
    "conditional": False,
    "transformed_channels": None,
    "conditioning_half": "first",
    "parameter_order": "interleaved",
    "factor": 2,
    "pattern": "columns",
    "form": "shift_then_scale",
    "initial_scale": 1.0,
    "log_scale_factor": 3.0,
    "identity_noise": None,
    "diagonal": "sign_log",
    "min_log_scale": -7.0,
    "affine": True,
    "jit_compile": True,
    "log_scale": 0.0,
    "part": "all",
    "momentum": 0.9,
    "epsilon": 1e-4,
    "initial_rescaling": 1.0,
}
DEFAULTS_OF = {
    "AffineCoupling": {"scale": "sigmoid", "order": "shift_then_scale"},
    "CheckerboardAffineCoupling": {
        "conditioning_colour": "even",
        "scale": "rescaled_tanh",
        "order": "shift_then_scale",
        "parameter_order": "contiguous",
        "initial_rescaling": 0.0,
    },
    "LogisticMixtureCoupling": {"scale": "tanh", "margin": 0.0},
    "LogisticMixtureLogitCDF": {"shift": 0.0},
    "Logit": {"margin": 0.05},
    "GaussianPrior": {"conditional": True},
    "Squeeze": {"order": "channel_first"},
    "Unsqueeze": {"order": "channel_first"},
}


@BY_CLASS
def test_arguments_that_are_left_out(name):
    kind = type(built(name))
    signature = inspect.signature(kind.__init__).parameters
    defaults = {key: value.default for key, value in signature.items() if value.default is not inspect.Parameter.empty}
    assert re.sub("[^a-z]", "", defaults.pop("name")) == kind.__name__.lower()
    expected = {**DEFAULTS, **DEFAULTS_OF.get(kind.__name__, {})}
    assert {key: expected.get(key, "unknown") for key in defaults} == defaults


@ALL
def test_a_jacobian_is_said_to_be_constant_if_it_is(name):
    bijector, kwargs = built(name), kwargs_of(name, [2])
    x = data_of(name, [2])
    log_dets = [bijector.inverse_and_log_det(value, **kwargs)[1] for value in (x, 0.9 * x)]
    is_constant = np.allclose(*log_dets, atol=1e-4)
    assert is_constant or not bijector.is_constant_jacobian
    # Whether a network or a condition matters to the log-determinant is not asked.
    assert not is_constant or bijector.is_constant_jacobian or hasattr(bijector, "network") or kwargs


@pytest.mark.parametrize("name", WITHOUT_DTYPE)
def test_moves_values_of_any_dtype(name):
    bijector = CASES[name].make("float32")
    assert bijector.dtype is None
    for dtype in (tf.float16, tf.int32):
        assert bijector.inverse(tf.ones([2, *CASES[name].data], dtype)).dtype == dtype


@pytest.mark.parametrize("name", WITH_DTYPE)
def test_refuses_another_dtype(name):
    bijector = built(name)
    x, kwargs = data_of(name, [2], tf.float64), kwargs_of(name, [2], tf.float32)
    for method in (bijector.inverse, bijector.inverse_log_det_jacobian, bijector.inverse_and_log_det):
        with pytest.raises((TypeError, ValueError), match=r"float32.*float64"):
            method(x, **kwargs)
