"""Initial parameters of a cell, each seed's its own."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from reproductions.vflow.toy import flow
from reproductions.vflow.toy.bound import PRIOR, trained_shapes
from reproductions.vflow.toy.cells import WIDTH, Cell
from tfflows.math.random import derive_seed

# Standard deviation of what is added to the identity before it is made a rotation again: of Glow, and with augmentation.
ROTATION_NOISE = 0.3
AUGMENTED_ROTATION_NOISE = 1.0
# How much of x2, in squares, the first coupling of p(x, z) conditions on; of x1 it is all.
CONDITIONING_SHARE = 0.5


def initial_parameters(
    cell: Cell, seeds: Sequence[int], width: int = WIDTH, dtype: tf.DType = tf.float32
) -> dict[str, dict[str, tf.Tensor]]:
    """Parameters before training: orthogonal linear maps, random hidden layers, output layers of zeros, actnorm at the identity.

    Weights and biases of a hidden layer are uniform in +-1/sqrt(inputs): where all biases are zero, all the kinks of a network
    of one input lie at the same place.

    Args:
      cell: The cell.
      seeds: Python integers, S of them; each seed's model is the same whatever the others.
      width: Hidden units.
      dtype: Of the parameters.

    Returns:
      By flow and name, `[L, S, ...]`.
    """
    parameters = {}
    for name, shapes in trained_shapes(cell, width).items():
        stacks = [_flow_parameters(cell, shapes, name, derive_seed(seed, cell.name, name)) for seed in seeds]
        parameters[name] = {
            key: tf.constant(np.stack([stack[key] for stack in stacks], axis=1), dtype) for key in stacks[0]
        }
    return parameters


def _flow_parameters(cell, shapes, name, seed):
    """Of one seed, `[L, ...]`, as NumPy arrays."""
    parameters = {key: np.zeros(shape) for key, shape in shapes.items()}
    for layer in ("hidden_1", "hidden_2"):
        bound = shapes[f"{layer}_weight"][-1] ** -0.5
        for key in (f"{layer}_weight", f"{layer}_bias"):
            uniform = tf.random.stateless_uniform(
                shapes[key], [derive_seed(seed, key), 0], -bound, bound, tf.float64, alg="philox"
            )
            parameters[key] = uniform.numpy()
    if "linear" in shapes:
        steps = range(shapes["linear"][0])
        parameters["linear"] = np.stack(
            [linear_matrix(cell, name, step, [derive_seed(seed, "linear"), step]) for step in steps]
        )
    return parameters


def linear_matrix(cell: Cell, name: str, step: int, seed: Sequence[int]) -> np.ndarray:
    """The orthogonal map that a step starts with, `[D, D]`, float64.

    The first one of p(x, z) gives its coupling all of x1 and a share of x2 to condition on, in random directions: see deviation 3
    of the README. All others are a permutation times a rotation, that near the identity for a small noise. The permutation of a
    step but the first exchanges the two sides of the coupling; x1 and x2 of Glow are on either side.

    Args:
      cell: The cell.
      name: Of the flow, `PRIOR` or `POSTERIOR`.
      step: Python `int`.
      seed: Two integers.
    """
    dimensions = cell.dimensions if name == PRIOR else cell.latent_dimensions
    conditioning = flow.num_conditioning(dimensions)
    normal = tf.random.stateless_normal([dimensions, dimensions], seed, dtype=tf.float64, alg="philox").numpy()
    if name == PRIOR and cell.latent_dimensions and not step:
        return _first_map(normal, conditioning)
    order = list(range(dimensions))
    if step:
        order = order[conditioning:] + order[:conditioning]
    noise = AUGMENTED_ROTATION_NOISE if cell.latent_dimensions else ROTATION_NOISE
    return np.eye(dimensions)[order] @ _orthogonal(np.eye(dimensions) + noise * normal)


def _first_map(normal, conditioning):
    """An orthogonal matrix with all of x1 and `CONDITIONING_SHARE` of x2, in squares, in its first `conditioning` rows."""
    top = _orthogonal(normal[:conditioning, :2])
    bottom = _orthogonal(normal[conditioning:, 1:2])
    x1 = np.concatenate([top[:, :1], np.zeros_like(bottom)])
    x2 = np.concatenate([np.sqrt(CONDITIONING_SHARE) * top[:, 1:], np.sqrt(1 - CONDITIONING_SHARE) * bottom])
    return _orthogonal(np.concatenate([x1, x2, normal[:, 2:]], axis=1))


def _orthogonal(columns):
    """Columns made orthonormal one after the other, the first one's direction kept."""
    q, r = np.linalg.qr(columns)
    return q * np.sign(np.diag(r))
