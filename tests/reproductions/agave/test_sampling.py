"""Cached samples are those of a loop that runs the whole network for each pixel, under the same uniform numbers."""

import io

import numpy as np
import pytest
import tensorflow as tf

from tests.distributions.small_models import agave, scattered
from tests.distributions.small_models import images as small_images
from tests.reproductions.agave.test_model import initialized
from tfflows import progress
from tfflows.distributions import pixelcnn_images
from tfflows.distributions.pixelcnn_images import PixelCNNImages
from tfflows.evaluation.samples import write_samples
from tfflows.math.discretized_logistic_mixture import num_parameters
from tfflows.math.random import row_keys
from tfflows.networks import FeatureStream, PixelCNN
from tfflows.networks.pixelcnn.sampling import cached_sample, naive_sample
from tfflows.tracing.sampler import compiled_pixels

BATCH, HEIGHT, WIDTH, COMPONENTS, CHANNELS = 2, 8, 12, 2, 4


def uniform(*shape, seed):
    return tf.random.stateless_uniform(shape, [seed, 1], 1e-5, 1 - 1e-5)


def network_and_features(injection, num_blocks, num_classes=0, height=HEIGHT, width=WIDTH, channels=3):
    """Scattered weights, so that biases and gains count."""
    options = {"num_classes": num_classes, "channels": channels}
    options |= {} if injection is None else {"feature_channels": CHANNELS, "injection": injection}
    network = PixelCNN(CHANNELS, num_parameters(COMPONENTS, channels), num_blocks, seed=3, **options)
    features = None
    if injection is not None:
        stream = FeatureStream(CHANNELS, num_blocks, seed=4)
        features = stream.initialize(uniform(BATCH, height, width, 3, seed=5))
    labels = tf.range(BATCH) if num_classes else None
    network.initialize(2 * uniform(BATCH, height, width, channels, seed=6) - 1, features, labels=labels)
    for index, variable in enumerate(network.trainable_variables):
        variable.assign(variable + 0.1 * tf.random.stateless_normal(variable.shape, [index, 2]))
    return network, features


FORMS = [("both", 1, 3), ("both", 1, 0), (None, 2, 0), ("horizontal", 1, 0)]


@pytest.mark.parametrize(
    ("injection", "num_blocks", "num_classes", "height", "width"),
    [
        pytest.param(None, 1, 3, 4, 4, marks=pytest.mark.slow),
        *(pytest.param(*form, HEIGHT, WIDTH, marks=pytest.mark.slow) for form in FORMS),
    ],
)
def test_cached_samples_are_the_naive_ones(injection, num_blocks, num_classes, height, width):
    network, features = network_and_features(injection, num_blocks, num_classes, height, width)
    labels = tf.constant([2, 0]) if num_classes else None
    uniforms = uniform(BATCH, height, width, COMPONENTS, seed=1), uniform(BATCH, height, width, 3, seed=2)

    def run(sampler):
        return tf.function(lambda: sampler(network, COMPONENTS, *uniforms, features, labels=labels), autograph=False)()

    naive = run(naive_sample)
    assert np.abs(naive).max() <= 1 and np.std(naive) > 0.2
    np.testing.assert_allclose(run(cached_sample), naive, atol=1e-4)


@pytest.mark.slow
def test_cached_samples_of_grey_images_are_the_naive_ones():
    network, _ = network_and_features(None, 1, channels=1)
    uniforms = uniform(BATCH, 4, 8, COMPONENTS, seed=1), uniform(BATCH, 4, 8, 1, seed=2)
    naive, cached = (
        tf.function(lambda sampler=sampler: sampler(network, COMPONENTS, *uniforms), autograph=False)()
        for sampler in (naive_sample, cached_sample)
    )
    assert naive.shape == [BATCH, 4, 8, 1] and np.std(naive) > 0.2
    np.testing.assert_allclose(cached, naive, atol=1e-4)


@pytest.mark.slow
def test_cached_samples_given_labels_are_the_naive_ones():
    network, _ = network_and_features(None, 1, num_classes=3)
    uniforms = uniform(BATCH, 4, 4, COMPONENTS, seed=1), uniform(BATCH, 4, 4, 3, seed=2)

    def sample(sampler):
        return tf.function(lambda labels: sampler(network, COMPONENTS, *uniforms, labels=labels), autograph=False)

    cached, labels = sample(cached_sample), tf.constant([2, 0])
    np.testing.assert_allclose(cached(labels), sample(naive_sample)(labels), atol=1e-4)
    differences = np.abs(cached(labels) - cached(tf.constant([1, 0]))).max(axis=(1, 2, 3))
    assert differences[0] > 0.1 and differences[1] == 0
    with pytest.raises(ValueError, match="Labels must be 0 to 2, got 3"):
        cached_sample(network, COMPONENTS, *uniforms, labels=[3, 0])


@pytest.mark.slow
def test_eager_samples_and_the_first_pixels_are_those_of_a_graph():
    network, features = network_and_features("both", 1)
    uniforms = uniform(BATCH, HEIGHT, WIDTH, COMPONENTS, seed=1), uniform(BATCH, HEIGHT, WIDTH, 3, seed=2)

    def run(sampler, **options):
        return tf.function(lambda: sampler(network, COMPONENTS, *uniforms, features, **options), autograph=False)()

    naive = run(naive_sample)
    eager = cached_sample(network, COMPONENTS, *uniforms, features)
    np.testing.assert_allclose(eager, naive, atol=1e-4)
    few = run(naive_sample, num_pixels=5).numpy().reshape([BATCH, -1, 3])
    np.testing.assert_array_equal(few[:, :5], naive.numpy().reshape([BATCH, -1, 3])[:, :5])
    assert not few[:, 5:].any()


@pytest.mark.slow
def test_a_batch_whose_size_a_trace_does_not_know():
    network, _ = network_and_features("both", 1)
    features = FeatureStream(CHANNELS, 1, seed=4).initialize(uniform(BATCH, 4, 4, 3, seed=5))
    inputs = uniform(BATCH, 4, 4, COMPONENTS, seed=1), uniform(BATCH, 4, 4, 3, seed=2), features

    def run(component_uniforms, uniforms, features):
        return cached_sample(network, COMPONENTS, component_uniforms, uniforms, features)

    signature = tf.nest.map_structure(lambda tensor: tf.TensorSpec([None, *tensor.shape[1:]]), inputs)
    found = tf.function(run, input_signature=signature, autograph=False)(*inputs)
    np.testing.assert_allclose(found, tf.function(run, autograph=False)(*inputs), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("injection", [None, "both"])
def test_xla_compiles_cached_sampling(injection):
    network, features = network_and_features(injection, 1, height=4, width=4)
    uniforms = uniform(BATCH, 4, 4, COMPONENTS, seed=1), uniform(BATCH, 4, 4, 3, seed=2)

    def run(jit_compile):
        return cached_sample(network, COMPONENTS, *uniforms, features, jit_compile=jit_compile)

    np.testing.assert_allclose(run(True), run(False), atol=1e-4)


@pytest.mark.slow
def test_written_samples_are_the_same_under_xla(tmp_path):
    network, _ = network_and_features(None, 1, height=4, width=4)
    model = PixelCNNImages(network, COMPONENTS, [4, 4, 3])

    def written(jit_compile):
        directory = tmp_path / str(jit_compile)
        with progress.shown(stream=io.StringIO()):  # a plain loop tells how far it is, which XLA cannot compile
            (path,) = write_samples(model, directory, 3, [1.0], seed=0, form="npy", jit_compile=jit_compile)
        return np.load(path).astype(int)

    plain = written(False)
    assert np.std(plain) > 20
    assert np.mean(np.abs(written(True) - plain) <= 1) > 0.999


def test_a_context_has_xla_compile_the_pixels(monkeypatch):
    network, _ = network_and_features(None, 1, height=4, width=4)
    model, chosen = PixelCNNImages(network, COMPONENTS, [4, 4, 3]), []

    def draw(network, num_components, component_uniforms, uniforms, *_, jit_compile, **options):
        chosen.append(jit_compile)
        return 0 * uniforms

    monkeypatch.setattr(pixelcnn_images, "cached_sample", draw)
    model.sample(2, row_keys(0))
    for jit_compile in (True, False):
        with compiled_pixels(jit_compile):
            model.sample(2, row_keys(0))
    assert chosen == [False, True, False]


@pytest.mark.parametrize("form", ["guided", "pixelcnn"])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_flag_of_written_samples_reaches_the_loop_over_pixels(form, jit_compile, monkeypatch, tmp_path):
    chosen = []

    def draw(network, num_components, component_uniforms, uniforms, *_, jit_compile, **options):
        chosen.append(jit_compile)
        return 0 * uniforms

    monkeypatch.setattr(pixelcnn_images, "cached_sample", draw)
    write_samples(initialized(form), tmp_path, 2, [1.0], seed=0, form="npy", jit_compile=jit_compile)
    assert chosen and set(chosen) == {jit_compile}


@pytest.mark.slow
def test_written_samples_of_agave_are_the_same_under_xla(tmp_path):
    model = agave(num_components=COMPONENTS)
    model.initialize(small_images(), tf.zeros([2], tf.int32), row_keys(0))
    scattered(model)
    plain, compiled = (
        np.load(write_samples(model, tmp_path / str(jit), 3, [1.0], seed=0, form="npy", jit_compile=jit)[0]).astype(int)
        for jit in (False, True)
    )
    assert np.std(plain) > 20
    assert np.mean(np.abs(compiled - plain) <= 1) > 0.99
