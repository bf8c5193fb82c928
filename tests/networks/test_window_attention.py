"""Attention in windows as the network of a coupling: parity with the authors' step, parameters, init, what sees what, errors."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from reproductions.macow import model as macow
from tfflows.bijectors import ActNorm, AffineCoupling, Chain, InvertibleConv, MaskedConv
from tfflows.interop.macow import export_weights, load_weights
from tfflows.networks import MaskedNetwork, WindowAttentionNetwork
from tfflows.networks.macow import cut_windows, join_windows, sinusoidal_code
from tfflows.tracing.stateless import Structure

FIXTURE = pathlib.Path(__file__).parents[1] / "data" / "macow" / "c_step_attn.npz"

# ----------------------------------------------------------------------------------------------------------------- parity


@pytest.fixture(scope="module")
def arrays():
    with np.load(FIXTURE) as file:
        return {key: file[key] for key in file.files}


def images_of(arrays, key, dtype=np.float32):
    return tf.constant(arrays[key].transpose(0, 2, 3, 1).astype(dtype))


def coupling(dtype):
    network = WindowAttentionNetwork(width=16, filters=6, window=2, num_heads=4, dtype=dtype)
    network.build([None, None, None, 3])
    return AffineCoupling(
        network,
        order="scale_then_shift",
        parameter_order="contiguous",
        transformed_channels=3,
        dtype=tf.as_dtype(dtype),
    )


@pytest.fixture(scope="module")
def step():
    form = macow._Flow("release", (2, 3), True, True, 0, "float32")
    *others, _ = macow.flow_step(form, 6, 16, 0).bijectors
    made = Chain([*others, coupling("float32")], name="step")
    load_weights(made, FIXTURE)
    return made


def test_step_of_the_authors(step, arrays):
    z, log_det = step.inverse_and_log_det(images_of(arrays, "x"))
    np.testing.assert_allclose(z, images_of(arrays, "z"), rtol=0, atol=2e-6)
    np.testing.assert_allclose(log_det, arrays["logdet"], rtol=2e-6)


def test_step_of_the_authors_backwards(step, arrays):
    x, log_det = step.forward_and_log_det(images_of(arrays, "z"))
    np.testing.assert_allclose(x, images_of(arrays, "x"), rtol=0, atol=2e-5)
    np.testing.assert_allclose(log_det, -arrays["logdet"], rtol=2e-6)
    sample, log_det = step.forward_and_log_det(images_of(arrays, "sample_z"))
    expected = images_of(arrays, "sample_x")
    np.testing.assert_allclose(sample, expected, rtol=0, atol=2e-5 * np.abs(expected).max())
    np.testing.assert_allclose(log_det, arrays["sample_logdet_inv"], rtol=2e-5)


def test_step_of_the_authors_in_float64(arrays):
    layers = []
    for orders in ("AB", "CD") * 2:
        layers.append(ActNorm([6], form="exp_scale_then_shift", dtype=tf.float64))
        for order in orders:
            kernel_size = (2, 3) if order in "AB" else (3, 2)
            network = MaskedNetwork(12, kernel_size, "shifted", order, dtype="float64")
            network.build([None, None, None, 6])
            layers.append(MaskedConv(network, dtype=tf.float64))
    actnorm = ActNorm([6], form="exp_scale_then_shift", dtype=tf.float64)
    made = Chain([*layers, actnorm, InvertibleConv(6, dtype=tf.float64), coupling("float64")], name="step")
    load_weights(made, FIXTURE)
    z, log_det = made.inverse_and_log_det(images_of(arrays, "x", np.float64))
    np.testing.assert_allclose(z, images_of(arrays, "z", np.float64), rtol=0, atol=1e-10)
    np.testing.assert_allclose(log_det, arrays["logdet"], rtol=0, atol=1e-10)


def test_weights_go_back_under_the_authors_names(step, arrays):
    expected = {key[6:]: value for key, value in arrays.items() if key.startswith("param/")}
    exported = export_weights(step)
    assert set(exported) == set(expected)
    for key, value in expected.items():
        np.testing.assert_array_equal(exported[key].reshape(value.shape), value, err_msg=key)
        if "coupling" in key:
            assert exported[key].shape == value.shape


# ------------------------------------------------------------------------------------------------------------- parameters


def num_parameters(channels, width, filters, context_filters=0):
    first = width * (channels + context_filters) + 2 * width
    projection = 3 * width**2 + 6 * width
    group_norm = 2 * width
    mixing = width**2 + 2 * width
    return first + projection + group_norm + mixing + width * filters + 2 * filters


@pytest.mark.parametrize(("channels", "width", "filters", "context_filters"), [(3, 16, 6, 0), (5, 24, 8, 4)])
def test_number_of_parameters(channels, width, filters, context_filters):
    network = WindowAttentionNetwork(width, filters, 2, context_filters=context_filters)
    network.build([None, 4, 4, channels])
    assert network.count_params() == num_parameters(channels, width, filters, context_filters)


def test_number_of_parameters_of_the_released_configuration():
    """The couplings of imagenet64-attn, as counted in the authors' model; those of the lowest level are convolutions."""
    convolutions = 4 * (9 * 24 * 2 + 24**2 + 9 * 24 * 2 + 4 * 24 + 2 * 2)
    levels = [(16, 12, 256), (16, 9, 256), (16, 24, 256), (16, 18, 256), (12, 48, 512), (12, 36, 512), (12, 96, 512)]
    attention = sum(
        steps * num_parameters(channels - channels // 2, width, 2 * (channels // 2))
        for steps, channels, width in levels
    )
    assert convolutions + attention == 57_000_112


# ---------------------------------------------------------------------------------------------------------------- windows


def images(channels=3, dtype=tf.float32, height=4, width=6):
    return 2 + tf.random.stateless_normal([5, height, width, channels], [0, 1], dtype=dtype)


def disturbed_network(window=2, channels=3, **options):
    network = WindowAttentionNetwork(8, 4, window, num_heads=2, **options)
    network.build([None, None, None, channels])
    for index, variable in enumerate(network.trainable_variables):
        noise = tf.random.stateless_normal(variable.shape, [index, 2], dtype=variable.dtype)
        variable.assign_add(0.3 * noise)
    return network


@pytest.mark.parametrize("pixel", [(0, 0), (3, 2), (1, 5)])
def test_a_pixel_sees_its_window_and_nothing_else(pixel):
    network, x = disturbed_network(dtype="float64"), images(dtype=tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        out = tf.reduce_sum(network(x)[0, pixel[0], pixel[1]] ** 2)
    seen = np.any(tape.gradient(out, x) != 0, axis=-1)
    row, column = (2 * (side // 2) for side in pixel)
    expected = np.zeros([5, 4, 6], bool)
    expected[0, row : row + 2, column : column + 2] = True
    np.testing.assert_array_equal(seen, expected)


def test_windows_are_adjacent_pixels_row_after_row():
    x = tf.reshape(tf.range(2 * 4 * 6 * 3), [2, 4, 6, 3])
    windows = cut_windows(x, 2)
    assert windows.shape == (12, 2, 2, 3)
    np.testing.assert_array_equal(windows[6 + 3 + 1], x[1, 2:4, 2:4])
    np.testing.assert_array_equal(join_windows(windows, x), x)


def test_equal_windows_get_equal_outputs_and_equal_pixels_do_not():
    network = disturbed_network(dtype="float64")
    tiled = tf.tile(images(dtype=tf.float64)[:, :2, :2], [1, 2, 3, 1])
    windows = cut_windows(network(tiled), 2)
    np.testing.assert_allclose(windows[:6], tf.tile(windows[:1], [6, 1, 1, 1]), rtol=1e-12)
    constant = network(tf.ones([1, 2, 2, 3], tf.float64))[0]
    assert np.abs(constant[0, 0] - constant[0, 1]).max() > 0.01
    assert np.abs(constant[0, 1] - constant[1, 0]).max() > 0.01


def test_position_code():
    code = sinusoidal_code(3, 5)
    assert code.shape == (3, 3, 5) and code.dtype == np.float32
    np.testing.assert_array_equal(code[0, 0], [0, 1, 0, 1, 0])
    np.testing.assert_allclose(code[2, 1, 2], np.sin(7 / 10000 ** (2 / 5)), rtol=1e-6)
    np.testing.assert_allclose(code[2, 1, 3], np.cos(7 / 10000 ** (2 / 5)), rtol=1e-6)


# ------------------------------------------------------------------------------------------------------------------- init


def test_data_dependent_init():
    network, x = disturbed_network(dtype="float64"), images(dtype=tf.float64)
    assert np.abs(network(x)).max() > 0.01
    for run in (network.initialize, network):
        np.testing.assert_array_equal(run(x), tf.zeros([5, 4, 6, 4]))
    np.testing.assert_array_equal(network.last.gain.numpy(), np.zeros(4))
    hidden = network.first(x)
    windows = cut_windows(hidden, 2) + sinusoidal_code(2, 8)
    for outputs in (hidden, network.projection(windows)):
        np.testing.assert_allclose(tf.reduce_mean(outputs, axis=[0, 1, 2]), np.zeros(outputs.shape[-1]), atol=1e-9)
        np.testing.assert_allclose(np.std(outputs, axis=(0, 1, 2), ddof=1), np.ones(outputs.shape[-1]), atol=1e-4)


def test_init_leads_to_outputs_of_deviation_one_before_the_last_layer():
    network, x = disturbed_network(dtype="float64"), images(dtype=tf.float64)
    network.initialize(x)
    seen = []
    network.last = lambda hidden: seen.append(hidden) or hidden
    network(x)
    np.testing.assert_array_less(-1, seen[0])
    linear = np.where(seen[0] > 0, seen[0], np.log1p(seen[0]))  # before the ELU
    np.testing.assert_allclose(linear.mean(axis=(0, 1, 2)), np.zeros(8), atol=1e-9)
    np.testing.assert_allclose(linear.std(axis=(0, 1, 2), ddof=1), np.ones(8), atol=1e-4)


def test_seeds():
    first, again, other = (WindowAttentionNetwork(8, 4, 2, seed=seed) for seed in (3, 3, 4))
    for network in (first, again, other):
        network.build([None, 4, 6, 3])
    for layer in ("first", "projection", "mixing", "last"):
        one, same, different = (getattr(network, layer).direction.numpy() for network in (first, again, other))
        np.testing.assert_array_equal(one, same)
        assert np.abs(one - different).max() > 0.01


# ------------------------------------------------------------------------------------------------- context, graphs, dtypes


def test_context_is_joined_behind_the_input():
    network = disturbed_network(context_filters=2)
    x, context = images(), images(2) - 2
    y = network(x, context)
    np.testing.assert_array_equal(network(x, {"context": context}), y)
    assert np.abs(network(x, -context) - y).max() > 0.01
    joined = disturbed_network(channels=5)
    np.testing.assert_array_equal(joined(tf.concat([x, context], axis=-1)), y)
    for condition in (None, {}):
        with pytest.raises(ValueError, match="needs a context of 2 channels"):
            network(x, condition)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("shape", [[5, 4, 6, 3], [None, 4, 6, 3], [None, None, None, 3]])
def test_graphs(jit_compile, shape):
    network, x = disturbed_network(dtype="float64"), images(dtype=tf.float64)
    run = tf.function(
        network, jit_compile=jit_compile, input_signature=[tf.TensorSpec(shape, tf.float64)], autograph=False
    )
    np.testing.assert_allclose(run(x), network(x), rtol=0, atol=1e-12)
    assert run.get_concrete_function().structured_outputs.shape.as_list() == [*shape[:-1], 4]
    assert network.compute_output_shape(shape) == (*shape[:-1], 4)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_every_parameter_has_a_gradient(jit_compile):
    network, x = disturbed_network(dtype="float64"), images(dtype=tf.float64)

    @tf.function(jit_compile=jit_compile, autograph=False)
    def gradients():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(network(x) ** 2)
        return tape.gradient(loss, network.trainable_variables)

    assert len(gradients()) == 14
    for variable, gradient in zip(network.trainable_variables, gradients(), strict=True):
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 1e-6, variable.path


def test_bfloat16():
    single, mixed = (disturbed_network(dtype=policy) for policy in ("float32", "mixed_bfloat16"))
    x = images()
    y = mixed(x)
    assert y.dtype == tf.float32 and all(variable.dtype == "float32" for variable in mixed.variables)
    np.testing.assert_allclose(y, single(x), atol=0.05 * np.abs(single(x)).max())
    returned = mixed.initialize(x)
    assert returned.dtype == tf.float32
    np.testing.assert_array_equal(returned, tf.zeros([5, 4, 6, 4]))


def test_equal_networks_share_a_trace():
    """As blocks of a chain do: equal structure, and other values in the places of the variables."""
    network, other = disturbed_network(), disturbed_network(seed=1)
    network.group_norm.beta.assign_add(tf.ones([8]))
    structure = Structure(other)
    assert structure.signature == Structure(network).signature
    assert structure.signature != Structure(disturbed_network(window=1)).signature
    x = images()
    with structure.substituted(Structure(network).values()):
        substituted = other(x)
    np.testing.assert_array_equal(substituted, network(x))


# ----------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(("height", "width"), [(5, 4), (4, 6)])
def test_windows_must_fit(height, width):
    message = f"cannot cut an image of {height}x{width} into windows of 4x4"
    network = WindowAttentionNetwork(8, 4, window=4)
    with pytest.raises(ValueError, match=message):
        network.build([None, height, width, 3])
    with pytest.raises(ValueError, match=message):
        disturbed_network(window=4)(images(height=height, width=width))
    with pytest.raises(ValueError, match=message):
        disturbed_network(window=4).initialize(images(height=height, width=width))


def test_windows_must_fit_where_the_sides_are_known_late():
    network = disturbed_network(window=4)
    run = tf.function(network, input_signature=[tf.TensorSpec([None, None, None, 3])], autograph=False)
    with pytest.raises(tf.errors.InvalidArgumentError):
        run(images(height=4, width=6))


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="width of 12 cannot be cut into 8 heads"):
        WindowAttentionNetwork(12, 4, 2)
    with pytest.raises(ValueError, match="window must be at least 1, got 0"):
        WindowAttentionNetwork(16, 4, 0)
