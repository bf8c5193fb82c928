"""Files of images: any sizes and kinds, what is stored as it is, and every way in which a file can be wrong."""

import types

import numpy as np
import pytest
import tensorflow as tf

from tests.compression.small_flows import glow_model, images
from tfflows.compression import archive, container, tiles
from tfflows.compression.archive import compress, decompress
from tfflows.compression.container import ArchiveError, Container
from tfflows.compression.protocol import CannotCodeError, ImageCodec, make_codec
from tfflows.tracing.variables import named_variables

MODEL = glow_model
EXPERIMENT = {"name": "small", "levels": 2}


@pytest.fixture(scope="module")
def codec():
    return make_codec(glow_model(), None, images(4))


@pytest.fixture(scope="module")
def compressed(codec):
    """Twelve images of the model's shape in one file, with names."""
    names = [f"{number}.png" for number in range(12)]
    return compress(list(images(12)), glow_model(), experiment=EXPERIMENT, names=names, codec=codec, max_batch=3)


@pytest.fixture(autouse=True)
def same_codec(codec, monkeypatch):
    """Building a codec takes a second; that of the file is the one that is built here."""

    def made(model, settings=None, given=None):
        assert settings is None or settings == codec.settings
        return codec

    monkeypatch.setattr(archive, "make_codec", made)


def given_back(data, model=None, experiment=EXPERIMENT):
    """What comes out, and the error that ends it or None."""
    out = []
    try:
        for name, image in decompress(data, glow_model() if model is None else model, experiment=experiment):
            out.append((name, image))
    except ArchiveError as error:
        return out, error
    return out, None


def test_images_come_back_in_their_order_with_their_names(compressed):
    out, error = given_back(compressed.data)
    assert error is None and [name for name, _ in out] == [f"{number}.png" for number in range(12)]
    np.testing.assert_array_equal([image for _, image in out], images(12))
    assert compressed.num_raw == 0 and compressed.num_mismatches == 0
    assert compressed.noise_bits + compressed.other_bits < 8 * len(compressed.data)
    assert 8 * len(compressed.data) == compressed.stack_bits + compressed.raw_bits + compressed.other_bits
    batches = Container.from_bytes(compressed.data).header["batches"]
    assert sum(batches) == 12 and batches[:3] == [1, 1, 1] and max(batches) > 1


def test_any_size_and_kind_comes_back(codec):
    rng = np.random.default_rng(0)
    smooth = images(3, (19, 30, 3))
    given = [
        smooth[0],
        smooth[1][:8, :8],
        smooth[2][:3, :20, 0],
        smooth[2][:9, :9, 1:2],
        rng.integers(0, 256, [8, 8, 3], np.uint8),
        np.zeros([8, 24], np.uint8),
        np.full([1, 1, 3], 255, np.uint8),
        np.concatenate([smooth[1], rng.integers(0, 256, [19, 30, 1], np.uint8)], axis=-1),
        np.stack([smooth[0][:9, :9, 0], np.full([9, 9], 255, np.uint8)], axis=-1),
    ]
    made = compress(given, glow_model(), codec=codec)
    out, error = given_back(made.data, experiment=None)
    assert error is None and made.num_raw >= 4
    for (name, image), original in zip(out, given, strict=True):
        assert name is None and image.shape == original.shape
        np.testing.assert_array_equal(image, original)
    assert made.num_dimensions == sum(image.size for image in given)


def test_a_cut_within_alpha_is_noticed(codec):
    given = np.random.default_rng(0).integers(0, 256, [8, 8, 4], np.uint8)
    made = compress([given], glow_model(), codec=codec)
    (cut, error), whole = given_back(made.data[:-30], experiment=None), given_back(made.data, experiment=None)
    assert not cut and error.image == 0 and "cut: image 0" in str(error)
    np.testing.assert_array_equal(whole[0][0][1], given)


@pytest.mark.parametrize("image_shape", [(8, 8, 3), (9, 17, 3), (4, 5, 1)])
@pytest.mark.parametrize("tile_shape", [(8, 8, 3), (8, 8, 1), (4, 6, 3)])
def test_tiles_make_up_the_image(image_shape, tile_shape):
    image = np.random.default_rng(0).integers(0, 256, image_shape, np.uint8)
    cut = tiles.to_tiles(image, tile_shape)
    assert cut.shape == (tiles.num_tiles(image_shape, tile_shape), *tile_shape)
    np.testing.assert_array_equal(tiles.from_tiles(cut, image_shape), image)


def words_at(data):
    """Where the words of the coder begin."""
    return len(data) - 4 * len(Container.from_bytes(data).words)


@pytest.mark.parametrize("left", [0.2, 0.5, 0.9])
def test_a_cut_file_gives_the_images_before_the_cut(compressed, left):
    start = words_at(compressed.data)
    cut = compressed.data[: start + int(left * (len(compressed.data) - start))]
    out, error = given_back(cut)
    assert len(out) == error.image and f"cut: image {error.image} ({error.image}.png)" in str(error)
    assert abs(len(out) - 12 * left) < 5
    np.testing.assert_array_equal(np.reshape([image for _, image in out], [-1, 8, 8, 3]), images(12)[: len(out)])


@pytest.mark.parametrize("place", [0.1, 0.6])
def test_an_altered_file_gives_the_images_before_it(compressed, place):
    start = words_at(compressed.data)
    altered = bytearray(compressed.data)
    altered[start + int(place * (len(altered) - start))] ^= 4
    out, error = given_back(bytes(altered))
    assert len(out) == error.image < 12 and "damaged: image" in str(error)
    np.testing.assert_array_equal(np.reshape([image for _, image in out], [-1, 8, 8, 3]), images(12)[: len(out)])


@pytest.mark.parametrize("place", [-1, -5])
def test_an_altered_end_is_noticed(compressed, place):
    altered = bytearray(compressed.data)
    altered[place] ^= 1
    out, error = given_back(bytes(altered))
    assert len(out) == error.image and error is not None


def test_a_damaged_header_is_refused(compressed):
    for place in (len(container.MAGIC) + 3, 30, words_at(compressed.data) - 1, words_at(compressed.data) - 6):
        altered = bytearray(compressed.data)
        altered[place] ^= 1
        out, error = given_back(bytes(altered))
        assert not out and "header of the file is damaged" in str(error)
    for length in (9, 20, 200):
        assert "damaged" in str(given_back(compressed.data[:length])[1])


def test_other_files_and_versions_are_refused(compressed):
    assert "no file of compressed images" in str(given_back(b"PNG")[1])
    newer = compressed.data[:8] + b"\x09\x00" + compressed.data[10:]
    assert "format version 9, this library reads version 1" in str(given_back(newer)[1])


def test_another_model_is_refused(compressed):
    assert "its experiment have the hash" in str(given_back(compressed.data, experiment={"levels": 3})[1])
    variable = next(iter(named_variables(glow_model()).values()))
    before = variable.numpy()
    variable.assign(before + 1e-6)
    try:
        assert "its weights have the hash" in str(given_back(compressed.data)[1])
    finally:
        variable.assign(before)
    assert given_back(compressed.data)[1] is None


def test_an_image_that_does_not_come_back_is_stored_as_it_is(codec, monkeypatch):
    decode = codec.decode_images

    def wrong(stack, count, noise_bits, labels):
        tiles = decode(stack, count, noise_bits, labels)
        tiles[(tiles == images(24)[2]).all(axis=(1, 2, 3))] += 1
        return tiles

    monkeypatch.setattr(codec, "decode_images", wrong)
    made = compress(list(images(24)), glow_model(), experiment=EXPERIMENT, codec=codec)
    monkeypatch.undo()
    assert made.num_mismatches == 1 and 2 in Container.from_bytes(made.data).header["raw"]
    np.testing.assert_array_equal([image for _, image in given_back(made.data)[0]], images(24))


def test_a_single_image_does_not_pay_for_initial_noise(codec):
    made = compress(list(images(1)), glow_model(), experiment=EXPERIMENT, codec=codec)
    assert made.num_raw == 1 and 8 * len(made.data) < 8 * 192 + 8 * 400
    np.testing.assert_array_equal([image for _, image in given_back(made.data)[0]], images(1))
    cut, error = given_back(made.data[:-20])
    assert not cut and error.image == 0 and "cut: image 0" in str(error)


def test_an_image_that_cannot_be_coded_is_stored_as_it_is(codec, monkeypatch):
    encode = codec.encode_images

    def refusing(tiles, stack, noise_bits, labels):
        if any(np.array_equal(tile, images(24)[4]) for tile in tiles):
            stack.pop(1000, 100)
            raise CannotCodeError("An image is too unlikely.")
        return encode(tiles, stack, noise_bits, labels)

    monkeypatch.setattr(codec, "encode_images", refusing)
    made = compress(list(images(24)), glow_model(), experiment=EXPERIMENT, codec=codec)
    assert 4 in Container.from_bytes(made.data).header["raw"] and made.num_mismatches == 0
    np.testing.assert_array_equal([image for _, image in given_back(made.data)[0]], images(24))


@pytest.mark.parametrize(
    ("given", "changes", "message"),
    [
        ([], {}, "no images"),
        ([np.zeros([8, 8, 5], np.uint8)], {}, "Image 0 must have 1 to 4 channels, got 5"),
        ([np.zeros([8, 8, 3])], {}, r"Image 0 must be uint8 .*float64 \[8, 8, 3\]"),
        ([np.zeros([8], np.uint8)], {}, "must be uint8"),
        ([np.zeros([0, 8], np.uint8)], {}, "must be uint8"),
        ([np.zeros([8, 8], np.uint8)], {"names": ["a", "b"]}, "a name for each image, got 2 for 1"),
        ([np.zeros([8, 8], np.uint8)], {"max_batch": 0}, "max_batch must be 1 to 255"),
        ([np.zeros([8, 8], np.uint8)], {"labels": 0}, "takes no labels, got some"),
    ],
)
def test_what_is_no_image_is_refused(given, changes, message):
    with pytest.raises(ValueError, match=message):
        compress(given, glow_model(), **changes)


class Labelled(ImageCodec):
    """Codes tiles of one value, which is at most their label."""

    image_shape, noise_ramp, images_for_noise, num_classes = (4, 4, 3), (0,), 0, 5
    fingerprint, settings = b"0" * 16, {}

    def encode_images(self, images, stack, noise_bits, labels=None):
        stack.push(np.minimum(images[:, 0, 0, 0], labels), labels + 1)
        return np.where(images.std(axis=(1, 2, 3)) > 0, 1e6, 1.0)

    def decode_images(self, stack, count, noise_bits, labels=None):
        values = stack.pop(np.asarray(labels) + 1)
        return np.broadcast_to(values[:, np.newaxis, np.newaxis, np.newaxis], [count, *self.image_shape]).astype(
            np.uint8
        )


def test_labels_are_in_the_file_and_those_of_each_tile_reach_the_codec():
    labels, noise = [4, 0, 0, 3, 2], np.random.default_rng(0).integers(0, 256, [4, 4, 3], np.uint8)
    given = [np.full([5, 9, 3], 3), np.full([4, 4, 3], 0), noise, np.full([4, 4, 3], 3), np.full([2, 5, 3], 1)]
    given = [image.astype(np.uint8) for image in given]
    model, codec = types.SimpleNamespace(image_shape=tf.TensorShape([4, 4, 3])), Labelled()
    made = compress(given, model, labels=labels, codec=codec, max_batch=2)
    assert Container.from_bytes(made.data).header["raw"] == [7]
    for (_, image), original in zip(decompress(made.data, model, codec=codec), given, strict=True):
        np.testing.assert_array_equal(image, original)
    for wrong, message in (
        (None, "takes labels, 0 to 4: give one for each image, or one for all"),
        ([0, 1], "an integer label for each of 5 images"),
        (0.5, "an integer label"),
        (5, "Labels must be 0 to 4, got 5 to 5"),
        ([0, 0, 0, 0, -1], "Labels must be 0 to 4, got -1 to 0"),
    ):
        with pytest.raises(ValueError, match=message):
            compress(given, model, labels=wrong, codec=codec)
