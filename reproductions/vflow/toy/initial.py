"""Initial parameters of a cell, separate for each seed."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from reproductions.vflow.toy import flow
from reproductions.vflow.toy.bound import PRIOR, trained_shapes
from reproductions.vflow.toy.cells import WIDTH, Cell
from tfflows.math.random import derive_seed

# Standard deviation of the noise added to the identity before it is made orthogonal again, for Glow and with augmentation.
ROTATION_NOISE = 0.3
AUGMENTED_ROTATION_NOISE = 1.0
# Share of x2, as a squared norm, that conditions the first coupling of p(x, z); x1 conditions it entirely.
CONDITIONING_SHARE = 0.5


def initial_parameters(
    cell: Cell, seeds: Sequence[int], width: int = WIDTH, dtype: tf.DType = tf.float32
) -> dict[str, dict[str, tf.Tensor]]:
    """Returns the parameters before training.

    Linear maps are orthogonal, hidden layers random, output layers zero, and actnorm is the identity. Weights and biases of a
    hidden layer are uniform in +-1/sqrt(inputs), because with zero biases all kinks of a network of one input would coincide.

    Args:
      cell: The cell.
      seeds: The S seeds; the model of a seed does not depend on the other seeds.
      width: Number of hidden units.
      dtype: Dtype of the parameters.

    Returns:
      Parameters by flow and name, `[L, S, ...]`.
    """
    parameters = {}
    for name, shapes in trained_shapes(cell, width).items():
        stacks = [_flow_parameters(cell, shapes, name, derive_seed(seed, cell.name, name)) for seed in seeds]
        parameters[name] = {
            key: tf.constant(np.stack([stack[key] for stack in stacks], axis=1), dtype) for key in stacks[0]
        }
    return parameters


def _flow_parameters(cell, shapes, name, seed):
    """Parameters of a flow for one seed, NumPy arrays `[L, ...]`."""
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
    """Returns the initial orthogonal map of a step, `[D, D]`, float64.

    With the first map of p(x, z), all of x1 and a share of x2 condition the coupling, in random directions: see deviation 3 of
    the README. All other maps are a permutation times a rotation, which is near the identity for small noise. The permutation
    swaps the two sides of the coupling, except in the first step. In Glow, x1 and x2 are on different sides.

    Args:
      cell: The cell.
      name: Name of the flow, `PRIOR` or `POSTERIOR`.
      step: Number of the step, from 0.
      seed: Seed, two integers.
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
    """An orthogonal matrix whose first `conditioning` rows hold all of x1 and `CONDITIONING_SHARE` of x2, as squared norm."""
    top = _orthogonal(normal[:conditioning, :2])
    bottom = _orthogonal(normal[conditioning:, 1:2])
    x1 = np.concatenate([top[:, :1], np.zeros_like(bottom)])
    x2 = np.concatenate([np.sqrt(CONDITIONING_SHARE) * top[:, 1:], np.sqrt(1 - CONDITIONING_SHARE) * bottom])
    return _orthogonal(np.concatenate([x1, x2, normal[:, 2:]], axis=1))


def _orthogonal(columns):
    """Orthonormalizes columns one after the other, keeping the direction of the first one."""
    q, r = np.linalg.qr(columns)
    return q * np.sign(np.diag(r))
