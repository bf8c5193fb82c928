"""Models of the checkerboard study with random parameters, for its tests."""

import tensorflow as tf

from reproductions.vflow.toy.bound import POSTERIOR, PRIOR
from reproductions.vflow.toy.initial import initial_parameters

WIDTH = 8


def random_model(cell, seeds, dtype=tf.float64, width=WIDTH):
    """Parameters with what is zero at first off zero, so that every one matters, and linear maps that are not orthogonal."""
    parameters = initial_parameters(cell, seeds, width, dtype)
    for index, name in enumerate((PRIOR, POSTERIOR)):
        for key in ("output_weight", "output_bias", "actnorm_bias", "actnorm_log_scale", "linear"):
            if key in parameters.get(name, {}):
                steps, _, *shape = parameters[name][key].shape
                # The same for all seeds, so that a seed's model does not depend on the others.
                noise = tf.random.stateless_normal([steps, 1, *shape], [index, len(key)], dtype=dtype, alg="philox")
                parameters[name][key] += 0.2 * noise
    return parameters
