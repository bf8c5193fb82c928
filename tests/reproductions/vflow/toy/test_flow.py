"""The study's pure functions against the library's bijectors and against autodiff, in float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from reproductions.vflow.toy import flow
from reproductions.vflow.toy.bound import PRIOR, count_parameters, trained_shapes
from reproductions.vflow.toy.cells import Cell
from reproductions.vflow.toy.initial import (
    AUGMENTED_ROTATION_NOISE,
    ROTATION_NOISE,
    initial_parameters,
    linear_matrix,
)
from tests.reproductions.vflow.toy.random_models import WIDTH, merged_model, random_model
from tfflows.bijectors import ActNorm, AffineCoupling, Chain, InvertibleConv, InvertibleConvLU
from tfflows.math.random import derive_seed

SEEDS = (0, 7)


def library_chain(parameters, seed_index):
    """The same flow of one seed by the library's layers, from data to latent."""
    bijectors = []
    for step in flow.step_parameters(parameters):
        step = {name: value[seed_index] for name, value in step.items()}
        dimensions = step["lower"].shape[-1]
        actnorm = ActNorm([dimensions], event_ndims=1, log_scale_factor=1.0, dtype=tf.float64)
        actnorm.bias.assign(step["actnorm_bias"][:, 0])
        actnorm.log_scale.assign(step["actnorm_log_scale"][:, 0])
        linear = InvertibleConv(dimensions, event_ndims=1, dtype=tf.float64)
        linear.weight.assign(tf.transpose(flow.linear_matrix(step)))  # the library's events are rows
        conditioning = flow.num_conditioning(dimensions)
        coupling = AffineCoupling(
            keras_network(step, conditioning, 2 * (dimensions - conditioning)),
            scale=flow.bounded_log_scale,
            parameter_order="contiguous",
            event_ndims=1,
            transformed_channels=dimensions - conditioning,
            dtype=tf.float64,
        )
        bijectors += [actnorm, linear, coupling]
    return Chain(bijectors)


def keras_network(step, inputs, outputs):
    layers = [
        keras.layers.Dense(WIDTH, "relu", dtype="float64"),
        keras.layers.Dense(WIDTH, "relu", dtype="float64"),
        keras.layers.Dense(outputs, dtype="float64"),
    ]
    network = keras.Sequential(layers)
    network.build([None, inputs])
    for layer, name in zip(layers, ("hidden_1", "hidden_2", "output"), strict=True):
        layer.set_weights([step[f"{name}_weight"].numpy().T, step[f"{name}_bias"].numpy()[:, 0]])
    return network


@pytest.mark.parametrize("cell", [Cell(2, 2), Cell(2, 3), Cell(3, 4)], ids=lambda cell: cell.name)
def test_flow_is_the_librarys_chain(cell):
    parameters = merged_model(cell, SEEDS)[PRIOR]
    x = tf.random.stateless_normal([len(SEEDS), cell.dimensions, 5], [1, 2], dtype=tf.float64, alg="philox")
    latent, log_det = flow.glow(parameters, x)
    for index in range(len(SEEDS)):
        chain = library_chain(parameters, index)
        rows = tf.transpose(x[index])
        np.testing.assert_allclose(chain.inverse(rows), tf.transpose(latent[index]), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(chain.inverse_log_det_jacobian(rows, 1), log_det[index], rtol=1e-9, atol=1e-9)


def test_linear_matrix_is_the_librarys_of_the_same_factors():
    step = flow.step_parameters(merged_model(Cell(2, 6), SEEDS)[PRIOR])[0]
    matrix, log_det = flow.linear_matrix(step), flow.linear(step, tf.zeros([2, 6, 1], tf.float64))[1]
    for index in range(len(SEEDS)):
        library = InvertibleConvLU(6, event_ndims=1, dtype=tf.float64)
        for name in ("permutation", "lower", "upper"):
            getattr(library, name).assign(step[name][index])
        library.sign.assign(step["sign"][index, :, 0])
        library.log_abs_diagonal.assign(step["log_diagonal"][index, :, 0])
        np.testing.assert_allclose(library.inverse(tf.eye(6, dtype=tf.float64)), matrix[index], atol=1e-12)
        np.testing.assert_allclose(tf.linalg.slogdet(matrix[index]).log_abs_determinant, log_det[index, 0], atol=1e-12)


@pytest.mark.parametrize("dimensions", [2, 5])
def test_log_det_is_that_of_the_jacobian(dimensions):
    parameters = merged_model(Cell(4, dimensions), SEEDS)[PRIOR]
    x = tf.random.stateless_normal([len(SEEDS), dimensions, 1], [3, 4], dtype=tf.float64, alg="philox")
    with tf.GradientTape() as tape:
        tape.watch(x)
        latent, log_det = flow.glow(parameters, x)
    jacobian = tape.jacobian(latent, x)[:, :, 0, :, :, 0]
    for index in range(len(SEEDS)):
        _, expected = np.linalg.slogdet(jacobian[index, :, index])
        assert float(log_det[index, 0]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("cell", [Cell(2, 2), Cell(2, 3), Cell(3, 10)], ids=lambda cell: cell.name)
def test_parameters_are_counted(cell):
    trained, _ = random_model(cell, [0])
    stored = sum(int(tf.size(value)) for part in trained.values() for value in part.values())
    unused = sum(
        steps * (size**2 + size)  # of each triangle the diagonal and the other half
        for part in trained_shapes(cell).values()
        if "lower" in part
        for steps, size, _ in [part["lower"]]
    )
    assert count_parameters(cell, WIDTH) == stored - unused


@pytest.mark.parametrize(("dimensions", "noise"), [(2, ROTATION_NOISE), (3, AUGMENTED_ROTATION_NOISE)])
def test_initial_maps_are_orthogonal_and_turned_further_with_augmentation(dimensions, noise):
    cell = Cell(3, dimensions)
    trained, fixed = initial_parameters(cell, SEEDS, WIDTH, tf.float64)
    for step, parameters in enumerate(flow.step_parameters({**trained[PRIOR], **fixed[PRIOR]})):
        matrix = flow.linear_matrix(parameters)
        np.testing.assert_allclose(tf.matmul(matrix, matrix, transpose_b=True)[0], np.eye(dimensions), atol=1e-12)
        seed = [derive_seed(derive_seed(SEEDS[0], cell.name, PRIOR), "linear"), step]
        np.testing.assert_allclose(matrix[0], linear_matrix(dimensions, True, step, seed, noise), atol=1e-12)


@pytest.mark.parametrize(("dimensions", "sides"), [(2, (0, 1)), (3, (0, 2)), (10, (0, 5))])
def test_initial_maps_put_x_on_both_sides_and_then_exchange_them(dimensions, sides):
    first, second = (linear_matrix(dimensions, True, step, [step, 3], 0.1).numpy() for step in range(2))
    # Of each dimension of the data, and of the second step's inputs, the row where most of it goes.
    rows = np.argmax(np.abs(first), axis=0)
    assert (rows[0], rows[1]) == sides
    conditioning = flow.num_conditioning(dimensions)
    exchanged = np.argmax(np.abs(second), axis=0)
    assert np.all(exchanged[conditioning:] < dimensions - conditioning)
    assert np.all(exchanged[:conditioning] >= dimensions - conditioning)
