"""Small flows of every form that the papers' experiments use, with parameters as after training, and images."""

import dataclasses
import functools
import math

import numpy as np
import tensorflow as tf

from reproductions.glow import model as glow
from reproductions.glow.experiments import EXPERIMENTS as GLOW
from tfflows.math.random import row_keys

SHAPE = (8, 8, 3)


def images(count=6, shape=SHAPE, seed=0):
    """Images that are smooth, with some noise."""
    rng = np.random.default_rng(seed)
    height, width, channels = shape
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(a * x + b * y + c) for a, b, c in rng.uniform(-0.5, 0.5, [count * channels, 3]) * [1, 1, 9]]
    smooth = np.reshape(waves, [count, channels, height, width]).transpose([0, 2, 3, 1])
    return np.clip(128 + 80 * smooth + 6 * rng.standard_normal([count, *shape]), 0, 255).astype(np.uint8)


def initialized(model, shape=SHAPE, spread=0.02, seed=1):
    """The model after its data-dependent init, with noise on all that is trained."""
    model.initialize(tf.constant(images(32, shape)), tf.zeros([32], tf.int32), row_keys(seed))
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign_add(spread * rng.standard_normal(variable.shape).astype(np.float32))
    return model


PAPER = {
    "actnorm_form": "scale_then_shift",
    "coupling_scale": "exp",
    "coupling_order": "scale_then_shift",
    "conditioning_half": "second",
    "padding": "zeros",
    "split_prior": "standard",
    "top_prior": "standard",
}
GLOW_FORMS = {
    "release": {},
    "paper": PAPER,
    "lu_additive": {"permutation": "invertible_lu", "coupling": "additive"},
    "shuffle": {"permutation": "shuffle", "num_bits": 5},
    "reverse": {"permutation": "reverse", "coupling": "additive"},
    "lu_paper": {"permutation": "invertible_lu_paper"},
    "augmented": {"augment_channels": 1, "augmenter": "normal"},
}


@functools.cache
def glow_model(form="release"):
    changes = {"image_size": 8, "levels": 2, "depth": 1, "width": 8, **GLOW_FORMS[form]}
    return initialized(glow.build(dataclasses.replace(GLOW["cifar10"], **changes), SHAPE, 0, 0))


def bound_at_noise(model, values):
    """Bits of images that were coded with these dequantized values, by the model itself; `[B]`."""
    return -model.elbo_of_dequantized(tf.constant(values, tf.float32)).numpy() / math.log(2)
