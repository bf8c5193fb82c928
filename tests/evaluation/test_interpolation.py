import numpy as np
import pytest
import tensorflow as tf

from tests.evaluation.tiny_models import (
    assert_same_up_to_rounding,
    count_calls,
    fresh_tiny_model,
    random_images,
    tiny_model,
)
from tfflows.evaluation.grids import captioned_grid
from tfflows.evaluation.interpolation import interpolate, write_interpolation
from tfflows.evaluation.latents import LatentCodec


@pytest.mark.parametrize(
    ("channels", "fields"),
    [(1, {"levels": 2}), (3, {}), (3, {"coupling": "additive", "num_bits": 5})],
)
def test_ends_are_the_images_at_the_models_bits(channels, fields):
    model = tiny_model(channels, **fields)
    first, second = random_images(3, channels, seed=1), random_images(3, channels, seed=2)
    images = interpolate(model, first, second, num_steps=4, batch_size=5)
    assert images.shape == (3, 4, 8, 8, channels) and images.dtype == np.uint8
    bin_size = 2 ** (8 - model.num_bits)
    assert_same_up_to_rounding(images[:, 0], first // bin_size * bin_size, level=bin_size)
    assert_same_up_to_rounding(images[:, -1], second // bin_size * bin_size, level=bin_size)


def test_steps_decode_a_straight_line():
    model = tiny_model(levels=2)
    first, second = random_images(2, seed=1), random_images(2, seed=2)
    images = interpolate(model, first, second, num_steps=5, seed=7)
    codec = LatentCodec(model, 4)
    latents = codec.encode(np.stack([first[0], second[0], first[1], second[1]]), seed=7)
    for pair in range(2):
        start, stop = latents[2 * pair], latents[2 * pair + 1]
        line = np.stack([start + alpha * (stop - start) for alpha in (0, 0.25, 0.5, 0.75, 1)])
        assert_same_up_to_rounding(images[pair], codec.decode(line))
    assert np.mean(images[:, 2] != first) > 0.5 and np.mean(images[:, 2] != second) > 0.5


def test_a_pair_does_not_depend_on_the_others():
    model = tiny_model()
    first, second = random_images(3, seed=1), random_images(3, seed=2)
    together = interpolate(model, first, second, num_steps=3)
    assert_same_up_to_rounding(interpolate(model, first[:1], second[:1], num_steps=3), together[:1])


def test_conditional_steps_take_the_label_of_the_nearer_end():
    model = tiny_model(num_classes=3)
    first, second = random_images(2, seed=1), random_images(2, seed=2)
    labels = (np.array([0, 1]), np.array([2, 2]))
    images = interpolate(model, first, second, num_steps=3, labels=labels)
    assert_same_up_to_rounding(images[:, 0], first)
    assert_same_up_to_rounding(images[:, 2], second)
    with pytest.raises(ValueError, match="needs a label"):
        interpolate(model, first, second)
    with pytest.raises(ValueError, match=r"pair of \[2\] integers"):
        interpolate(model, first, second, labels=(np.array([0]), np.array([2, 2])))


def test_is_traced_once():
    model = fresh_tiny_model()
    encoded, decoded = count_calls(model, "encode"), count_calls(model, "decode_values")
    interpolate(model, random_images(5, seed=1), random_images(5, seed=2), num_steps=3, batch_size=4)
    assert (len(encoded), len(decoded)) == (1, 1)


def test_writes_a_row_a_pair(tmp_path):
    model = tiny_model(channels=3)
    first, second = random_images(2, 3, seed=1), random_images(2, 3, seed=2)
    path = write_interpolation(model, tmp_path / "interpolation.png", first, second, num_steps=4, seed=1)
    images = interpolate(model, first, second, num_steps=4, seed=1)
    images = images.reshape(-1, 8, 8, 3)
    np.testing.assert_array_equal(tf.io.decode_png(path.read_bytes()), captioned_grid(images, num_columns=4))
    options = {"num_steps": 4, "seed": 1, "caption": "Glow", "row_names": ["a", "b"]}
    write_interpolation(model, path, first, second, **options)
    names = ["0", "0.333", "0.667", "1"]
    expected = captioned_grid(
        images, 4, caption="Glow, seed 1", row_names=["a", "b"], column_names=names, corner="alpha"
    )
    np.testing.assert_array_equal(tf.io.decode_png(path.read_bytes()), expected)
    with pytest.raises(ValueError, match="a text for each row of 2, got 1"):
        write_interpolation(model, path, first, second, row_names=["a"])


@pytest.mark.parametrize(
    ("first", "second", "num_steps", "message"),
    [
        (random_images(2), random_images(3), 3, r"got \[2, 8, 8, 1\] and \[3, 8, 8, 1\]"),
        (random_images(2, 3), random_images(2, 3), 3, r"got uint8 of shape \[4, 8, 8, 3\]"),
        (random_images(2), random_images(2), 1, "num_steps .* got 1"),
        (random_images(0), random_images(0), 3, "at least one pair"),
        (random_images(1)[0], random_images(1)[0], 3, r"\[P, H, W, C\]"),
    ],
)
def test_refuses(first, second, num_steps, message):
    with pytest.raises(ValueError, match=message):
        interpolate(tiny_model(), first, second, num_steps)
