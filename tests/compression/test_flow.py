"""The codec of flows: images come back bit for bit, at the size that the model says, whatever the batch."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.compression.small_flows import (
    FLOWPP_FORMS,
    GLOW_FORMS,
    MACOW_FORMS,
    NUM_CLASSES,
    VFLOW_FORMS,
    flowpp_model,
    glow_model,
    images,
    macow_model,
    realnvp_model,
    vflow_model,
)
from tests.slow import slow_but
from tfflows.bijectors import Bijector, Chain
from tfflows.compression.coder import Stack
from tfflows.compression.flow import FlowCodec
from tfflows.compression.protocol import CannotCodeError, make_codec
from tfflows.distributions.dequantized_flow import DequantizedFlow

tfb, tfd = tfp.bijectors, tfp.distributions


def check_exact_at_the_rate(model, tolerance, batches=(1, 4, 11), count=16):
    """Codes images in batches, and compares what they take and what comes back."""
    given = images(count)
    codec = FlowCodec(model, (model.num_bits + 5,), images=given[:4])
    labels = np.arange(count) % NUM_CLASSES if codec.num_classes else None
    stack, noise_bits, places, taken, bound = Stack(), codec.noise_ramp[-1], [], [], []
    for start, size in zip(np.cumsum([0, *batches]), batches, strict=False):
        places.append(slice(start, start + size))
        own = None if labels is None else labels[places[-1]]
        bits, values, beside = codec.encode_with_noise(given[places[-1]], stack, noise_bits, own)
        taken.append(bits)
        levels = given[places[-1]] >> (8 - model.num_bits)
        np.testing.assert_array_equal(np.floor((values + 0.5) * 2**model.num_bits), levels)
        bound.append(codec.bits_of_model(given[places[-1]], values, beside, own))
    net = stack.num_bits - 32 * stack.num_noise_words
    taken, bound = np.concatenate(taken), np.concatenate(bound)
    assert abs(net - bound.sum()) < tolerance * bound.sum() + 64
    np.testing.assert_allclose(taken, bound, rtol=5 * tolerance, atol=8)
    received = Stack(stack.words())
    again = FlowCodec(model, codec.noise_ramp, codec.settings["regrids"], networks=codec.networks)
    assert again.fingerprint == codec.fingerprint
    for place in reversed(places):
        own = None if labels is None else labels[place]
        decoded = again.decode_images(received, place.stop - place.start, noise_bits, own)
        np.testing.assert_array_equal(decoded, given[place])
    assert received.holds_noise_alone()


@pytest.mark.parametrize(
    "form",
    slow_but(("release", "conditional"), GLOW_FORMS),
)
def test_glow(form):
    check_exact_at_the_rate(glow_model(form), 0.002)


@pytest.mark.parametrize("form", slow_but(("variational",), FLOWPP_FORMS))
def test_flowpp(form):
    check_exact_at_the_rate(flowpp_model(form), 0.002)


@pytest.mark.parametrize("form", slow_but((), VFLOW_FORMS))
def test_vflow(form):
    check_exact_at_the_rate(vflow_model(form), 0.002)


@pytest.mark.parametrize("form", slow_but(("light_release",), MACOW_FORMS))
def test_macow(form):
    check_exact_at_the_rate(macow_model(form), 0.002)


@pytest.mark.parametrize("levels", slow_but((1,), (1, 2, 3)))
def test_realnvp(levels):
    check_exact_at_the_rate(realnvp_model(levels), 0.002)


def test_a_bijector_without_a_map_is_named():
    class Unknown(Bijector):
        def __init__(self):
            super().__init__(forward_min_event_ndims=3, dtype=tf.float32, name="some_map")

    base = tfd.Sample(tfd.Normal(0.0, 1.0), [4, 4, 3])
    model = DequantizedFlow(tfd.TransformedDistribution(base, Chain([tfb.Scale(2.0), Unknown()])))
    with pytest.raises(CannotCodeError, match=r"'some_map' \(Unknown\) has no integer map"):
        make_codec(model)


def test_a_model_without_a_codec_is_named():
    with pytest.raises(CannotCodeError, match="no codec for a str"):
        make_codec("a string")


def test_any_image_comes_back_or_is_refused():
    model = glow_model()
    codec = FlowCodec(model, (13,), images=images(4))
    extremes = np.zeros([4, 8, 8, 3], np.uint8)
    extremes[1] = 255
    extremes[2] = np.random.default_rng(0).integers(0, 256, [8, 8, 3])
    extremes[3, ::2, ::2] = 255
    stack = Stack()
    bits = codec.encode_images(extremes, stack, 13)
    assert bits.min() > 0 and bits[2] > 8 * 192
    np.testing.assert_array_equal(codec.decode_images(stack, 4, 13), extremes)
    assert stack.holds_noise_alone()
