"""The codecs of PixelCNN++, IAF-VAE and AGAVE: images come back bit for bit, at the size that the model says."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tests.compression.small_agave import FORMS, NUM_CLASSES, agave_model, images_near_grey
from tests.slow import slow_but
from tfflows.compression.archive import compress, decompress
from tfflows.compression.coder import Stack
from tfflows.compression.container import ArchiveError, Container
from tfflows.compression.iaf_vae import NOISE_RAMP
from tfflows.compression.pixel_pass import PixelPass
from tfflows.compression.protocol import CannotCodeError, make_codec
from tfflows.distributions.iaf_vae import IAFVAE
from tfflows.networks import ImageHead, PixelCNN


@functools.cache
def codec_of(form):
    """The codec of a small model; making one takes a second."""
    return make_codec(agave_model(form))


def check_exact_at_the_rate(codec, tolerance, batches=(1, 8, 3)):
    """Codes images in batches, and compares what they take and what comes back."""
    given = images_near_grey(sum(batches), codec.image_shape)
    labels = np.arange(len(given)) % NUM_CLASSES if codec.num_classes else None
    stack, noise_bits, places, bound = Stack(), codec.noise_ramp[-1], [], []
    for start, size in zip(np.cumsum([0, *batches]), batches, strict=False):
        places.append(slice(start, start + size))
        own = [] if labels is None else [labels[places[-1]]]
        bits, *noise = codec.encode_with_noise(given[places[-1]], stack, noise_bits, *own)
        bound.append(codec.bits_of_model(given[places[-1]], *noise, *own))
        np.testing.assert_allclose(bits, bound[-1], rtol=5 * tolerance)
    net, bound = stack.num_bits - 32 * stack.num_noise_words, np.concatenate(bound).sum()
    assert abs(net - bound) < tolerance * bound + 32
    received = Stack(stack.words())
    for place in reversed(places):
        own = [] if labels is None else [labels[place]]
        decoded = codec.decode_images(received, place.stop - place.start, noise_bits, *own)
        np.testing.assert_array_equal(decoded, given[place])
    assert received.holds_noise_alone()
    return stack


@pytest.mark.parametrize("form", slow_but(("pixelcnn_labels", "agave"), [*FORMS]))
def test_exact_at_the_rate(form):
    stack = check_exact_at_the_rate(codec_of(form), 0.005)
    if form.startswith("pixelcnn"):
        assert stack.num_noise_words <= 2


def test_the_vae_of_agave_alone():
    model = agave_model("agave").vae
    codec = make_codec(model)
    check_exact_at_the_rate(codec, 0.005)
    again = make_codec(model, codec.settings)
    assert (again.noise_ramp, again.fingerprint) == (codec.noise_ramp, codec.fingerprint)
    assert make_codec(model, {"noise_ramp": [4]}).fingerprint != codec.fingerprint
    # The first images need less noise.
    given, needed = images_near_grey(1, tuple(model.image_shape)), []
    for noise_bits in (NOISE_RAMP[0], NOISE_RAMP[-1]):
        stack = Stack()
        codec.encode_images(given, stack, noise_bits)
        needed.append(32 * stack.num_noise_words)
        np.testing.assert_array_equal(codec.decode_images(Stack(stack.words()), 1, noise_bits), given)
    latents = sum(np.prod(shape) for shape in model.ladder.latent_shapes(model.image_shape.as_list()))
    assert needed[1] - needed[0] == pytest.approx((NOISE_RAMP[-1] - NOISE_RAMP[0]) * latents, abs=64)


def test_an_altered_file_gives_the_images_before_it():
    model = agave_model("agave").vae
    codec, given = make_codec(model), images_near_grey(24, tuple(model.image_shape))
    made = compress(list(given), model, codec=codec, verify=False, max_batch=2)
    assert not made.num_raw
    start = len(made.data) - 4 * len(Container.from_bytes(made.data).words)
    for place in (0.02, 0.3, 0.5):
        altered = bytearray(made.data)
        altered[start + int(place * (len(altered) - start))] ^= 16
        out = decompress(bytes(altered), model, codec=codec)
        with pytest.raises(ArchiveError, match="The file is damaged: image") as error:
            _compare(out, given)
        assert error.value.image < 24


def _compare(out, given):
    for (_, image), original in zip(out, given, strict=True):
        np.testing.assert_array_equal(image, original)


def test_an_image_takes_the_same_bits_in_any_batch_and_order():
    codec = codec_of("pixelcnn")
    given = images_near_grey(9, codec.image_shape)
    together = codec.encode_images(given, Stack(), 0)
    alone = [codec.encode_images(given[index : index + 1], Stack(), 0)[0] for index in (0, 4)]
    np.testing.assert_allclose(alone, together[[0, 4]], rtol=1e-12)
    np.testing.assert_allclose(codec.encode_images(given[::-1], Stack(), 0), together[::-1], rtol=1e-12)


@pytest.mark.parametrize("form", slow_but(("agave",), ["agave", "agave_grey", "pixelcnn", "iaf_vae_levels"]))
def test_any_image_comes_back_from_a_file(form):
    model, codec = agave_model(form), codec_of(form)
    shape = tuple(model.image_shape)
    # With 32 levels `deflate` is nearly as good: only many images pay for their initial noise.
    end = 43 if form == "iaf_vae_levels" else 9
    given = np.zeros([end + 1, *shape], np.uint8)
    given[0] = np.random.default_rng(0).integers(0, 256, shape)
    given[1, ::2, ::2] = 255
    given[2, ::2, 1::2] = given[2, 1::2, ::2] = 255
    given[3:end] = images_near_grey(end - 3, shape)
    given = [*given, images_near_grey(1, (5, 11, 4 - shape[-1]))[0]]
    made = compress(given, model, codec=codec, max_batch=2)
    # Those near grey are as the model expects; of the others, some are stored as they are.
    assert made.num_mismatches == 0 and not set(range(3, end)) & set(Container.from_bytes(made.data).header["raw"])
    _compare(decompress(made.data, model, codec=codec), given)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("injection", "num_blocks", "channels", "height", "width"),
    [("both", 1, 3, 4, 8), (None, 2, 1, 8, 8), ("horizontal", 1, 3, 8, 4), ("labels", 1, 3, 4, 4)],
)
def test_pixel_by_pixel_the_network_gives_what_it_gives_at_once(injection, num_blocks, channels, height, width):
    options = {} if injection is None else {"feature_channels": 2, "injection": injection}
    labels = None
    if injection == "labels":
        injection, labels, options = None, np.array([2, 0]), {"num_classes": 3}
    network = PixelCNN(3, 5, num_blocks, channels=channels, **options)
    rng = np.random.default_rng(0)
    for variable in network.trainable_variables:
        variable.assign(variable + 0.3 * rng.standard_normal(variable.shape))
    x, features = rng.uniform(-1, 1, [2, height, width, channels]), None
    if injection is not None:
        levels = [step.level for step in network.steps if step.kind == "position"]
        features = [rng.standard_normal([2, height >> level, width >> level, 2]) for level in levels]
    outputs = np.zeros([2, height, width, 5])

    def choose(row, column, own):
        outputs[:, row, column] = own
        return x[:, row, column]

    PixelPass(network).run(2, (height, width), choose, features, labels)
    as_float32 = None if features is None else [tf.constant(each, tf.float32) for each in features]
    at_once = network(tf.constant(x, tf.float32), as_float32, labels=labels)
    np.testing.assert_allclose(outputs, at_once, rtol=1e-3, atol=1e-3)


def test_models_that_cannot_give_images_back_are_named():
    with pytest.raises(CannotCodeError, match="'pixelcnn' depends on features, which the codec does not have"):
        make_codec(agave_model("agave").pixels)
    small = IAFVAE(agave_model("agave").vae.ladder, ImageHead(8, scale=1), [8, 4, 3])
    with pytest.raises(CannotCodeError, match=r"images \(4, 2, 3\) that are made of those of \(8, 4, 3\)"):
        make_codec(small)
