"""The study's pure functions against the library's bijectors and against autodiff, in float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from reproductions.vflow.toy import flow
from reproductions.vflow.toy.bound import PRIOR, count_parameters
from reproductions.vflow.toy.cells import Cell
from reproductions.vflow.toy.initial import (
    CONDITIONING_SHARE,
    initial_parameters,
    linear_matrix,
)
from tests.reproductions.vflow.toy.random_models import WIDTH, random_model
from tfflows.bijectors import ActNorm, AffineCoupling, Chain, InvertibleConv

SEEDS = (0, 7)


def library_chain(parameters, seed_index):
    """The same flow of one seed by the library's layers, from data to latent."""
    bijectors = []
    for step in flow.step_parameters(parameters):
        step = {name: value[seed_index] for name, value in step.items()}
        dimensions = step["linear"].shape[-1]
        actnorm = ActNorm([dimensions], event_ndims=1, log_scale_factor=1.0, dtype=tf.float64)
        actnorm.bias.assign(step["actnorm_bias"][:, 0])
        actnorm.log_scale.assign(step["actnorm_log_scale"][:, 0])
        linear = InvertibleConv(dimensions, event_ndims=1, dtype=tf.float64)
        linear.weight.assign(tf.transpose(step["linear"]))  # the library's events are rows
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
    parameters = random_model(cell, SEEDS)[PRIOR]
    x = tf.random.stateless_normal([len(SEEDS), cell.dimensions, 5], [1, 2], dtype=tf.float64, alg="philox")
    latent, log_det = flow.glow(parameters, x)
    for index in range(len(SEEDS)):
        chain = library_chain(parameters, index)
        rows = tf.transpose(x[index])
        np.testing.assert_allclose(chain.inverse(rows), tf.transpose(latent[index]), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(chain.inverse_log_det_jacobian(rows, 1), log_det[index], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dimensions", [2, 5])
def test_log_det_is_that_of_the_jacobian(dimensions):
    parameters = random_model(Cell(4, dimensions), SEEDS)[PRIOR]
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
    parameters = random_model(cell, [0])
    assert count_parameters(cell, WIDTH) == sum(int(tf.size(value)) for value in tf.nest.flatten(parameters))


@pytest.mark.parametrize("cell", [Cell(3, 2), Cell(2, 3), Cell(3, 10)], ids=lambda cell: cell.name)
def test_initial_maps_are_orthogonal(cell):
    for part in initial_parameters(cell, SEEDS, WIDTH, tf.float64).values():
        if "linear" in part:
            matrix = part["linear"]
            identity = tf.eye(matrix.shape[-1], batch_shape=matrix.shape[:2], dtype=tf.float64)
            np.testing.assert_allclose(tf.matmul(matrix, matrix, transpose_b=True), identity, atol=1e-12)


@pytest.mark.parametrize("cell", [Cell(2, 3), Cell(3, 4), Cell(3, 10)], ids=lambda cell: cell.name)
def test_the_first_coupling_conditions_on_x1_and_half_of_x2(cell):
    matrix = initial_parameters(cell, SEEDS, WIDTH, tf.float64)[PRIOR]["linear"][0]
    conditioning = flow.num_conditioning(cell.dimensions)
    shares = np.sum(np.square(matrix)[:, :conditioning, :2], axis=1)
    np.testing.assert_allclose(shares, [[1, CONDITIONING_SHARE]] * len(SEEDS), atol=1e-12)
    assert not np.allclose(matrix[0], matrix[1])


def test_initial_maps_of_glow_keep_x1_and_x2_apart_and_exchange_them():
    first, *others = (linear_matrix(Cell(3, 2), PRIOR, step, [step, 3]) for step in range(3))
    assert np.argmax(np.abs(first), axis=0).tolist() == [0, 1]
    for matrix in others:
        assert np.argmax(np.abs(matrix), axis=0).tolist() == [1, 0]
