import re

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.evaluation.tiny_models import (
    assert_same_up_to_rounding,
    count_calls,
    fresh_tiny_model,
    random_images,
    tiny_model,
)
from tfflows.bijectors import ActNorm, Chain, InvertibleConv
from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.evaluation.grids import captioned_grid
from tfflows.evaluation.latents import LatentCodec
from tfflows.evaluation.samples import FORMS, find_samples, sample_images, sample_path, write_png, write_samples
from tfflows.math.random import row_keys, uniform_rows
from tfflows.tracing.finite import NotFiniteError
from tfflows.tracing.variables import named_variables

tfd = tfp.distributions


@pytest.fixture(scope="module")
def model():
    return tiny_model(levels=2)


@pytest.fixture(scope="module")
def conditional_model():
    return tiny_model(channels=3, num_classes=3)


def read(path):
    return tf.io.decode_png(path.read_bytes()).numpy()


def tiles(grid, rows, columns, factor, size=8, padding=4):
    """The images of a grid without texts, by row and column, at their own size."""
    place = factor * size + padding
    assert grid.shape[:2] == (rows * place + padding, columns * place + padding)
    found = grid[padding:, padding:].reshape(rows, place, columns, place, -1).swapaxes(1, 2)
    return found[:, :, : factor * size : factor, : factor * size : factor]


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_samples_are_those_of_the_model(model, temperature):
    images = sample_images(model, 6, seed=3, temperature=temperature)
    assert images.dtype == np.uint8
    assert_same_up_to_rounding(images, model.sample(6, row_keys(3), temperature).numpy())


def test_conditional_samples_are_those_of_the_model(conditional_model):
    labels = np.array([0, 1, 2, 2])
    images = sample_images(conditional_model, 4, seed=3, labels=labels, batch_size=3)
    expected = conditional_model.sample(4, row_keys(3), condition=tf.constant(labels, tf.int32))
    assert_same_up_to_rounding(images, expected.numpy())
    assert np.any(images[3] != sample_images(conditional_model, 4, seed=3, labels=[0, 1, 2, 0])[3])


def test_an_image_depends_on_seed_and_place_alone(model):
    images = sample_images(model, 10, seed=5)
    for num_samples, batch_size in [(10, 3), (7, 64)]:
        again = sample_images(model, num_samples, seed=5, batch_size=batch_size)
        assert_same_up_to_rounding(again, images[:num_samples])
    assert len({image.tobytes() for image in images}) == 10
    assert np.mean(images != sample_images(model, 10, seed=6)) > 0.5


def test_temperature_scales_the_same_noise(model):
    codec = LatentCodec(model, 4)
    noise = codec.encode(codec.sample(4, seed=0), seed=0)
    for temperature in (0.25, 0.5):
        cooler = codec.encode(codec.sample(4, seed=0, temperature=temperature), seed=0)
        cosines = np.sum(noise * cooler, 1) / np.linalg.norm(noise, axis=1) / np.linalg.norm(cooler, axis=1)
        # Pixels outside 0 ... 255 are clipped, so the directions agree only nearly.
        assert cosines.min() > 0.9
        assert np.all(np.linalg.norm(cooler, axis=1) < np.linalg.norm(noise, axis=1))


def test_temperature_0_gives_one_image(model):
    images = sample_images(model, 5, seed=0, temperature=0.0, batch_size=2)
    np.testing.assert_array_equal(images, np.repeat(images[:1], 5, axis=0))


def test_jit_gives_the_same_images():
    model = tiny_model()
    assert_same_up_to_rounding(sample_images(model, 4, seed=1, jit_compile=True), sample_images(model, 4, seed=1))


def test_replicated_model_gives_the_same_images(model):
    devices = [device.name for device in tf.config.list_logical_devices("CPU")[:2]]
    with tf.distribute.MirroredStrategy(devices).scope():
        replicated = fresh_tiny_model(levels=2)
    assert_same_up_to_rounding(sample_images(replicated, 3, seed=1), sample_images(model, 3, seed=1))


def test_is_traced_once_for_all_batches_and_temperatures(tmp_path):
    model = fresh_tiny_model()
    calls = count_calls(model, "decode_values")
    write_samples(model, tmp_path, 7, [0.0, 0.5, 1], seed=0, batch_size=3)
    assert len(calls) == 1


def test_warns_of_images_that_are_not_finite(caplog):
    model = fresh_tiny_model()
    variable = next(iter(named_variables(model).values()))
    variable.assign(np.full(variable.shape, np.nan, np.float32))
    images = sample_images(model, 5, seed=0, batch_size=2)
    assert "5 of 5 decoded images hold values that are not finite" in caplog.text
    assert images.shape == (5, 8, 8, 1)


def test_does_not_warn_of_finite_images(model, caplog):
    sample_images(model, 5, seed=0, batch_size=2)
    assert "not finite" not in caplog.text


def test_grid_of_each_temperature(model, tmp_path):
    paths = write_samples(model, tmp_path / "samples", 5, [0.0, 0.7, 0.705], seed=2, step=9)
    assert [path.name for path in paths] == [
        f"samples_step_9_temperature_{text}_seed_2_images_5.png" for text in ("0.00", "0.70", "0.705")
    ]
    images = sample_images(model, 5, seed=2, temperature=0.7)
    found = tiles(read(paths[1]), 2, 3, factor=25)
    assert_same_up_to_rounding(found.reshape(6, 8, 8, 1)[:5], images)


def test_conditional_grid_has_a_row_a_class(conditional_model, tmp_path):
    (path,) = write_samples(conditional_model, tmp_path, 5, [1.0], seed=2, num_classes=3)
    images = sample_images(conditional_model, 6, seed=2, labels=np.array([0, 0, 1, 1, 2, 2]))
    assert_same_up_to_rounding(tiles(read(path), 3, 2, factor=38).reshape(6, 8, 8, 3), images)


def test_grid_of_one_class(conditional_model, tmp_path):
    (path,) = write_samples(conditional_model, tmp_path, 4, [1.0], seed=2, label=1, num_classes=3)
    images = sample_images(conditional_model, 4, seed=2, labels=np.full([4], 1))
    assert_same_up_to_rounding(tiles(read(path), 2, 2, factor=38).reshape(4, 8, 8, 3), images)


def test_more_classes_than_samples_show_the_first_classes(conditional_model, tmp_path):
    (path,) = write_samples(conditional_model, tmp_path, 2, [1.0], seed=2, num_classes=3)
    tiles(read(path), 2, 1, factor=75)


def test_captions_say_what_is_shown(conditional_model, tmp_path):
    names = ("cat", "7", "\u732b")
    options = {"num_classes": 3, "class_names": names, "caption": "Glow"}
    (path,) = write_samples(conditional_model, tmp_path, 3, [0.5], 2, **options)
    images = sample_images(conditional_model, 3, seed=2, temperature=0.5, labels=np.arange(3))
    expected = captioned_grid(
        images, 1, caption="Glow, temperature 0.5, seed 2", row_names=["cat", "class 7", "class 2"]
    )
    np.testing.assert_array_equal(read(path), expected)
    (path,) = write_samples(conditional_model, tmp_path, 1, [1.0], 2, label=0, **options)
    images = sample_images(conditional_model, 1, seed=2, labels=np.zeros([1], int))
    expected = captioned_grid(images, caption="Glow, class cat, temperature 1, seed 2")
    np.testing.assert_array_equal(read(path), expected)


def test_single_files_and_arrays(conditional_model, tmp_path):
    """Both hold the same images, in batches that do not show, and say their classes."""
    labels = np.array([0, 1, 2, 0, 1])
    images = sample_images(conditional_model, 5, seed=2, labels=labels)
    for form in ("files", "npy") * 2:  # the second call replaces what the first one wrote
        write_samples(conditional_model, tmp_path, 5, [1.0], 2, form, num_classes=3, batch_size=2)
    folder, array = (sample_path(tmp_path, 1.0, 2, 5, form=form) for form in ("files", "npy"))
    own_labels = tmp_path / f"{array.stem}_labels.npy"
    assert set(tmp_path.iterdir()) == {folder, array, own_labels}
    assert np.load(array).dtype == np.uint8
    assert_same_up_to_rounding(np.load(array), images)
    assert sorted(path.name for path in folder.iterdir()) == [*(f"0000{i}.png" for i in range(5)), "labels.npy"]
    assert_same_up_to_rounding(np.stack([read(folder / f"0000{i}.png") for i in range(5)]), images)
    for path in (own_labels, folder / "labels.npy"):
        np.testing.assert_array_equal(np.load(path), labels)


@pytest.mark.parametrize("form", ["files", "npy"])
def test_what_fails_midway_leaves_what_was_there(model, tmp_path, monkeypatch, form):
    write_samples(model, tmp_path, 3, [1.0], 0, form, batch_size=2)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    decode = LatentCodec._padded

    def fail(codec, rows):
        if len(rows) < 2:
            raise OSError(28, "No space left on device")
        return decode(codec, rows)

    monkeypatch.setattr(LatentCodec, "_padded", fail)
    with pytest.raises(OSError, match="No space"):
        write_samples(model, tmp_path, 3, [1.0], 0, form, batch_size=2)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


class Guided:
    """A model whose samples are drawn given an image, as those of `AGAVE`."""

    image_shape = tf.TensorShape([8, 8, 1])

    def condition_of(self, labels):
        return None

    def sample_with_means(self, num_samples, keys, temperature, condition):
        noise = uniform_rows(keys, num_samples, self.image_shape)
        return tf.zeros(noise.shape, tf.uint8), tf.cast(255 * temperature * noise, tf.uint8)


def test_samples_beside_what_they_are_drawn_given(tmp_path):
    (path,) = write_samples(Guided(), tmp_path, 3, [0.5], seed=4, batch_size=2)
    (array,) = write_samples(Guided(), tmp_path, 3, [0.5], seed=4, form="npy")
    expected = tf.cast(127.5 * uniform_rows(row_keys(4), 3, [8, 8, 1]), tf.uint8).numpy()
    np.testing.assert_array_equal(np.load(array), expected)
    found = tiles(read(path), 2, 4, factor=19).reshape(4, 2, 8, 8, 1)
    np.testing.assert_array_equal(found[:3, 1], expected)
    assert not found[:3, 0].any()
    (path,) = write_samples(Guided(), tmp_path, 1, [0.5], seed=4, caption="")
    shown = np.stack([np.zeros_like(expected[0]), expected[0]])
    names = ["f(z)", "sample"]
    np.testing.assert_array_equal(
        read(path), captioned_grid(shown, 2, caption="temperature 0.5, seed 4", column_names=names)
    )


def test_samples_of_a_temperature_are_found_under_all_names(tmp_path):
    ours = [sample_path(tmp_path, 0.7, 0, 9, **options) for options in ({}, {"step": 3}, {"step": 3, "label": 1})]
    ours += [sample_path(tmp_path, 0.7, 1, 9, 3, form=form) for form in FORMS]
    ours.append(tmp_path / "samples_temperature_0.70.png")
    others = [sample_path(tmp_path, 0.705, 0, 9, 3), tmp_path / "samples_temperature_0.7.png"]
    others += [tmp_path / f"{ours[0].stem}_labels.npy", tmp_path / f".{ours[0].name}.abc.tmp"]
    assert len({*ours, *others}) == len(ours) + len(others)
    for path in (*ours, *others):
        path.touch()
    assert find_samples(tmp_path, 0.7) == sorted(ours)
    assert find_samples(tmp_path / "nowhere", 0.7) == []


def test_names_tell_classes_apart_that_look_the_same():
    names = {
        sample_path("a", 1.0, 0, 9, label=label, class_name=name).name
        for label, name in enumerate(["a/b", "a b", "../a*b", "x" * 300, "\ud800", ""])
    }
    assert len(names) == 6
    assert all(re.fullmatch(r"[\w.-]{1,150}", name) for name in names)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_samples": 0}, "num_samples .* got 0"),
        ({"temperatures": [-0.1]}, "temperature .* got -0.1"),
        ({"temperatures": [float("nan")]}, "temperature .* got nan"),
        ({"temperatures": []}, "at least one temperature"),
        ({"label": 1}, "unconditional"),
        ({"batch_size": 0}, "batch_size .* got 0"),
        ({"form": "jpg"}, "form must be one of grid, files, npy, got 'jpg'"),
    ],
)
def test_refuses(model, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        write_samples(model, tmp_path, **{"num_samples": 2, "temperatures": [1.0], "seed": 0, **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 0}, "num_classes"),
        ({"num_classes": 3, "label": 3}, "0 to 2, got 3"),
        ({"num_classes": 3, "label": -1}, "0 to 2, got -1"),
        ({"num_classes": 3, "class_names": ["cat"]}, "a name for each of 3 classes, got 1"),
    ],
)
def test_conditional_grid_refuses(conditional_model, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        write_samples(conditional_model, tmp_path, 2, [1.0], seed=0, **options)


def test_refuses_labels_that_do_not_fit(model, conditional_model):
    with pytest.raises(ValueError, match="unconditional"):
        sample_images(model, 2, seed=0, labels=[0, 1])
    with pytest.raises(ValueError, match="conditional: it needs a label"):
        sample_images(conditional_model, 2, seed=0)
    with pytest.raises(ValueError, match=r"2 images, got int64 of shape \[3\]"):
        sample_images(conditional_model, 2, seed=0, labels=np.array([0, 1, 2]))
    for wrong in (7, -1, 2**32):
        with pytest.raises(ValueError, match=f"0 to 2, got {wrong}"):
            sample_images(conditional_model, 2, seed=0, labels=np.array([0, wrong]))


def test_codec_gives_images_back(model):
    images = random_images(5)
    codec = LatentCodec(model, 2)
    latents = codec.encode(images, seed=0)
    assert latents.shape == (5, 64)
    np.testing.assert_allclose(latents, LatentCodec(model, 3).encode(images, seed=0), atol=1e-4)
    assert np.any(latents != codec.encode(images, seed=1))
    assert_same_up_to_rounding(codec.decode(latents), images)


def test_codec_refuses_images_and_latents_of_another_model(model):
    codec = LatentCodec(model, 2)
    for images in (random_images(2, channels=3), random_images(2).astype(np.float32), random_images(0)):
        with pytest.raises(ValueError, match=r"uint8 images \[N, 8, 8, 1\], got"):
            codec.encode(images, seed=0)
    with pytest.raises(ValueError, match=r"latents \[N, 64\], got shape \[2, 65\]"):
        codec.decode(np.zeros([2, 65]))


@pytest.mark.parametrize("channels", [1, 3])
def test_png_holds_the_image(tmp_path, channels):
    image = np.random.default_rng(0).integers(0, 256, [5, 7, channels], dtype=np.uint8)
    path = write_png(tmp_path / "new" / "image.png", image)
    assert path == tmp_path / "new" / "image.png"
    np.testing.assert_array_equal(tf.io.decode_png(path.read_bytes()), image)
    assert [file.name for file in path.parent.iterdir()] == ["image.png"]


def test_png_replaces_an_older_one(tmp_path):
    path = tmp_path / "image.png"
    for value in (1, 2):
        write_png(path, np.full([2, 2, 1], value, np.uint8))
    np.testing.assert_array_equal(tf.io.decode_png(path.read_bytes()), np.full([2, 2, 1], 2))


@pytest.mark.parametrize("image", [np.zeros([2, 2], np.uint8), np.zeros([2, 2, 1]), np.zeros([2, 2, 4], np.uint8)])
def test_png_refuses_what_is_no_image(tmp_path, image):
    with pytest.raises(ValueError, match="uint8 image"):
        write_png(tmp_path / "image.png", image)
    assert not list(tmp_path.iterdir())


def test_a_singular_matrix_is_named():
    conv = InvertibleConv(1, seed=0, name="third")
    conv.weight.assign([[0.0]])
    base = tfd.Sample(tfd.Normal(0.0, 1.0), [2, 2, 1])
    model = DequantizedFlow(tfd.TransformedDistribution(base, Chain([ActNorm([1]), conv])))
    with pytest.raises(NotFiniteError, match=r"InvertibleConv 'third' has no inverse.*It is bijectors/1 of Chain"):
        sample_images(model, num_samples=2, seed=0)
