"""Models of the checkerboard study with random parameters, for its tests."""

import tensorflow as tf

from reproductions.vflow.toy import training
from reproductions.vflow.toy.bound import POSTERIOR, PRIOR
from reproductions.vflow.toy.initial import initial_parameters, initialize_actnorm, merge

WIDTH = 8


def random_model(cell, seeds, dtype=tf.float64, width=WIDTH):
    """`(trained, fixed)` after actnorm's init, output layers and triangles off zero, so that every parameter matters."""
    trained, fixed = initial_parameters(cell, seeds, width, dtype)
    for index, name in enumerate((PRIOR, POSTERIOR)):
        for key in ("output_weight", "output_bias", "hidden_1_bias", "hidden_2_bias", "lower", "upper"):
            if key in trained.get(name, {}):
                steps, _, *shape = trained[name][key].shape
                # The same for all seeds, so that a seed's model does not depend on the others.
                noise = tf.random.stateless_normal([steps, 1, *shape], [index, len(key)], dtype=dtype, alg="philox")
                trained[name][key] += 0.2 * noise
    x, noise = training.draw(cell, seeds, "initialization", 0, 1, 100, dtype)
    return initialize_actnorm(cell, trained, fixed, x[0], noise[0]), fixed


def merged_model(cell, seeds, dtype=tf.float64, width=WIDTH):
    """As `random_model`, in one mapping a flow."""
    return merge(*random_model(cell, seeds, dtype, width))
