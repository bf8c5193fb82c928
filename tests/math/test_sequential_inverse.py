"""The sequential inverse, against pixel after pixel in raster order; and the order in which pixels are found."""

import numpy as np
import pytest
import tensorflow as tf

from tests.slow import slow_but
from tfflows.math import wavefront as wavefront_module
from tfflows.math.masked_convolution import KINDS, ORDERS, causal_mask, check, convolve
from tfflows.math.sequential_inverse import sequential_inverse
from tfflows.math.wavefront import wavefront

CHANNELS = 2
FORMS = [
    ("masked", "A", (3, 3)),
    ("masked", "B", (3, 3)),
    ("masked", "A", (5, 5)),
    ("masked", "B", (3, 5)),
    ("masked", "A", (1, 3)),
    ("shifted", "A", (2, 3)),
    ("shifted", "B", (1, 5)),
    ("shifted", "C", (3, 2)),
    ("shifted", "D", (1, 1)),
    ("shifted", "D", (5, 3)),
]
SIZES = [(1, 1), (1, 6), (6, 1), (5, 4), (3, 7), (7, 2)]


def kernel_of(kind, order, kernel_size):
    kernel = 0.5 * tf.random.stateless_normal([*kernel_size, CHANNELS, CHANNELS], [0, 3], dtype=tf.float64)
    return kernel * causal_mask(kernel_size, order) if kind == "masked" else kernel


def decode(latents, hidden):
    return latents - tf.tanh(hidden), tf.concat([hidden, 2 * hidden], axis=-1)


def pixel_after_pixel(latents, kernel, kind, order):
    """The fixed point, which as many passes reach as there are pixels: each finds at least one more."""
    x = tf.zeros_like(latents)
    for _ in range(latents.shape[1] * latents.shape[2]):
        x = latents - tf.tanh(convolve(x, kernel, kind, order))
    hidden = convolve(x, kernel, kind, order)
    return x, tf.concat([hidden, 2 * hidden], axis=-1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("kind", "order", "kernel_size"), FORMS)
def test_equals_pixel_after_pixel(kind, order, kernel_size, size):
    latents = tf.random.stateless_normal([2, *size, CHANNELS], [0, 1], dtype=tf.float64)
    kernel = kernel_of(kind, order, kernel_size)
    found, kept = sequential_inverse(latents, kernel, kind, order, decode)
    expected, expected_kept = pixel_after_pixel(latents, kernel, kind, order)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(kept, expected_kept, atol=1e-12)


@pytest.mark.parametrize(("kind", "order", "kernel_size"), FORMS)
def test_sees_nothing_at_or_after_the_pixel(kind, order, kernel_size):
    """The Jacobian of the convolution is strictly triangular in the order, so each pixel can be found."""
    x = tf.random.stateless_normal([1, 4, 5, CHANNELS], [0, 2], dtype=tf.float64)
    kernel = tf.abs(kernel_of(kind, order, kernel_size))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = convolve(x, kernel, kind, order)
    jacobian = tf.reduce_sum(tape.jacobian(y, x)[0, :, :, :, 0], axis=[2, 5])
    numbers = np.arange(20).reshape([4, 5])
    if order in "CD":
        numbers = numbers.T.reshape([-1]).argsort().reshape([4, 5])
    before = numbers[:, :, None, None] > numbers[None, None]
    if order in "BD":
        before = numbers[:, :, None, None] < numbers[None, None]
    assert np.all((jacobian.numpy() == 0) | before)
    assert np.any(jacobian.numpy() != 0)


@pytest.mark.parametrize("size", [*SIZES, (16, 16)])
@pytest.mark.parametrize(("kind", "kernel_size"), [("masked", (3, 3)), ("masked", (5, 5)), ("shifted", (2, 3))])
def test_every_pixel_is_found_once_and_after_what_it_sees(kind, kernel_size, size):
    height, width = size
    front = wavefront(kind, kernel_size, height, width)
    flat = front.pixels.reshape([-1])
    np.testing.assert_array_equal(flat[front.places], np.arange(height * width))
    assert (flat < height * width).sum() == height * width
    assert all(tap.lag >= 1 for tap in front.taps)


@pytest.mark.parametrize(
    "size", slow_but([(4, 4), (7, 9), (16, 6)], [(4, 4), (8, 8), (7, 9), (9, 7), (16, 6), (6, 16), (12, 12), (13, 20)])
)
@pytest.mark.parametrize(
    ("order", "kernel_size"), [("A", (3, 3)), ("B", (3, 3)), ("A", (5, 5)), ("A", (5, 3)), ("B", (3, 5))]
)
def test_phases_change_nothing(monkeypatch, order, kernel_size, size):
    latents = tf.random.stateless_normal([2, *size, CHANNELS], [0, 1], dtype=tf.float64)
    features = tf.random.stateless_normal([2, *size, CHANNELS], [0, 2], dtype=tf.float64)
    arguments = (latents, kernel_of("masked", order, kernel_size), "masked", order, decode, features)
    expected = sequential_inverse(*arguments)
    monkeypatch.setattr(wavefront_module, "_MIN_SLOTS", 2)
    for value, other in zip(sequential_inverse(*arguments), expected, strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-12, atol=1e-12)
    front = wavefront("masked", kernel_size, *size)
    assert [phase.start for phase in front.phases] == [0, *(phase.stop for phase in front.phases[:-1])]
    assert front.phases[-1].stop == front.num_ticks
    held = sum(np.sum(front.pixels[p.start : p.stop, p.first : p.last] < size[0] * size[1]) for p in front.phases)
    assert held == size[0] * size[1]


def test_phases_of_large_images_save_a_fifth():
    front = wavefront("masked", (3, 3), 64, 64)
    computed = sum((phase.stop - phase.start) * (phase.last - phase.first) for phase in front.phases)
    assert len(front.phases) == 5 and computed < 0.8 * front.num_ticks * front.num_slots


@pytest.mark.parametrize("side", [8, 16, 32, 64])
def test_work_is_that_of_about_one_pass(side):
    """Sequential calls, and places computed in all of them."""
    masked, shifted = wavefront("masked", (3, 3), side, side), wavefront("shifted", (2, 3), side, side)
    assert masked.num_ticks == 2 * (side - 1) + side
    assert shifted.num_ticks == side
    assert shifted.num_ticks * shifted.num_slots == side**2
    # Four live taps of nine make up for what rests at the ends.
    assert masked.num_ticks * masked.num_slots * 4 <= side**2 * 9


def test_gradients_flow_through():
    latents = tf.random.stateless_normal([2, 3, 4, CHANNELS], [0, 1], dtype=tf.float64)
    kernel = kernel_of("masked", "A", (3, 3))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([latents, kernel])
        found = sequential_inverse(latents, kernel, "masked", "A", decode)
        expected = pixel_after_pixel(latents, kernel, "masked", "A")
        sums = [tf.reduce_sum(tf.sin(x)) + tf.reduce_sum(kept) for x, kept in (found, expected)]
    gradients, others = (tape.gradient(total, [latents, kernel]) for total in sums)
    np.testing.assert_allclose(gradients[0], others[0], atol=1e-11)
    # The convolution itself does not know that the taps under the mask are dead.
    np.testing.assert_allclose(gradients[1], others[1] * causal_mask((3, 3), "A"), atol=1e-11)


def test_the_graph_does_not_grow_with_the_image():
    kernel = kernel_of("masked", "A", (3, 3))

    @tf.function(autograph=False)
    def inverse(latents):
        return sequential_inverse(latents, kernel, "masked", "A", decode)

    sizes = {}
    for side in (4, 32, 64, 128):
        graph = inverse.get_concrete_function(tf.zeros([2, side, side, CHANNELS], tf.float64)).graph
        sizes[side] = len(graph.as_graph_def().node)
    assert sizes[4] == sizes[32] and sizes[64] == sizes[128] < 6 * sizes[32]  # five loops instead of one


def test_needs_a_static_size():
    kernel = kernel_of("shifted", "A", (2, 3))
    signature = [tf.TensorSpec([None, None, 4, CHANNELS], tf.float64)]
    inverse = tf.function(
        lambda x: sequential_inverse(x, kernel, "shifted", "A", decode), input_signature=signature, autograph=False
    )
    with pytest.raises(ValueError, match="static image size"):
        inverse.get_concrete_function()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dilated", "A", (3, 3)), f"kind must be one of .*{KINDS[0]}"),
        (("masked", "C", (3, 3)), "order must be one of .*'B'"),
        (("masked", "A", (2, 3)), "odd sides, got .2, 3."),
        (("shifted", "A", (2, 4)), "odd size along the lines"),
        (("shifted", "C", (2, 3)), "odd size along the lines"),
        (("shifted", "A", (0, 3)), "odd size along the lines"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        check(*arguments)
    assert set(ORDERS) == set(KINDS)
