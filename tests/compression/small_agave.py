"""Small PixelCNN++, IAF-VAE and AGAVE, with scattered parameters."""

import dataclasses
import functools

import numpy as np

from reproductions.agave import model as agave
from reproductions.agave.experiments import EXPERIMENTS
from tfflows.distributions.pixelcnn_images import PixelCNNImages

_SIZE = {
    "image_size": 8,
    "auxiliary_size": 8,
    "width": 4,
    "num_blocks": 1,
    "num_components": 2,
    "vae_width": 8,
    "latent_channels": 2,
    "vae_blocks": 2,
    "pretraining_steps": 0,
    "initial_log_scale": -3.5,
    "compatibility": "fixed",
}
NUM_CLASSES = 3
FORMS = {
    "pixelcnn": ("cifar10_pixelcnn", (8, 4, 3), {}),
    "pixelcnn_labels": ("cifar10_pixelcnn", (8, 4, 3), {"conditional": True}),
    "pixelcnn_grey": ("cifar10_pixelcnn", (4, 8, 1), {"num_blocks": 2}),
    "iaf_vae": ("cifar10_iaf_vae", (8, 4, 3), {}),
    "iaf_vae_grey": ("cifar10_iaf_vae", (8, 4, 1), {"scale_per_colour": True, "vae_depth": 2}),
    "iaf_vae_levels": (
        "cifar10_iaf_vae",
        (8, 8, 3),
        {"auxiliary_levels": 32, "open_edges": True, "compatibility": "released"},
    ),
    "agave": ("cifar10", (8, 4, 3), {}),
    "agave_small": ("cifar10", (8, 8, 3), {"auxiliary_size": 4}),
    "agave_grey": ("cifar10", (8, 4, 1), {"features": "plain", "injection": "horizontal"}),
}


def images_near_grey(count, shape, seed=0):
    """Noise near the middle, of which `deflate` makes more than the models do."""
    return np.clip(np.random.default_rng(seed).normal(128, 10, [count, *shape]), 0, 255).astype(np.uint8)


@functools.cache
def agave_model(form):
    name, shape, own = FORMS[form]
    experiment = dataclasses.replace(EXPERIMENTS[name], **{**_SIZE, **own})
    num_classes = NUM_CLASSES if experiment.conditional else 0
    model, rng = agave.build(experiment, shape, num_classes, seed=0), np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign_add(0.1 * rng.standard_normal(variable.shape).astype(np.float32))
    # Means near the middle, and logistics about as wide as images differ from it.
    if not isinstance(model, PixelCNNImages):
        head = getattr(model, "vae", model).head.last
        head.gain.assign(head.gain - 3)
        head.bias.assign(0.2 * head.bias)
    pixels = model if isinstance(model, PixelCNNImages) else getattr(model, "pixels", None)
    if pixels is not None:
        last, count = pixels.network.last, experiment.num_components
        kinds = 3 if shape[-1] == 3 else 2
        is_scale = np.arange(last.filters - count) // count % kinds == 1
        last.gain.assign(0.1 * last.gain)
        last.bias.assign(0.1 * last.bias - 2.5 * np.append(np.zeros(count), is_scale).astype(np.float32))
    return model
