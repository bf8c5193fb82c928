"""Integer maps of the bijectors: each is undone exactly, and its real values are those of the bijector."""

import inspect

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfflows import bijectors
from tfflows.bijectors import (
    ActNorm,
    AdditiveCoupling,
    AffineCoupling,
    BatchNorm,
    Bijector,
    Chain,
    CheckerboardAffineCoupling,
    CheckerboardMerge,
    CheckerboardSplit,
    InvertibleConv,
    InvertibleConvLU,
    LogisticMixtureCoupling,
    LogisticMixtureLogitCDF,
    Logit,
    OnFirstChannels,
    OnHalves,
    Permutation,
    Reverse,
    Squeeze,
    SwapHalves,
    Unsqueeze,
)
from tfflows.compression import FlowCodec, integer_map  # noqa: F401  (the codec registers all maps)
from tfflows.compression.coder import Stack
from tfflows.compression.maps.base import Run
from tfflows.compression.maps.compositions import ChainMap
from tfflows.compression.maps.invertible_conv import exact_lu, exact_matmul
from tfflows.compression.maps.plan import Plan
from tfflows.compression.network import Networks
from tfflows.compression.protocol import CannotCodeError

tfb = tfp.bijectors
SHAPE = (4, 6, 4)

# Base classes; what codes a part that leaves, in `MultiScale`; and what only latent-variable models use, whose codec runs it.
WITHOUT = {"Bijector", "Coupling", "GaussianPrior", "InverseAutoregressive"}


def random(*shape, seed=0, spread=0.3):
    return (spread * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def actnorm(form, shape=(4,)):
    made = ActNorm(shape, form=form)
    made.bias.assign(random(*shape))
    (made.log_scale if hasattr(made, "log_scale") else made.scale).assign_add(random(*shape, seed=1))
    return made


def batch_norm(part):
    made = BatchNorm(4, part=part)
    made.mean.assign(random(*made.mean.shape))
    made.variance.assign(1 + random(*made.variance.shape, seed=1))
    return made


def conv(kind, channels=4, **settings):
    made = kind(channels, seed=3, **settings)
    for number, variable in enumerate(made.trainable_variables):
        variable.assign_add(random(*variable.shape, seed=number, spread=0.1))
    return made


def linear(outputs, seed=0, inputs=2):
    """A network of two channels, or more."""
    weight = random(inputs, outputs, seed=seed, spread=1.0).astype(np.float64)
    return lambda x: tf.tanh(tf.linalg.matmul(x, tf.cast(weight, x.dtype)))


BIJECTORS = {
    **{form: actnorm(form) for form in ("shift_then_scale", "exp_scale_then_shift", "positive_scale_then_shift")},
    "scale_then_shift": actnorm("scale_then_shift"),
    "per_activation": actnorm("positive_scale_then_shift", SHAPE),
    **{f"batch_norm_{part}": batch_norm(part) for part in ("all", "first", "second", "even", "odd")},
    "negative_scale": tfb.Scale(-0.5),
    "dense": conv(InvertibleConv),
    "lu": conv(InvertibleConvLU),
    "lu_direct": conv(InvertibleConvLU, diagonal="direct"),
    "dense_on_several_grids": Chain([actnorm("positive_scale_then_shift", SHAPE), conv(InvertibleConv)]),
    "reverse": Reverse(),
    "permutation": Permutation([2, 0, 3, 1]),
    "swap": SwapHalves(),
    "squeeze": Chain([Squeeze(), Unsqueeze(order="position_first")]),
    "checkerboard": Chain([CheckerboardSplit("checkerboard"), CheckerboardMerge()]),
    "halves": OnHalves(conv(InvertibleConv, 2), Reverse()),
    "first_channels": OnFirstChannels(3, conv(InvertibleConv, 3)),
    "additive": AdditiveCoupling(linear(2)),
    "affine": AffineCoupling(linear(4)),
    "affine_second": AffineCoupling(linear(4), "tanh", "scale_then_shift", "contiguous", conditioning_half="second"),
    "affine_exp": AffineCoupling(linear(4), "exp"),
    "affine_rescaled": AffineCoupling(linear(4), "rescaled_tanh", initial_rescaling=0.7),
    "checkerboard_even": CheckerboardAffineCoupling(linear(8, inputs=4), "even", initial_rescaling=-0.8),
    "checkerboard_odd": CheckerboardAffineCoupling(
        linear(8, inputs=4), "odd", "exp", "scale_then_shift", "interleaved"
    ),
    "realnvp_squeezes": Chain([Squeeze(), Unsqueeze(), Squeeze(order="even_first")]),
    "logit": Logit(margin=0.05),
    "mixture": LogisticMixtureCoupling(linear(2 * 11), 3),
    "given_mixtures": LogisticMixtureLogitCDF(random(4, 3), random(4, 3, seed=1), random(4, 3, seed=2), 0.3, random(4)),
    "mixture_with_margin": LogisticMixtureCoupling(linear(2 * 11), 3, "exp", None, 0.05),
}


def planned(bijector, grid, x=None):
    """The map of a bijector, its grid chosen by x."""
    plan = Plan(Networks(), 2.0**14, [], 8)
    if x is not None:
        plan.sample, plan.run = x, Run(Stack(), len(x))
    return ChainMap(plan.build(bijector, grid), grid), plan


@pytest.mark.parametrize("name", BIJECTORS)
def test_maps_are_undone_and_agree_with_their_bijectors(name):
    bijector, grid = BIJECTORS[name], np.full(SHAPE, 2.0**-16)
    rng = np.random.default_rng(1)
    x = rng.integers(-(2**15), 2**15, [5, *SHAPE])
    made, plan = planned(bijector, grid, x)
    stack = Stack()
    run = Run(stack, 5)
    y = made.encode(x, run)
    assert made.grid.shape == y.shape[1:]
    expected, log_det = bijector.inverse(x * grid), None
    np.testing.assert_allclose(y * made.grid, expected, atol=4e-3)
    # What the map takes and the change of the grid are the log-determinant.
    log_det = bijector.inverse_log_det_jacobian(tf.constant(x * grid, tf.float32), event_ndims=3)
    change = np.log2(made.grid).sum() - np.log2(grid).sum()
    np.testing.assert_allclose(change - run.bits, np.broadcast_to(log_det, [5]) / np.log(2), atol=0.6)
    # Again on the grid that was chosen, from the words alone.
    again = Plan(Networks(), 2.0**14, plan.regrids, 8)
    other = ChainMap(again.build(bijector, grid), grid)
    assert again.fingerprint == plan.fingerprint
    np.testing.assert_array_equal(other.decode(y, Run(stack, 5)), x)
    assert stack.holds_noise_alone()


def test_sigmoids_end_on_the_integers_of_the_unit_interval():
    bijector, grid = tfb.Invert(tfb.Sigmoid()), np.full(SHAPE, 2.0**-12)
    x = (2.0**12 * np.random.default_rng(0).standard_normal([5, *SHAPE])).astype(np.int64)
    made, _ = planned(bijector, grid, x)
    stack = Stack()
    u = made.encode(x, Run(stack, 5))
    assert u.min() >= 0 and u.max() < 256
    np.testing.assert_allclose((u + 0.5) / 256, tf.sigmoid(x * grid), atol=3 / 512)
    np.testing.assert_array_equal(made.decode(u, Run(stack, 5)), x)
    assert stack.holds_noise_alone()
    with pytest.raises(CannotCodeError, match="too far out"):
        made.encode(x + (20 << 12), Run(Stack(), 5))


def test_every_bijector_of_the_library_has_a_map_or_a_reason():
    names = [name for name in bijectors.__all__ if inspect.isclass(getattr(bijectors, name))]
    kinds = {name: getattr(bijectors, name) for name in names if issubclass(getattr(bijectors, name), Bijector)}
    assert set(kinds) >= WITHOUT
    missing = {name for name, kind in kinds.items() if integer_map.dispatch(kind) is integer_map.dispatch(object)}
    assert missing == WITHOUT


@pytest.mark.parametrize(
    ("bijector", "message"),
    [
        (tfb.Exp(), r"'exp' \(Exp\) has no integer map"),
        (tfb.Invert(tfb.Exp()), "has no integer map"),
        (AffineCoupling(linear(4), scale=tf.nn.softplus), "of which there is no table"),
        (tfb.Scale(0.0), "zero or not finite"),
    ],
)
def test_what_has_no_map_is_named(bijector, message):
    with pytest.raises(CannotCodeError, match=message):
        planned(bijector, np.full(SHAPE, 2.0**-16))


def test_a_coupling_that_needs_labels_is_named():
    made, _ = planned(AffineCoupling(lambda x, labels: linear(4)(x), conditional=True), np.full(SHAPE, 2.0**-16))
    with pytest.raises(CannotCodeError, match="'affine_coupling' depends on labels"):
        made.encode(np.zeros([1, *SHAPE], np.int64), Run(Stack(), 1))


def test_a_singular_weight_is_named():
    made = InvertibleConv(4)
    made.weight.assign(tf.ones([4, 4]))
    with pytest.raises(CannotCodeError, match=r"has no inverse|all but singular"):
        planned(made, np.full(SHAPE, 2.0**-16))


def test_integers_that_are_too_large_are_refused():
    made, _ = planned(AffineCoupling(linear(4)), np.full(SHAPE, 2.0**-16), np.zeros([1, *SHAPE], np.int64))
    with pytest.raises(CannotCodeError, match="too unlikely"):
        made.encode(np.full([1, *SHAPE], 1 << 41), Run(Stack(), 1))


def test_elimination_gives_back_the_matrix():
    matrix = np.random.default_rng(0).standard_normal([7, 7])
    order, lower, upper = exact_lu(matrix)
    np.testing.assert_allclose(exact_matmul(lower, upper), matrix[order], atol=1e-12)
    assert np.array_equal(np.tril(lower), lower) and np.array_equal(np.triu(upper), upper)
    assert np.array_equal(np.diag(lower), np.ones(7)) and np.abs(lower).max() <= 1
