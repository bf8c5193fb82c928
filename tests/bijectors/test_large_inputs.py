"""Finite input, however large, gives finite output or an error that names the bijector."""

import functools
import math

import numpy as np
import pytest
import tensorflow as tf

from tests.bijectors.test_all_bijectors import CASES, ONE_A_CLASS, build, kwargs_of
from tests.slow import slow_but
from tfflows.bijectors import (
    AdditiveCoupling,
    AffineCoupling,
    Bijector,
    GaussianPrior,
    InverseAutoregressive,
    InvertibleConv,
    InvertibleConvLU,
    LogisticMixtureCoupling,
    LogisticMixtureLogitCDF,
    MaskedConv,
)
from tfflows.math.coupling import LOG_SCALES
from tfflows.math.masked_convolution import causal_mask, convolve
from tfflows.math.sequential_inverse import sequential_inverse
from tfflows.networks import MaskedNetwork
from tfflows.tracing.finite import NotFiniteError

SHAPE = [2, 2, 2, 4]
BOTH = ("inverse", "forward")


def finite_or_named(bijector, direction, x, **kwargs):
    """Whether the output is finite, and its gradient too if x is not at the end of float32; else an error names a bijector."""
    error = None
    try:
        with tf.GradientTape() as tape:
            tape.watch(x)
            value, log_det = getattr(bijector, f"{direction}_and_log_det")(x, **kwargs)
            total = tf.reduce_sum(value / 1e30) + tf.reduce_sum(log_det / 1e30)
    except NotFiniteError as raised:
        error = raised
    if error is not None:
        assert isinstance(error.part, tf.Module) and error.part.name in str(error)
        return False
    assert np.isfinite(value).all() and np.isfinite(log_det).all()
    assert np.isfinite(tape.gradient(total, x)).all() or np.abs(x).max() > 1e30
    return True


@pytest.mark.parametrize("name", slow_but(ONE_A_CLASS, CASES))
def test_large_inputs(name):
    bijector, case = build(name), CASES[name]
    for direction, shape in zip(BOTH, (case.data, case.latent), strict=True):
        for value in (1e4, -1e4, 3e38, -3e38):
            finite_or_named(bijector, direction, tf.fill([2, *shape], value), **kwargs_of(name, [2]))


COUPLINGS = {
    "additive": (AdditiveCoupling, 2),
    **{
        f"affine_{scale}_{order}": (functools.partial(AffineCoupling, scale=scale, order=order), 4)
        for scale in LOG_SCALES
        for order in ("shift_then_scale", "scale_then_shift")
    },
    **{
        f"mixture_{scale}_{bound}_{margin}": (
            functools.partial(
                LogisticMixtureCoupling, num_components=3, scale=scale, min_log_scale=bound, margin=margin
            ),
            22,
        )
        for scale, bound, margin in [("tanh", -7.0, 0.0), ("exp", None, 0.0), ("tanh", -7.0, 0.05)]
    },
    "prior": (functools.partial(GaussianPrior, conditional=False), 8),
    "autoregressive": (InverseAutoregressive, 8),
}


# The root finder takes all its steps where there is no root.
@pytest.mark.parametrize("name", slow_but(set(COUPLINGS) - {"mixture_exp_None_0.0"}, COUPLINGS))
def test_large_outputs_of_a_network(name):
    """+-100: all scales, all shifts, and some of each."""
    make, channels = COUPLINGS[name]
    for signs in ([1.0], [-1.0], [1.0, -1.0], [1.0] * (channels // 2) + [-1.0] * (channels // 2)):
        parameters = 100 * tf.tile(tf.reshape(tf.constant(signs), [1, 1, 1, -1]), [*SHAPE[:3], channels // len(signs)])
        bijector = make(lambda *inputs, parameters=parameters: parameters if inputs else parameters[:1])
        for direction in BOTH:
            finite_or_named(bijector, direction, tf.random.stateless_normal(SHAPE, [0, 1]))


MIXTURES = [name for name in CASES if name.startswith("logistic_mixture_coupling")]


def ends_of_float32(shape):
    """Events whose first half, second half or both are at the ends of float32, of one sign or of both."""
    normal = np.random.default_rng(0).normal(size=[2, *shape]).astype(np.float32)
    first = np.arange(shape[-1]) < shape[-1] // 2
    for value in (-3e38, 1e37, 3e38):
        for half in (first, ~first, first | ~first):
            yield np.where(half, np.float32(value), normal)
        yield np.where(normal > 0, np.float32(value), np.float32(-value))


@pytest.mark.parametrize(
    ("name", "direction"),
    slow_but(
        [("logistic_mixture_coupling", "inverse")],
        [(name, direction) for name in MIXTURES for direction in BOTH],
        rows=True,
    ),
)
def test_gradients_of_mixtures_at_the_ends_of_float32(name, direction):
    """Also those of what the network computes from the half that passes unchanged."""
    bijector, case, num_finite = build(name), CASES[name], 0
    for x in map(tf.constant, ends_of_float32(case.data if direction == "inverse" else case.latent)):
        try:
            with tf.GradientTape() as tape:
                tape.watch(x)
                value, log_det = getattr(bijector, f"{direction}_and_log_det")(x, **kwargs_of(name, [2]))
                total = tf.reduce_sum(value / 1e30) + tf.reduce_sum(log_det / 1e30)
        except NotFiniteError:
            continue  # its message is checked above
        num_finite += 1
        gradients = tape.gradient(total, [x, *bijector.trainable_variables])
        assert all(np.isfinite(gradient).all() for gradient in gradients)
    assert num_finite


def test_the_scalar_mixture_at_the_ends_of_float32():
    narrow, wide = (LogisticMixtureLogitCDF([0.0, 0.0], [-1.0, 1.0], [log_scale] * 2) for log_scale in (-1.0, 1.0))
    for direction, finite, other in (("inverse", wide, narrow), ("forward", narrow, wide)):
        for value in (3e38, -3e38):
            assert finite_or_named(finite, direction, tf.constant([value]))
            assert not finite_or_named(other, direction, tf.constant([value]))  # beyond float32


@pytest.mark.parametrize("direction", BOTH)
@pytest.mark.parametrize("matrix", [[[0.0, 0.0], [0.0, 0.0]], [[1.0, 2.0], [2.0, 4.0]], [[math.nan, 0.0], [0.0, 1.0]]])
def test_a_singular_matrix(direction, matrix):
    conv = InvertibleConv(2, name="third")
    conv.weight.assign(matrix)
    with pytest.raises(NotFiniteError, match="weight of InvertibleConv 'third' has no inverse"):
        getattr(conv, direction)(tf.ones([1, 2, 2, 2]))


def test_a_singular_matrix_in_a_graph():
    conv = InvertibleConv(2, name="third")
    conv.weight.assign([[1.0, 2.0], [2.0, 4.0]])
    with pytest.raises(tf.errors.InvalidArgumentError, match="weight_of_third"):
        tf.function(conv.forward, autograph=False)(tf.ones([1, 2, 2, 2]))


@pytest.mark.parametrize("direction", BOTH)
def test_singular_factors(direction):
    conv = InvertibleConvLU(2, diagonal="direct", name="third")
    conv.diagonal.assign([1.0, 0.0])
    with pytest.raises(NotFiniteError, match=f"The {direction} of InvertibleConvLU 'third' is not finite"):
        getattr(conv, direction)(tf.ones([1, 2, 2, 2]))


def test_solving_an_autoregressive_flow_gets_over_what_is_not_settled():
    """The first guesses of the last numbers overflow, the solution does not."""
    weight = tf.constant(np.triu(np.full([6, 6], 0.05), 1), tf.float32)
    flow = InverseAutoregressive(lambda y: tf.concat([y @ weight, y @ weight - 10.0], axis=-1))
    x = tf.reshape(tf.constant([1e4, -1e4, 2e4, -3e4, 1e4, 1e4]), [1, 1, 1, 6])
    assert finite_or_named(flow, "forward", x)
    y = flow.forward(x)
    assert np.abs(y).max() < 2
    np.testing.assert_allclose(flow.inverse_and_log_det(y)[0], x, rtol=1e-5)


def test_the_inverse_of_a_masked_convolution_sees_nothing_outside_of_the_image():
    """What would be decoded there is infinite, for large pixels at the edges."""

    def decode(latents, hidden):
        return (latents - 1.0) * tf.exp(-hidden), hidden[..., :0]

    for order in ("A", "B"):
        for place in zip(*np.nonzero(causal_mask((3, 3), order)[..., 0, 0]), strict=True):
            kernel = np.zeros([3, 3, 1, 1], np.float32)
            kernel[place] = 1.0
            image = np.zeros([16, 16, 1], np.float32)
            image[np.arange(16), np.arange(16)] = -1e4
            image = tf.reshape(image, [16, 4, 4, 1])
            kernel = tf.constant(kernel)
            hidden = convolve(image, kernel, "masked", order)
            latents = image * tf.exp(hidden) + 1.0
            seen = tf.reduce_any(hidden != 0, axis=[1, 2, 3])  # then the latents overflow, and nothing comes back
            back, _ = sequential_inverse(latents, kernel, "masked", order, decode)
            np.testing.assert_array_equal(back[~seen], image[~seen])
            assert not seen.numpy().all()


def test_masked_convolutions_name_themselves():
    network = MaskedNetwork(filters=4, order="A", width=6)
    network.build([None, 4, 4, 2])
    for index, variable in enumerate(network.variables):
        variable.assign_add(0.3 * tf.random.stateless_normal(variable.shape, [index, 0]))
    flow: Bijector = MaskedConv(network, jit_compile=False, name="of_the_first_level")
    with pytest.raises(NotFiniteError, match="forward of MaskedConv 'of_the_first_level'"):
        flow.forward(tf.fill([1, 4, 4, 2], 1e4))
