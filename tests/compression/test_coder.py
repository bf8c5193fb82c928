"""The stack, distributions on integers, ratios, functions of the same bits everywhere: inverses, rates, refusals."""

import hashlib
import math

import numpy as np
import pytest
from scipy import special, stats

from tfflows.compression import exact
from tfflows.compression.bins import GAUSSIAN, GAUSSIAN_NOISE, LOGISTIC, PRECISION
from tfflows.compression.coder import MAX_BASE, Stack, StackExhaustedError, quantize_cdf, random_masks
from tfflows.compression.ratios import divide, multiply, ratios


def net_bits(stack):
    return stack.num_bits - 32 * stack.num_noise_words - 32


def test_a_stack_gives_back_what_was_pushed_in_the_opposite_order():
    rng, stack, pushed = np.random.default_rng(0), Stack(), []
    for bases in (10, 1, 2, MAX_BASE, rng.integers(1, 5, [7, 9]), rng.integers(2, MAX_BASE, 1000), np.zeros([0], int)):
        values = rng.integers(0, bases, np.shape(bases) or 50)
        stack.push(values, bases)
        pushed.append((values, bases))
    received = Stack(stack.words())
    for values, bases in reversed(pushed):
        popped = received.pop(bases, None if np.ndim(bases) else 50)
        np.testing.assert_array_equal(popped, values)
        assert popped.dtype == np.int64
    assert received.holds_noise_alone()
    with pytest.raises(StackExhaustedError, match=r"fewer bits"):
        received.pop(2, 50)


@pytest.mark.parametrize(
    ("values", "bases"),
    [([3], 3), ([-1], 3), ([0, 5], [1, 5]), ([0], 0), ([0], MAX_BASE + 1), ([0, 0], [2, MAX_BASE + 1])],
)
def test_values_out_of_range_are_refused_and_change_nothing(values, bases):
    stack = Stack()
    with pytest.raises(ValueError, match=r"0 to base - 1"):
        stack.push(np.array(values), np.array(bases) if np.ndim(bases) else bases)
    assert stack.holds_noise_alone()


@pytest.mark.parametrize("words", [[], [1, 0]])
def test_words_that_no_stack_gave_are_refused(words):
    with pytest.raises(StackExhaustedError, match=r"no words"):
        Stack(np.array(words, np.uint32))


def test_noise_is_as_much_as_is_needed_and_comes_back():
    stack = Stack()
    popped = [stack.pop(1 << 12, 100), stack.pop(np.full(300, 999)), stack.pop_bits(np.arange(50))]
    before = stack.copy()
    assert popped[0].max() < 1 << 12 and len(np.unique(popped[0])) > 90
    assert 0 <= 32 * stack.num_noise_words - (1200 + 300 * math.log2(999) + 1225) < 800
    for other in (stack, before):
        other.push_bits(popped[2], np.arange(50))
        other.push(popped[1], 999)
        assert not other.holds_noise_alone()
        other.push(popped[0], 1 << 12)
        assert other.holds_noise_alone()


def test_symbols_cost_what_their_probabilities_say():
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet(np.full(256, 0.05), 700)
    cdf = np.concatenate([np.zeros([700, 1]), np.cumsum(probabilities, axis=1)], axis=1)
    cdfs = quantize_cdf(cdf, precision=16)
    assert cdfs[:, 0].max() == 0 and cdfs[:, -1].min() == 1 << 16 and np.diff(cdfs).min() >= 1
    symbols = np.array([rng.choice(256, p=row) for row in probabilities])
    stack = Stack()
    stack.push_symbols(symbols, cdfs, precision=16)
    ideal = -np.log2(probabilities[np.arange(700), symbols]).sum()
    assert -32 <= net_bits(stack) - ideal < 0.02 * 700 + 64
    np.testing.assert_array_equal(stack.pop_symbols(cdfs, precision=16), symbols)
    assert stack.holds_noise_alone()


@pytest.mark.parametrize(
    ("family", "standard"), [(GAUSSIAN, stats.norm), (LOGISTIC, stats.logistic)], ids=["gaussian", "logistic"]
)
def test_binned_distributions_cost_what_their_densities_say(family, standard):
    rng, count = np.random.default_rng(2), 20_000
    scale, mean, z = (
        np.exp(rng.uniform(5, 14, count)),
        1e6 * rng.normal(size=count),
        standard.rvs(size=count, random_state=3),
    )
    x = np.floor(mean + scale * z).astype(np.int64)
    stack = Stack()
    family.push(stack, x, mean, scale)
    ideal = (np.log2(scale) - standard.logpdf(z) / math.log(2)).sum()
    assert abs(net_bits(stack) - ideal) < 0.002 * count
    np.testing.assert_array_equal(family.pop(stack, mean, scale), x)
    assert stack.holds_noise_alone()


@pytest.mark.parametrize("family", [GAUSSIAN, LOGISTIC], ids=["gaussian", "logistic"])
def test_any_integer_is_coded_under_any_binned_distribution(family):
    x = np.array([0, -1, 1, 2**44, -(2**44), 12345, -(10**9)])
    for scale in (1e-3, 1.0, 77.7, 2.0**30):
        for mean in (0.0, -0.37, 1e9):
            stack = Stack()
            family.push(stack, x, np.full(7, mean), np.full(7, scale))
            np.testing.assert_array_equal(family.pop(stack, np.full(7, mean), np.full(7, scale)), x)
            assert stack.holds_noise_alone()


def test_noise_that_is_popped_is_gaussian_and_comes_back():
    stack, scale = Stack(), np.full(50_000, 3000.0)
    noise = GAUSSIAN_NOISE.pop(stack, np.full(50_000, 7.0), scale)
    assert np.abs(noise - 7).max() < 4.3 * 3000
    assert stats.kstest((noise - 6.5) / 3000, "norm").pvalue > 0.01
    GAUSSIAN_NOISE.push(stack, noise, np.full(50_000, 7.0), scale)
    assert stack.holds_noise_alone()
    with pytest.raises(ValueError, match="does not reach"):
        GAUSSIAN_NOISE.push(stack, noise + 10**6, np.full(50_000, 7.0), scale)


def test_masked_noise_is_gaussian_whatever_was_pushed_before():
    count = 4000
    scale, stack = np.full(count, 1000.0), Stack()
    before = np.full(count, 1500)
    GAUSSIAN_NOISE.push(stack, before, np.zeros(count), scale)
    words, masks = stack.words(), random_masks(np.array([1, 2], np.uint64), (count // 2,), PRECISION).ravel()
    assert masks.min() >= 0 and masks.max() < 1 << PRECISION
    noise = GAUSSIAN_NOISE.pop(stack, np.zeros(count), scale, masks)
    assert stats.kstest(noise / 1000, "norm").pvalue > 1e-3
    GAUSSIAN_NOISE.push(stack, noise, np.zeros(count), scale, masks)
    np.testing.assert_array_equal(stack.words()[-len(words) + 8 :], words[8:])
    # Without them the noise is what was pushed.
    np.testing.assert_array_equal(GAUSSIAN_NOISE.pop(stack, np.zeros(count), scale), before)


def test_masks_have_the_bits_that_they_had_and_depend_on_seed_and_stream():
    made = random_masks(np.array([5, 2**63], np.uint64), (2, 3), 18, stream=1)
    assert _digest(made.astype("<i8")) == "ff75aab6a12b229f"
    streams = [
        random_masks(np.array([seed], np.uint64), (1000,), 18, stream) for seed, stream in ((0, 0), (0, 1), (1, 0))
    ]
    assert len(np.unique(streams)) > 2950


def test_ratios_are_near_their_scales_and_undone():
    rng = np.random.default_rng(4)
    x = rng.integers(-(2**40), 2**40, [5, 300])
    scales = np.exp(rng.uniform(-8.5, 7, x.shape))
    numerators, shifts = ratios(scales)
    np.testing.assert_allclose(numerators / 2.0**shifts, scales, rtol=2**-10)
    stack = Stack()
    products = multiply(stack, x, numerators, shifts)
    np.testing.assert_allclose(products, x * (numerators / 2.0**shifts), atol=1)
    ideal = -np.log2(numerators / 2.0**shifts).sum()
    assert abs(net_bits(stack) - ideal) < 0.001 * x.size + 64
    assert 32 * stack.num_noise_words < max(0, -ideal) + 256 * 24 + 400
    np.testing.assert_array_equal(divide(stack, products, numerators, shifts), x)
    assert stack.holds_noise_alone()


@pytest.mark.parametrize("scale", [0.0, 1e-9, 1e9, np.inf])
def test_ratios_of_extreme_scales_stay_in_range(scale):
    numerators, shifts = ratios(np.full([3], scale))
    stack, x = Stack(), np.array([2**39, -(2**39), 7])
    products = multiply(stack, x, numerators, shifts)
    np.testing.assert_array_equal(divide(stack, products, numerators, shifts), x)


def test_exact_functions_are_close_to_those_of_scipy():
    x = np.linspace(-40, 40, 4001)
    for ours, theirs, tolerance in (
        (exact.exp(x), np.exp(x), 1e-15),
        (exact.sigmoid(x), special.expit(x), 1e-15),
        (exact.softplus(x), np.logaddexp(0, x), 1e-15),
        (exact.log1p(np.exp(-np.abs(x))), np.log1p(np.exp(-np.abs(x))), 1e-15),
    ):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance)
    np.testing.assert_allclose(exact.log(np.exp(x)), x, rtol=1e-15, atol=4e-16)
    np.testing.assert_allclose(exact.tanh(x), np.tanh(x), atol=1e-15)
    np.testing.assert_allclose(exact.normal_cdf(x / 5), special.ndtr(x / 5), atol=2e-15)
    np.testing.assert_array_equal(exact.round_to([0.3, -0.126, 0.125], 2), [0.25, -0.25, 0.25])


def test_exact_functions_and_tables_have_the_bits_that_they_had():
    # What files were written with; another value makes them unreadable.
    x = np.linspace(-9, 9, 1001)
    results = [
        exact.exp(x),
        exact.log(exact.exp(x)),
        exact.sigmoid(x),
        exact.softplus(x),
        exact.tanh(x),
        exact.normal_cdf(x),
    ]
    assert _digest(np.stack(results).astype("<f8")) == "baef0fa9dd8c7b87"
    stack, integers = Stack(), np.arange(-500, 500)
    for family in (GAUSSIAN, LOGISTIC):
        family.push(stack, integers, np.linspace(-1, 1, 1000), np.linspace(10, 99, 1000))
    assert _digest(stack.words().astype("<u4")) == "ac02e37defc29185"


def _digest(values):
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:16]


def test_large_bases_are_cut_into_pieces_without_waste():
    rng, count = np.random.default_rng(6), 5000
    for most in (13, 20, 32.9):
        bases = np.floor(2 ** rng.uniform(0, most, count)).astype(np.int64)
        values = np.floor(rng.uniform(0, 1, count) * bases).astype(np.int64)
        values[:10], values[10:20] = 0, bases[10:20] - 1
        stack = Stack()
        stack.push_below(values, bases)
        assert abs(net_bits(stack) - np.log2(bases).sum()) < 0.002 * count + 64
        np.testing.assert_array_equal(stack.pop_below(bases), values)
        assert stack.holds_noise_alone()
        popped = stack.pop_below(bases)
        assert (popped >= 0).all() and (popped < bases).all()
        assert abs(np.mean(popped[bases > 100] / bases[bases > 100]) - 0.5) < 0.02
        stack.push_below(popped, bases)
        assert stack.holds_noise_alone()
