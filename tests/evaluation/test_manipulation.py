import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.evaluation.tiny_models import (
    assert_same_up_to_rounding,
    count_calls,
    fresh_tiny_model,
    random_images,
    random_source,
    tiny_model,
)
from tests.slow import slow_but
from tfflows.data import load_dataset
from tfflows.evaluation.directions import (
    attribute_directions,
    cached_directions,
    class_directions,
    load_directions,
    save_directions,
)
from tfflows.evaluation.grids import captioned_grid
from tfflows.evaluation.latents import LatentCodec
from tfflows.evaluation.manipulation import DEFAULT_ALPHAS, manipulate, write_manipulation

NAMES = ("Smiling", "Young", "Bald")


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def source():
    """11 images; no batch size in use divides it. Nobody is bald."""
    attributes = np.random.default_rng(0).choice(np.array([-1, 1], np.int8), [11, 3])
    attributes[:, 2] = -1
    return random_source(11, attribute_names=NAMES, attributes=attributes)


@pytest.fixture(scope="module")
def directions(model, source):
    return attribute_directions(model, source)


@pytest.mark.parametrize("batch_size", [4, 64])
def test_attribute_direction_is_the_difference_of_means(model, source, batch_size):
    directions = attribute_directions(model, source, seed=3, batch_size=batch_size)
    latents = LatentCodec(model, 11).encode(source.images, seed=3)
    for column, name in enumerate(NAMES[:2]):
        positive = source.attributes[:, column] == 1
        expected = latents[positive].mean(axis=0) - latents[~positive].mean(axis=0)
        np.testing.assert_allclose(directions.direction(name), expected, atol=1e-5)
        assert directions.num_positive[column] == positive.sum()
        assert directions.num_negative[column] == (~positive).sum()
    assert directions.vectors.shape == (3, 64) and directions.vectors.dtype == np.float32


@pytest.mark.parametrize("conditional", [False, True])
def test_class_direction_is_one_class_against_the_rest(conditional):
    model = tiny_model(channels=3, num_classes=3 if conditional else 0)
    source = random_source(8, channels=3, num_classes=3)
    directions = class_directions(model, source, seed=1, batch_size=3)
    latents = LatentCodec(model, 8).encode(source.images, seed=1, labels=source.labels)
    for label in range(3):
        expected = latents[source.labels == label].mean(axis=0) - latents[source.labels != label].mean(axis=0)
        np.testing.assert_allclose(directions.direction(label), expected, atol=1e-5)
    assert directions.names == ("0", "1", "2")
    assert directions.num_positive.tolist() == [3, 3, 2]


def test_direction_of_a_digit_moves_pixels_towards_its_class():
    source = load_dataset("digits", "train", max_images=200)
    model = tiny_model()
    direction = class_directions(model, source).direction(0)
    mean_of = {zero: source.images[(source.labels == 0) == zero].mean(axis=0) for zero in (True, False)}
    towards = (mean_of[True] - mean_of[False]).reshape(-1)
    lower, _, higher = manipulate(model, source.images[:20], direction, [-1.0, 0.0, 1.0]).mean(axis=0)
    moved = (higher - lower).reshape(-1)
    assert np.corrcoef(moved, towards)[0, 1] > 0.8


def test_direction_without_examples_or_of_an_unknown_name(directions):
    with pytest.raises(ValueError, match=r"'Bald' needs .* got 0 with and 11 without"):
        directions.direction("Bald")
    with pytest.raises(ValueError, match="'Smilling'; valid: Smiling, Young, Bald"):
        directions.direction("Smilling")
    assert np.isnan(directions.vectors[2]).all() and np.isfinite(directions.vectors[:2]).all()


def test_data_sets_without_attributes_or_labels(model, source):
    plain = random_source(4)
    with pytest.raises(ValueError, match="'random' has no attributes"):
        attribute_directions(model, plain)
    with pytest.raises(ValueError, match="'random' has no labels"):
        class_directions(model, plain)
    zeros = dataclasses.replace(source, attributes=np.zeros_like(source.attributes))
    with pytest.raises(ValueError, match=r"must be \+1 or -1"):
        attribute_directions(model, zeros)


def test_the_pass_is_traced_once(source):
    model = fresh_tiny_model()
    calls = count_calls(model, "encode")
    attribute_directions(model, source, batch_size=2)
    assert len(calls) == 1


def test_latents_that_are_not_finite_are_left_out_with_a_warning(source, caplog):
    model = fresh_tiny_model()
    original = model.encode

    def encode(images, keys, condition=None):
        latents = original(images, keys, condition)
        spoilt = tf.reduce_all(images == source.images[4], axis=[1, 2, 3])
        return tf.where(spoilt[:, None], np.inf, latents)

    model.encode = encode
    directions = attribute_directions(model, source, batch_size=4)
    assert "1 of 11 images have latents that are not finite" in caplog.text
    assert np.isfinite(directions.direction("Smiling")).all()
    np.testing.assert_array_equal(directions.num_positive + directions.num_negative, 10)


def test_directions_are_saved_and_loaded(directions, tmp_path):
    path = tmp_path / "new" / "directions.npz"
    save_directions(path, directions, {"step": 10})
    loaded = load_directions(path, {"step": 10})
    assert loaded.names == directions.names
    for field in ("vectors", "num_positive", "num_negative"):
        np.testing.assert_array_equal(getattr(loaded, field), getattr(directions, field))
    with pytest.raises(ValueError, match=r'computed from \{"step": 10\}, not from \{"step": 11\}'):
        load_directions(path, {"step": 11})
    with pytest.raises(FileNotFoundError):
        load_directions(tmp_path / "absent.npz")


@pytest.mark.parametrize("damage", ["truncated", "empty", "another"])
def test_damaged_files_are_said_to_be(directions, tmp_path, damage):
    path = tmp_path / "directions.npz"
    save_directions(path, directions)
    content = path.read_bytes()
    path.write_bytes({"truncated": content[: len(content) // 2], "empty": b"", "another": b"hello"}[damage])
    with pytest.raises(ValueError, match="does not hold directions"):
        load_directions(path)


def test_second_run_does_not_repeat_the_pass(directions, tmp_path):
    path, passes = tmp_path / "directions.npz", []

    def compute():
        passes.append(1)
        return directions

    first = cached_directions(path, {"step": 1}, compute)
    second = cached_directions(path, {"step": 1}, compute)
    assert len(passes) == 1
    np.testing.assert_array_equal(first.vectors, second.vectors)
    cached_directions(path, {"step": 2}, compute)
    assert len(passes) == 2
    path.write_bytes(b"")  # as a crash of the file system may leave it
    cached_directions(path, {"step": 2}, compute)
    assert len(passes) == 3
    load_directions(path, {"step": 2})


@pytest.mark.parametrize(("channels", "levels"), slow_but([(3, 1)], [(1, 2), (3, 1)], rows=True))
def test_manipulation_decodes_the_moved_latent(channels, levels):
    model = tiny_model(channels, levels=levels)
    images, targets = random_images(2, channels, seed=1), random_images(2, channels, seed=2)
    codec = LatentCodec(model, 2)
    direction = codec.encode(targets, seed=0)[0] - codec.encode(images, seed=0)[0]
    moved = manipulate(model, images, direction, [0.0, 1.0], batch_size=3)
    assert moved.shape == (2, 2, 8, 8, channels) and moved.dtype == np.uint8
    assert_same_up_to_rounding(moved[:, 0], images)
    assert_same_up_to_rounding(moved[0, 1], targets[0])
    assert_same_up_to_rounding(manipulate(model, images[0], direction, [0.0, 1.0]), moved[0])


def test_conditional_manipulation_keeps_the_label():
    model = tiny_model(num_classes=3)
    images, labels = random_images(3), np.array([2, 0, 1])
    moved = manipulate(model, images, np.zeros([64]), [-1.0, 1.0], labels=labels)
    assert_same_up_to_rounding(moved[:, 0], images)
    assert_same_up_to_rounding(moved[:, 1], images)
    with pytest.raises(ValueError, match="needs a label"):
        manipulate(model, images, np.zeros([64]))


def test_writes_a_row_an_image_with_the_image_in_the_middle(model, tmp_path):
    images, direction = random_images(2), np.random.default_rng(0).standard_normal(64)
    path = write_manipulation(model, tmp_path / "manipulation.png", images, direction)
    picture = tf.io.decode_png(path.read_bytes()).numpy()
    moved = manipulate(model, images, direction)
    shown = moved.reshape(-1, 8, 8, 1)
    np.testing.assert_array_equal(picture, captioned_grid(shown, len(DEFAULT_ALPHAS)))
    write_manipulation(model, path, images, direction, caption="", row_names=["a", "b"])
    names = ["-1", "-0.667", "-0.333", "0", "0.333", "0.667", "1"]
    texts = {"caption": "seed 0", "row_names": ["a", "b"], "column_names": names, "corner": "alpha"}
    picture = tf.io.decode_png(path.read_bytes()).numpy()
    np.testing.assert_array_equal(picture, captioned_grid(shown, len(DEFAULT_ALPHAS), **texts))
    assert_same_up_to_rounding(moved[:, len(DEFAULT_ALPHAS) // 2], images)


@pytest.mark.parametrize("alphas", [[0.0, 1.0], [-1.0, 0.5, 1.0], [1.0, 0.0, -1.0], []])
def test_picture_needs_the_image_in_the_middle(model, tmp_path, alphas):
    with pytest.raises(ValueError, match="0 in the middle"):
        write_manipulation(model, tmp_path / "manipulation.png", random_images(1), np.zeros([64]), alphas)


@pytest.mark.parametrize(
    ("images", "direction", "alphas", "message"),
    [
        (random_images(1), np.zeros([63]), [0.0], r"the 64 dimensions .* got shape \[63\]"),
        (random_images(1), np.full([64], np.nan), [0.0], "not finite"),
        (random_images(1), np.zeros([64]), [], "alphas .* got \\[\\]"),
        (random_images(1), np.zeros([64]), [np.inf], "alphas .* got \\[inf\\]"),
        (random_images(1, channels=3), np.zeros([64]), [0.0], r"shape \[1, 8, 8, 3\]"),
    ],
)
def test_manipulation_refuses(model, images, direction, alphas, message):
    with pytest.raises(ValueError, match=message):
        manipulate(model, images, direction, alphas)
