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
from tfflows.evaluation.latents import LatentCodec
from tfflows.evaluation.samples import BACKGROUND, image_grid, sample_images, write_png, write_sample_grids
from tfflows.math.random import row_keys
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


def cell(grid, row, column, size=8, padding=2):
    top, left = (padding + place * (size + padding) for place in (row, column))
    return grid[top : top + size, left : left + size]


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
    write_sample_grids(model, tmp_path, 7, [0.0, 0.5, 1], seed=0, batch_size=3)
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
    paths = write_sample_grids(model, tmp_path / "samples", 5, [0.0, 0.7, 0.705], seed=2)
    assert [path.name for path in paths] == [f"samples_temperature_{text}.png" for text in ("0.00", "0.70", "0.705")]
    images = sample_images(model, 5, seed=2, temperature=0.7)
    grid = read(paths[1])
    assert grid.shape == (2 * 10 + 2, 3 * 10 + 2, 1)
    for number in range(5):
        assert_same_up_to_rounding(cell(grid, number // 3, number % 3), images[number])


def test_conditional_grid_has_a_row_a_class(conditional_model, tmp_path):
    (path,) = write_sample_grids(conditional_model, tmp_path, 5, [1.0], seed=2, num_classes=3)
    grid = read(path)
    assert grid.shape == (3 * 10 + 2, 2 * 10 + 2, 3)
    images = sample_images(conditional_model, 6, seed=2, labels=np.array([0, 0, 1, 1, 2, 2]))
    for number in range(6):
        assert_same_up_to_rounding(cell(grid, number // 2, number % 2), images[number])


def test_grid_of_one_class(conditional_model, tmp_path):
    (path,) = write_sample_grids(conditional_model, tmp_path, 4, [1.0], seed=2, label=1, num_classes=3)
    images = sample_images(conditional_model, 4, seed=2, labels=np.full([4], 1))
    for number in range(4):
        assert_same_up_to_rounding(cell(read(path), number // 2, number % 2), images[number])


def test_more_classes_than_samples_show_the_first_classes(conditional_model, tmp_path):
    (path,) = write_sample_grids(conditional_model, tmp_path, 2, [1.0], seed=2, num_classes=3)
    assert read(path).shape == (2 * 10 + 2, 1 * 10 + 2, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_samples": 0}, "num_samples .* got 0"),
        ({"temperatures": [-0.1]}, "temperature .* got -0.1"),
        ({"temperatures": [float("nan")]}, "temperature .* got nan"),
        ({"temperatures": []}, "at least one temperature"),
        ({"label": 1}, "unconditional"),
        ({"batch_size": 0}, "batch_size .* got 0"),
    ],
)
def test_refuses(model, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        write_sample_grids(model, tmp_path, **{"num_samples": 2, "temperatures": [1.0], "seed": 0, **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 0}, "num_classes"),
        ({"num_classes": 3, "label": 3}, "0 to 2, got 3"),
        ({"num_classes": 3, "label": -1}, "0 to 2, got -1"),
    ],
)
def test_conditional_grid_refuses(conditional_model, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        write_sample_grids(conditional_model, tmp_path, 2, [1.0], seed=0, **options)


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


def numbered_images(count, channels, height=3, width=4):
    """Image i is filled with the value i."""
    return np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], [count, height, width, channels])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("padding", [0, 2])
def test_image_i_is_in_row_i_over_columns(channels, padding):
    grid = image_grid(numbered_images(5, channels), num_columns=3, padding=padding)
    assert grid.dtype == np.uint8
    assert grid.shape == (2 * (3 + padding) + padding, 3 * (4 + padding) + padding, channels)
    expected = np.full(grid.shape, BACKGROUND, np.uint8)
    for number in range(5):
        top = padding + (number // 3) * (3 + padding)
        left = padding + (number % 3) * (4 + padding)
        expected[top : top + 3, left : left + 4] = number
    np.testing.assert_array_equal(grid, expected)


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (4, 2), (5, 3), (9, 3), (10, 4)])
def test_is_nearly_square_by_default(count, columns):
    assert image_grid(numbered_images(count, 1), padding=0).shape[1] == 4 * columns


def test_takes_tensors():
    images = numbered_images(3, 3)
    np.testing.assert_array_equal(image_grid(tf.constant(images)), image_grid(images))


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (np.zeros([3, 4, 1], np.uint8), {}, r"shape \[3, 4, 1\]"),
        (np.zeros([2, 3, 4, 2], np.uint8), {}, r"shape \[2, 3, 4, 2\]"),
        (np.zeros([0, 3, 4, 1], np.uint8), {}, r"shape \[0, 3, 4, 1\]"),
        (np.zeros([2, 3, 4, 1], np.float32), {}, "uint8 .* got float32"),
        (np.zeros([2, 3, 4, 1], np.uint8), {"num_columns": 0}, "num_columns .* got 0"),
        (np.zeros([2, 3, 4, 1], np.uint8), {"padding": -1}, "padding .* got -1"),
    ],
)
def test_refuses_what_is_no_batch_of_images(images, options, message):
    with pytest.raises(ValueError, match=message):
        image_grid(images, **options)


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
