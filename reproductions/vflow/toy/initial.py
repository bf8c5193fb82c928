"""Initial parameters of a cell, each seed's its own."""

import numpy as np
import tensorflow as tf

from reproductions.vflow.toy import flow
from reproductions.vflow.toy.bound import PRIOR, trained_shapes
from reproductions.vflow.toy.cells import WIDTH, Cell
from tfflows.math.invertible_conv import lu_factors
from tfflows.math.random import derive_seed

# Standard deviation of what is added to the identity before it is made a rotation again: of Glow, and with augmentation.
ROTATION_NOISE = 0.3
AUGMENTED_ROTATION_NOISE = 1.0


def initial_parameters(cell: Cell, seeds, width=WIDTH, dtype=tf.float32):
    """Parameters before training: rotated permutations, random hidden layers, output layers of zeros, actnorm at the identity.

    Weights and biases of a hidden layer are uniform in +-1/sqrt(inputs): where all biases are zero, all the kinks of a network
    of one input lie at the same place.

    Args:
      cell: The cell.
      seeds: Python integers, S of them; each seed's model is the same whatever the others.
      width: Hidden units.
      dtype: Of the parameters.

    Returns:
      `(trained, fixed)`, each by flow and name, `[L, S, ...]`.
    """
    trained, fixed = {}, {}
    rotation_noise = AUGMENTED_ROTATION_NOISE if cell.latent_dimensions else ROTATION_NOISE
    for name, shapes in trained_shapes(cell, width).items():
        stacks = [_flow_parameters(shapes, name, derive_seed(seed, cell.name, name), rotation_noise) for seed in seeds]
        arrays = {key: np.stack([stack[key] for stack in stacks], axis=1) for key in stacks[0]}
        tensors = {key: tf.constant(array, dtype) for key, array in arrays.items()}
        fixed[name] = {key: tensors.pop(key) for key in flow.FIXED if key in tensors}
        trained[name] = tensors
    return trained, fixed


def _flow_parameters(shapes, name, seed, rotation_noise):
    """Of one seed, `[L, ...]`, as NumPy arrays."""
    parameters = {key: np.zeros(shape) for key, shape in shapes.items()}
    for layer in ("hidden_1", "hidden_2"):
        bound = shapes[f"{layer}_weight"][-1] ** -0.5
        for key in (f"{layer}_weight", f"{layer}_bias"):
            uniform = tf.random.stateless_uniform(
                shapes[key], [derive_seed(seed, key), 0], -bound, bound, tf.float64, alg="philox"
            )
            parameters[key] = uniform.numpy()
    if "lower" in shapes:
        steps, dimensions, _ = shapes["lower"]
        matrices = [
            linear_matrix(dimensions, name == PRIOR, i, [derive_seed(seed, "linear"), i], rotation_noise)
            for i in range(steps)
        ]
        permutation, lower, upper, diagonal = (
            np.stack(factors) for factors in zip(*map(lu_factors, matrices), strict=True)
        )
        parameters |= {"permutation": permutation, "lower": lower, "upper": upper}
        parameters["sign"] = np.sign(diagonal)[..., np.newaxis]
        parameters["log_diagonal"] = np.log(np.abs(diagonal))[..., np.newaxis]
    return parameters


def linear_matrix(dimensions, separates_data, step, seed, rotation_noise):
    """A permutation times a rotation, that near the identity for a small `rotation_noise`, `[D, D]`, float64.

    The permutation of a step but the first exchanges the two sides of the coupling. That of the first step in p(x, z), where
    `separates_data`, puts the two dimensions of x on either side: were they on one, the coupling could tell neither from the
    other, and were they mixed evenly, training would end in worse optima.
    """
    conditioning = flow.num_conditioning(dimensions)
    order = list(range(dimensions))
    if step:
        order = order[conditioning:] + order[:conditioning]
    elif separates_data:
        order.insert(conditioning, order.pop(1))
    noise = tf.random.stateless_normal([dimensions, dimensions], seed, dtype=tf.float64, alg="philox")
    q, r = np.linalg.qr(np.eye(dimensions) + rotation_noise * noise.numpy())
    return tf.constant(np.eye(dimensions)[order] @ (q * np.sign(np.diag(r))))


def merge(trained, fixed):
    """What is trained and what is not in one mapping a flow, as the functions of `bound` take it."""
    return {name: {**trained[name], **fixed[name]} for name in trained}
