"""PixelCNN++ and its feature stream: nothing leaks, features reach every pixel, graphs, memory, init, errors."""

import contextlib
import functools

import numpy as np
import pytest
import tensorflow as tf

from tests.slow import slow_but
from tfflows.math.random import fold_in, row_keys
from tfflows.networks import FeatureStream, GatedResidual, PixelCNN
from tfflows.networks.pixelcnn import network as module
from tfflows.tracing.memory import memory_scope
from tfflows.tracing.shared_blocks import traces_apart

SIDE = 8
FORMS = {
    "unconditional": {},
    "conditional": {"feature_channels": 4},
    "conditional_horizontal": {"feature_channels": 4, "injection": "horizontal"},
}


def normal(*shape, seed=0, dtype=tf.float32):
    return tf.random.stateless_normal(shape, seed=[seed, 7], dtype=dtype)


def pixels(batch, dtype=tf.float32):
    return tf.tanh(normal(batch, SIDE, SIDE, 3, dtype=dtype))


@functools.cache
def network(form, dtype="float32", num_blocks=1, **options):
    """With its stream, or None; initialized."""
    made = PixelCNN(4, 6, num_blocks, **FORMS[form], dtype=dtype, seed=1, **options)
    stream = None
    features = None
    if form != "unconditional":
        stream = FeatureStream(4, num_blocks, dtype=dtype, seed=2)
        features = stream.initialize(2 * pixels(4, dtype))
    made.initialize(pixels(4, dtype), features)
    return made, stream


def features_of(stream, batch, dtype=tf.float32, seed=3):
    return None if stream is None else stream(normal(batch, SIDE, SIDE, 3, seed=seed, dtype=dtype))


@pytest.mark.parametrize("form", slow_but(["conditional_horizontal"], list(FORMS)))
def test_no_pixel_sees_itself_or_a_later_one(form):
    made, stream = network(form, "float64")
    # Of each copy of an image one pixel counts.
    x, image = (tf.repeat(one, SIDE**2, axis=0) for one in (pixels(1, tf.float64), 2 * pixels(1, tf.float64)))
    with tf.GradientTape() as tape:
        tape.watch([x, image])
        out = made(x, None if stream is None else stream(image))
        mixed = tf.reshape(tf.reduce_sum(out * normal(6, dtype=tf.float64), axis=-1), [SIDE**2, SIDE**2])
        total = tf.linalg.trace(mixed)
    by_x, by_image = tape.gradient(total, [x, image])
    seen = np.abs(by_x.numpy()).reshape([SIDE**2, SIDE**2, 3]).max(axis=-1)
    assert (np.triu(seen) == 0).all()
    # Each pixel but the first depends on its left or upper neighbour (a few others are out of reach of the structure).
    assert (seen[range(1, SIDE**2), [p - 1 if p % SIDE else p - SIDE for p in range(1, SIDE**2)]] > 0).all()
    if stream is not None:
        assert (np.abs(by_image.numpy()).reshape([SIDE**2, SIDE**2, 3]).max(axis=-1) > 0).all()


@pytest.fixture
def num_runs(monkeypatch):
    """How often Python runs a position, as a list that grows."""
    runs, run_position = [], module._run_position

    def counted(*args):
        runs.append(args[1])
        return run_position(*args)

    monkeypatch.setattr(module, "_run_position", counted)
    return runs


WEIGHTS = normal(2, SIDE, SIDE, 6, seed=2)  # under XLA they would be others


def values_and_gradients(made, x, features, keys):
    variables = [variable.value for variable in made.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch([x, *(features or [])])
        out = made(x, features, keys)
        loss = tf.reduce_sum(out * WEIGHTS)
    return out, tape.gradient(loss, [x, *(features or []), *variables])


def assert_same(found, expected):
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-4, atol=1e-5)
    for gradient, expected_gradient in zip(found[1], expected[1], strict=True):
        if expected_gradient is None:
            assert gradient is None or not np.abs(gradient).any()
        else:
            scale = np.abs(expected_gradient).max()
            np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-3, atol=1e-4 * scale + 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["unconditional", "conditional"])
def test_a_graph_gives_what_eager_mode_gives_and_traces_equal_positions_once(num_runs, form):
    made, stream = network(form, num_blocks=2, dropout_rate=0.5)
    x, features, keys = pixels(2), features_of(stream, 2), fold_in(row_keys(5), "dropout")
    expected = values_and_gradients(made, x, features, keys)
    num_runs.clear()
    found = tf.function(lambda: values_and_gradients(made, x, features, keys), autograph=False)()
    assert_same(found, expected)
    # Three resolutions on the way down, and three on the way up, where skip connections end; one more each with another gradient.
    assert len(made.positions) == 14 and len(num_runs) == 6


@pytest.mark.parametrize("how", ["graph", "compiled"])
@pytest.mark.slow
def test_recomputation_gives_the_same(how):
    made, stream = network("conditional", dropout_rate=0.5)
    x, features, keys = pixels(2), features_of(stream, 2), row_keys(5)
    expected = values_and_gradients(made, x, features, keys)

    def recomputed():
        with memory_scope("recompute"):
            return values_and_gradients(made, x, features, keys)

    with traces_apart() if how == "compiled" else contextlib.nullcontext():
        found = tf.function(recomputed, jit_compile=how == "compiled" or None, autograph=False)()
    assert_same(found, expected)


def test_dropout_belongs_to_the_image():
    made, _ = network("unconditional", num_blocks=1, dropout_rate=0.5)
    x = pixels(4)
    whole = made(x, None, row_keys(3))
    assert np.abs(whole - made(x)).max() > 1e-3
    np.testing.assert_allclose(made(x[2:], None, row_keys(3, start=2)), whole[2:], atol=1e-5)


def test_every_variable_has_a_gradient():
    made, stream = network("conditional")
    image = normal(2, SIDE, SIDE, 3, seed=3)
    layers = [made, stream]
    variables = [variable.value for layer in layers for variable in layer.trainable_variables]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(made(pixels(2), stream(image)) ** 2)
    for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
        assert np.abs(gradient).max() > 0, variable.name


@pytest.mark.slow
def test_features_with_a_gain_of_zero_change_nothing_until_they_are_trained():
    """A pretrained network goes on from where it was."""
    plain, _ = network("unconditional")
    made = PixelCNN(4, 6, 1, feature_channels=4, feature_init_scale=0.0, seed=1)
    stream = FeatureStream(4, 1, seed=2)
    for own, other in zip(made.positions, plain.positions, strict=True):
        for unit, pretrained in zip(own, other, strict=True):
            for name in ("first", "skip", "second"):
                if getattr(unit, name) is not None:
                    getattr(unit, name).set_weights(getattr(pretrained, name).get_weights())
    for name in ("above", "row_above", "left", "last"):
        getattr(made, name).set_weights(getattr(plain, name).get_weights())
    for own, other in zip(made.halvings + made.doublings, plain.halvings + plain.doublings, strict=True):
        for layer, pretrained in zip(own, other, strict=True):
            layer.set_weights(pretrained.get_weights())
    x, image = pixels(4), normal(4, SIDE, SIDE, 3, seed=3)
    features = stream.initialize(image)
    np.testing.assert_allclose(made.initialize_features(x, features), plain(x), atol=1e-5)
    np.testing.assert_allclose(made(x, features), plain(x), atol=1e-5)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(made(x, features) ** 2)
    assert np.abs(tape.gradient(loss, made.positions[0][0].feature.gain.value)).max() > 0


def test_only_the_features_are_initialized():
    made, stream = PixelCNN(4, 6, 1, feature_channels=4), FeatureStream(4, 1)
    before = [layer.get_weights() for unit in made.positions for block in unit for layer in (block.first, block.second)]
    made.initialize_features(pixels(4), stream.initialize(normal(4, SIDE, SIDE, 3)))
    after = [layer.get_weights() for unit in made.positions for block in unit for layer in (block.first, block.second)]
    for old, new in zip(before, after, strict=True):
        for a, b in zip(old, new, strict=True):
            np.testing.assert_array_equal(a, b)
    assert all(np.abs(block.feature.bias).max() > 0 for unit in made.positions for block in unit)


def test_plain_features():
    stream = FeatureStream(4, 1, kind="plain")
    features = stream.initialize(normal(4, SIDE, SIDE, 3))
    assert [feature.shape[1] for feature in features] == [8, 4, 2, 2, 4, 4, 8, 8]
    assert all(np.isfinite(feature).all() for feature in features)


@pytest.mark.slow
def test_bfloat16_leaves_variables_and_output_float32():
    made = PixelCNN(4, 6, 1, dtype="mixed_bfloat16")
    out = made.initialize(pixels(2))
    assert out.dtype == tf.float32 and made.above.direction.dtype == "float32"
    assert np.abs(made(pixels(2)) - PixelCNN(4, 6, 1)(pixels(2))).max() > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PixelCNN(4, 6, 1)(tf.zeros([1, 6, 8, 3])), "must be multiples of 4"),
        (lambda: PixelCNN(4, 6, 1, feature_channels=2)(tf.zeros([1, 8, 8, 3])), "needs 8 features.*got none"),
        (lambda: PixelCNN(4, 6, 1)(tf.zeros([1, 8, 8, 3]), [tf.zeros([1, 8, 8, 4])]), "needs no features"),
        (lambda: PixelCNN(4, 6, 1, injection="all"), "injection must be one of"),
        (lambda: GatedResidual(4, (3, 3), kind="dense"), "kind must be one of"),
        (lambda: GatedResidual(4, (3, 3), "up"), "shift must be one of"),
    ],
)
def test_what_cannot_be_says_why(call, message):
    with pytest.raises(ValueError, match=message):
        call()
