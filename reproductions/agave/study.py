"""AGAVE's arms of the claims study (reproductions/claims), half a million live parameters each.

Both halves are trained jointly from the start. As in table 1, the two models on their own are the halves of AGAVE: a PixelCNN++
of the size of its decoder, and an IAF-VAE of the size of its VAE. `iaf_vae_matched` has as many parameters as the whole AGAVE.
"""

import dataclasses

from reproductions.agave.experiments import EXPERIMENTS, IAF_VAE, PIXELCNN
from reproductions.recipe import study_experiments

_SIZE = {
    "auxiliary_size": 16,
    "width": 18,
    "num_blocks": 1,
    "num_components": 5,
    "vae_width": 32,
    "latent_channels": 8,
    "vae_blocks": 2,
    "pretraining_steps": 0,
    "dropout_rate": 0.0,
    "initial_log_scale": -2.0,  # Adamax takes a thousand steps to get there from the published 0
    "source": "eq. 6 and 7, figures 4 and 5, reduced",
}
LAMBDAS = (1, 2, 4, 8, 12, 16)
LEVELS = (64, 16, 4)

ARMS = {
    **{f"lambda_{value}": {**_SIZE, "kl_weight": float(value)} for value in LAMBDAS},
    "no_auxiliary": {**_SIZE, "kl_weight": 1.0, "auxiliary": False},
    # Other auxiliary images, with lambda 8 as in figure 5.
    **{f"levels_{value}": {**_SIZE, "auxiliary_levels": value, "kl_weight": 8.0} for value in LEVELS},
    **{f"auxiliary_{size}": {**_SIZE, "auxiliary_size": size, "kl_weight": 8.0} for size in (8, 4)},
    "pixelcnn": {**_SIZE, "model": PIXELCNN, "source": "table 1, reduced"},
    "iaf_vae": {**_SIZE, "model": IAF_VAE, "scale_per_colour": False, "source": "table 1, reduced"},
    "iaf_vae_matched": {
        **_SIZE,
        "model": IAF_VAE,
        "vae_blocks": 6,
        "scale_per_colour": False,
        "source": "table 1, reduced",
    },
}


def _make(name, **fields):
    return dataclasses.replace(EXPERIMENTS["cifar10"], name=name, **fields)


STUDY = study_experiments(_make, ARMS, tried="lambda_12")
