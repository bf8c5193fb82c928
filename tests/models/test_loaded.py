"""Models loaded from the golden workdirs, which earlier versions wrote: they measure and draw what their runs did."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tests.golden.runs import GOLDEN, RUNS, WORKDIRS
from tests.slow import slow_but
from tfflows.data import load_dataset
from tfflows.evaluation.grids import image_grid
from tfflows.models import Model, load
from tfflows.tracing.finite import NotFiniteError
from tfflows.tracing.variables import named_variables
from tfflows.training.moving_average import evaluated_names

PATHS = {run.name: run.workdir(WORKDIRS) for run in RUNS}
BY_DEFAULT = ("glow", "agave_vae")
# Photographs are encoded and decoded exactly by these.
FLOWS = [name for name in PATHS if "agave" not in name]
# Of one label; with a caption, as pictures have it that later versions wrote.
NO_PLAIN_SAMPLES = ("glow_conditional", "realnvp")


@functools.cache
def loaded(name, **options):
    return load(PATHS[name], data_dir=GOLDEN, **options)


@functools.cache
def images_of(name):
    source = load_dataset(loaded(name).settings["dataset"], "test", data_dir=GOLDEN)
    return source.images[:20], source.labels[:20]


def labels_of(name, number=None):
    model = loaded(name)
    return {"labels": images_of(name)[1][:number]} if model.is_conditional else {}


@pytest.mark.parametrize("name", slow_but(BY_DEFAULT, PATHS))
def test_bits_per_dim_are_those_of_the_run(name):
    model, (images, _) = loaded(name), images_of(name)
    assert model.step == 3 and model.record["steps"] == 3
    bits = model.bits_per_dim(images, **labels_of(name))
    assert bits.shape == [len(images)]
    np.testing.assert_allclose(bits, np.load(PATHS[name] / "test_bits_per_dim.npy")[: len(images)], rtol=1e-5)
    log_prob = model.log_prob(images, **labels_of(name))
    np.testing.assert_allclose(bits, -log_prob / (np.log(2) * model.distribution.num_dimensions), rtol=1e-6)


@pytest.mark.parametrize("name", slow_but(("glow",), [name for name in PATHS if name not in NO_PLAIN_SAMPLES]))
def test_samples_are_those_of_the_pictures(name):
    model = loaded(name)
    images = model.sample(2, temperature=0.7, seed=0)
    picture = tf.io.decode_png(
        (PATHS[name] / "pictures" / "samples_temperature_0.70.png").read_bytes(), channels=images.shape[-1]
    )
    if name in ("agave", "agave_joint"):  # each beside its f(z)
        return
    grid = image_grid(images)
    assert (np.abs(grid.astype(int) - picture.numpy()) <= 1).mean() > 0.99


@pytest.mark.parametrize("name", slow_but(("glow",), FLOWS))
def test_flows_decode_what_they_encode(name):
    model, (images, _) = loaded(name), images_of(name)
    few, labels = images[:3], labels_of(name, 3)
    latents = model.encode(few, **labels)
    assert latents.shape == [3, *model.latent_shape] and model.has_latent and not model.is_exact
    bits = model.description.num_bits
    expected = few // 2 ** (8 - bits) * 2 ** (8 - bits)
    np.testing.assert_array_equal(model.decode(latents, **labels), expected)
    np.testing.assert_array_equal(model.reconstruct(few, **labels), expected)
    pair = {"labels": tuple(labels["labels"][:2])} if labels else {}
    frames = model.interpolate(few[0], few[1], num_frames=3, **pair)
    np.testing.assert_array_equal(frames[[0, -1]], expected[:2])


def test_latent_variable_models_decode_draws():
    model, (images, _) = loaded("agave_vae"), images_of("agave_vae")
    latents = model.encode(images[:3], seed=4)
    assert latents.shape == [3, *model.latent_shape]
    assert not np.array_equal(latents, model.encode(images[:3], seed=5))
    means, drawn = model.decode(latents), [model.decode(latents, seed=seed).numpy() for seed in (0, 0, 1)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2]) and not np.array_equal(drawn[0], means)
    np.testing.assert_array_equal(model.reconstruct(images[:3], seed=4), means)
    assert model.interpolate(images[:2], images[2:4], num_frames=4).shape == (2, 4, *model.image_shape)


@pytest.mark.slow
def test_a_model_of_pixels_has_no_latents():
    model, (images, _) = loaded("agave_pixelcnn"), images_of("agave_pixelcnn")
    assert model.is_exact and not model.has_latent
    for call in (
        lambda: model.encode(images),
        lambda: model.decode(images),
        lambda: model.reconstruct(images),
        lambda: model.interpolate(images[0], images[1]),
    ):
        with pytest.raises(TypeError, match="PixelCNNImages has no latents, so it has no"):
            call()


@pytest.mark.slow
def test_in_batches_and_in_a_graph():
    model, (images, _) = loaded("glow"), images_of("glow")
    small = Model(model.distribution, batch_size=2)
    np.testing.assert_allclose(
        small.bits_per_dim(images[:5], seed=3), model.bits_per_dim(images[:5], seed=3), rtol=1e-5
    )
    np.testing.assert_array_equal(small.sample(5, 0.7, seed=3)[:2], model.sample(5, 0.7, seed=3)[:2])

    @tf.function(input_signature=[tf.TensorSpec([None, *model.image_shape], tf.uint8), tf.TensorSpec([], tf.int32)])
    def inside(images, number):
        latents = model.encode(images)
        return (
            model.bits_per_dim(images),
            model.decode(latents),
            model.sample(number),
            model.log_prob(images, num_samples=number),
        )

    bits, decoded, samples, log_prob = inside(images[:5], 4)
    np.testing.assert_allclose(bits, model.bits_per_dim(images[:5]), rtol=1e-5)
    np.testing.assert_array_equal(decoded, images[:5])
    assert samples.shape == [4, *model.image_shape] and log_prob.dtype == tf.float64
    np.testing.assert_allclose(log_prob, model.log_prob(images[:5], num_samples=4), rtol=1e-6)


def test_more_samples_give_a_tighter_bound():
    model, (images, _) = loaded("agave_vae"), images_of("agave_vae")
    one, many = model.log_prob(images[:5]), model.log_prob(images[:5], num_samples=50)
    assert np.mean(many) > np.mean(one)


def test_a_singular_layer_is_named():
    model = loaded("glow")
    (weight,) = [
        v for name, v in named_variables(model.distribution).items() if name.endswith("/weight") and v.shape.rank == 2
    ][:1]
    before = tf.identity(weight)
    weight.assign(tf.zeros_like(weight))
    try:
        with pytest.raises(NotFiniteError, match="InvertibleConv"):
            model.sample(2)
    finally:
        weight.assign(before)


def test_latents_are_not_served_from_a_cache():
    model, (images, _) = loaded("glow"), images_of("glow")
    latents = model.encode(images[:2])
    variable = model.distribution.trainable_variables[0]
    before = tf.identity(variable)
    variable.assign_add(tf.ones_like(variable))
    try:
        assert not np.array_equal(model.decode(latents), images[:2])
    finally:
        variable.assign(before)


@pytest.mark.slow
def test_averages_and_raw_parameters():
    averaged, raw = loaded("flowpp_averages"), loaded("flowpp_averages", raw=True)
    names = [name for name in evaluated_names({f"model/{v.name}": v for v in raw.distribution.trainable_variables})]
    assert names and any(
        not np.array_equal(one, other)
        for one, other in zip(
            averaged.distribution.trainable_variables, raw.distribution.trainable_variables, strict=True
        )
    )


@pytest.mark.slow
def test_the_best_checkpoint():
    images, _ = images_of("glow_best")
    best, latest = loaded("glow_best", checkpoint="best"), loaded("glow_best")
    assert best.record is not None and best.step <= latest.step
    assert np.isfinite(best.bits_per_dim(images)).all()


@pytest.mark.slow
def test_labels():
    model, (images, labels) = loaded("glow_conditional"), images_of("glow_conditional")
    assert model.is_conditional and model.num_classes == 10 and model.description.class_names[3] == "3"
    np.testing.assert_array_equal(model.sample(3, label="7"), model.sample(3, label=[7, 7, 7]))
    assert model.sample(3).shape == [3, *model.image_shape]
    assert not np.array_equal(model.bits_per_dim(images, labels), model.bits_per_dim(images, (labels + 1) % 10))
    for wrong, message in [
        (None, "got none"),
        (10, "0 to 9"),
        ([1, 2], "a label for each of 20"),
        ("cat", "no class 'cat'"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.bits_per_dim(images, wrong)


def test_labels_that_a_graph_learns_when_it_runs():
    model, (images, labels) = loaded("glow_conditional"), images_of("glow_conditional")
    signature = [tf.TensorSpec([None, *model.image_shape], tf.uint8), tf.TensorSpec(None, tf.int32)]
    measure = tf.function(model.bits_per_dim, input_signature=signature, autograph=False)
    np.testing.assert_allclose(measure(images, labels), model.bits_per_dim(images, labels), rtol=1e-5)
    np.testing.assert_allclose(measure(images, 3), model.bits_per_dim(images, 3), rtol=1e-5)
    for wrong, message in [(10, "Labels must be 0 to 9"), (labels - 1, "0 to 9"), ([1, 2], "a label for each image")]:
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            measure(images, wrong)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda images: {"images": images.astype(np.float32)}, "uint8"),
        (lambda images: {"images": images[:, :8]}, "of shape"),
        (lambda images: {"images": images, "labels": 0}, "takes no labels"),
        (lambda images: {"images": images[:0]}, "at least one image"),
    ],
)
def test_refused_images(arguments, message):
    images, _ = images_of("glow")
    with pytest.raises(ValueError, match=message):
        loaded("glow").bits_per_dim(**arguments(images))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_samples": 0}, "num_samples must be at least 1"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"label": 1}, "takes no labels"),
    ],
)
def test_refused_samples(arguments, message):
    with pytest.raises(ValueError, match=message):
        loaded("glow").sample(**arguments)


def test_refused_directories(tmp_path):
    with pytest.raises(FileNotFoundError, match="no model 'nothing'"):
        load("nothing", models_dir=tmp_path)
    with pytest.raises(FileNotFoundError, match="not the working directory of a run"):
        load(tmp_path)
    (tmp_path / "experiment.json").write_text('{"optimizer": "Adam"}')
    with pytest.raises(ValueError, match="names no paper"):
        load(tmp_path)
    (tmp_path / "experiment.json").write_text('{"paper": "glow"}')
    with pytest.raises(ValueError, match="no experiment of glow"):
        load(tmp_path)
    (tmp_path / "experiment.json").write_text((PATHS["glow"] / "experiment.json").read_text())
    with pytest.raises(ValueError, match="Give image_shape"):
        load(tmp_path)
    with pytest.raises(FileNotFoundError, match="No latest checkpoint"):
        load(tmp_path, image_shape=(16, 16, 3))
    with pytest.raises(ValueError, match="checkpoint must be one of"):
        load(PATHS["glow"], checkpoint="newest")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model, images: model.sample(2.5), "num_samples must be an integer"),
        (lambda model, images: model.sample("2"), "num_samples must be an integer"),
        (lambda model, images: model.sample(True), "num_samples must be an integer"),
        (lambda model, images: model.log_prob(images, num_samples=2.5), "num_samples must be an integer"),
        (lambda model, images: model.sample(2, seed=1.5), "seed must be an integer"),
        (lambda model, images: model.sample(2, seed=2**63), "seed must be an integer"),
        (lambda model, images: model.sample(2, seed=[0, 1]), "seed must be an integer"),
        (lambda model, images: model.sample(2, "1"), "temperature must be a number"),
        (lambda model, images: model.interpolate(images[0], images[1], num_frames=1), "num_frames must be an integer"),
        (lambda model, images: model.interpolate(images[0], images[:2]), "in pairs of one shape"),
        (lambda model, images: model.interpolate(images[0], images[1], labels=1), "labels must be a pair"),
        (lambda model, images: model.bits_per_dim(None), "got None"),
        (lambda model, images: model.check(images[:0]), "at least one image"),
        (lambda model, images: model.fit(images, 1, labels=np.zeros([20], int)), "takes no labels"),
    ],
)
def test_refused_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call(loaded("glow"), images_of("glow")[0])


def test_directories_that_are_files(tmp_path):
    (tmp_path / "file").write_text("keep")
    for write in (loaded("glow").export, loaded("glow").save):
        for path in (tmp_path / "file", tmp_path / "file" / "below"):
            with pytest.raises(NotADirectoryError, match="is a file"):
                write(path)


def test_numbers_of_other_types():
    model, (images, _) = loaded("glow"), images_of("glow")
    np.testing.assert_array_equal(
        model.sample(np.int64(2), np.float32(0.5), seed=np.uint8(3)), model.sample(2, 0.5, seed=3)
    )
    latents = model.encode(images[:2]).numpy()
    np.testing.assert_array_equal(model.decode(latents.astype(np.float64)), images[:2])


def test_images_of_unknown_shape_in_a_graph():
    model, (images, _) = loaded("glow"), images_of("glow")
    for shape in ([None, None, None, 3], None):
        traced = tf.function(model.encode, input_signature=[tf.TensorSpec(shape, tf.uint8)], autograph=False)
        np.testing.assert_allclose(traced(images[:2]), model.encode(images[:2]), atol=1e-4)


def test_a_mistyped_name_of_a_model_is_answered_with_the_name(tmp_path):
    (tmp_path / "glow_small").mkdir()
    (tmp_path / "glow_small" / "weights.safetensors").touch()
    with pytest.raises(FileNotFoundError, match="Did you mean 'glow_small'"):
        load("glow_smal", models_dir=tmp_path)


def test_methods_that_are_each_traced_once_are_not_said_to_be_traced_again_and_again(caplog):
    model, (images, _) = load(PATHS["glow"], data_dir=GOLDEN), images_of("glow")
    for _ in range(2):
        model.bits_per_dim(images[:2])
        model.decode(model.encode(images[:2]))
        model.sample(2)
        model.sample(5, temperature=0.5)
        model.interpolate(images[0], images[1], num_frames=3)
        model.log_prob(images[:3])
    assert "retracing" not in caplog.text
