"""Small flows of every form that the papers' experiments use, with parameters as after training, and images."""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from reproductions.flowpp import model as flowpp
from reproductions.flowpp.experiments import EXPERIMENTS as FLOWPP
from reproductions.glow import model as glow
from reproductions.glow.experiments import EXPERIMENTS as GLOW
from reproductions.macow import model as macow
from reproductions.macow.experiments import EXPERIMENTS as MACOW
from reproductions.realnvp import model as realnvp
from reproductions.realnvp.experiments import EXPERIMENTS as REALNVP
from reproductions.vflow import model as vflow
from reproductions.vflow.experiments import EXPERIMENTS as VFLOW
from tfflows.math.random import row_keys
from tfflows.tracing.variables import named_variables

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
    "conditional": {"conditional": True},
}
NUM_CLASSES = 3


@functools.cache
def glow_model(form="release"):
    changes = {"image_size": 8, "levels": 2, "depth": 1, "width": 8, **GLOW_FORMS[form]}
    experiment = dataclasses.replace(GLOW["cifar10"], **changes)
    return initialized(glow.build(experiment, SHAPE, NUM_CLASSES if experiment.conditional else 0, 0))


# Couplings, dequantizers and augmenters of all kinds.
_SMALL_FLOWPP = {
    "image_size": 8,
    "width": 4,
    "num_blocks": 1,
    "num_components": 2,
    "num_heads": 2,
    "stages": "checkerboard 1, squeeze, channel 1",
    "dequantization_stages": "checkerboard 1",
    "dequantization_width": 4,
    "dequantization_blocks": 1,
    "context_width": 4,
    "context_blocks": 1,
    **dict.fromkeys(("mixer", "dequantization_mixer", "context_mixer"), "none"),
}
_ATTENTION = dict.fromkeys(("mixer", "dequantization_mixer", "context_mixer"), "attention")
FLOWPP_FORMS = {
    "uniform": {"dequantization": "uniform"},
    "variational": {},
    "affine": {"coupling": "affine", "dequantization": "uniform", "checkerboard": "checkerboard"},
    "paper": {"coupling_scale": "exp", "bounded_log_scales": False},
    "attention": _ATTENTION,
}
VFLOW_FORMS = {
    "normal": {"augmenter": "normal", "dequantization": "uniform"},
    "gaussian": {"augmenter": "gaussian", "dequantization": "uniform"},
    "flow": {"augmenter": "flow"},
    "attention": {"augmenter": "flow", "augmenter_mixer": "attention", **_ATTENTION},
}


@functools.cache
def flowpp_model(form="uniform"):
    changes = {**_SMALL_FLOWPP, **FLOWPP_FORMS[form]}
    return initialized(flowpp.build(dataclasses.replace(FLOWPP["cifar10"], **changes), SHAPE, 0, 0))


@functools.cache
def vflow_model(form="flow"):
    name = next(name for name, experiment in VFLOW.items() if experiment.augment_channels)
    changes = {
        **_SMALL_FLOWPP,
        "augment_channels": 3,
        "augmenter_stages": "checkerboard 1",
        "augmenter_mixer": "none",
        **VFLOW_FORMS[form],
    }
    return initialized(vflow.build(dataclasses.replace(VFLOW[name], **changes), SHAPE, 0, 0))


_LIGHT = {"steps": "1, 1", "widths": "4, 6", "factors": "", "dequantization": "uniform"}
_RELEASE = {"variant": "release", "kernel_height": 2}
MACOW_FORMS = {
    "light": _LIGHT,
    "light_release": {**_LIGHT, **_RELEASE},
    "additive": {**_LIGHT, "coupling": "additive"},
    "additive_release": {
        **_RELEASE,
        "steps": "1, 1, 1",
        "factors": "2",
        "dequantization": "uniform",
        "coupling": "additive",
        "prior_coupling": "additive",
        "kernel_width": 5,
    },
    "paper": {},
    "release": {**_RELEASE, "steps": "1, 1, 1", "factors": "2"},
}


@functools.cache
def macow_model(form="light_release"):
    changes = {
        "image_size": 8,
        "steps": "1, 1+1, 1",
        "widths": "4, 6, 8",
        "factors": "4",
        "dequantization_steps": "1, 1",
        "dequantization_widths": "4, 4",
        "context_planes": "4, 6",
        **MACOW_FORMS[form],
    }
    return initialized(macow.build(dataclasses.replace(MACOW["cifar10_var"], **changes), SHAPE, 0, 0))


@functools.cache
def realnvp_model(levels=2):
    changes = {"image_size": 8, "levels": levels, "width": 4, "num_blocks": 1}
    model = realnvp.build(dataclasses.replace(REALNVP["cifar10"], **changes), SHAPE, 0, 0)
    rng = np.random.default_rng(0)
    for name, variable in named_variables(model).items():
        noise = rng.standard_normal(variable.shape).astype(np.float32)
        # The statistics of batch norms too.
        variable.assign(variable * np.exp(0.2 * noise) if name.endswith("variance") else variable + 0.02 * noise)
    return model
