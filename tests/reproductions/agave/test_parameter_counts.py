"""The parameters of every published model, by closed forms that equal the built model, are those that the authors' code makes.

Models are built as graphs: shapes, no memory. `-m slow` builds those of published size.
"""

import csv
import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from reproductions.agave import model as agave
from reproductions.agave.counts import count_parameters
from reproductions.agave.experiments import EXPERIMENTS
from reproductions.published import PARAMETERS
from tests.slow import slow_but
from tfflows.networks import AutoregressiveConv2D
from tfflows.tracing import variables as named_variables

with open(PARAMETERS, newline="") as file:
    ROWS = {row["experiment"]: row for row in csv.DictReader(file) if row["paper"] == "agave"}
NARROW = {"width": 6, "num_blocks": 2, "num_components": 3, "vae_width": 8, "latent_channels": 4, "vae_blocks": 2}


def built(experiment):
    with tf.Graph().as_default():
        return agave.build(experiment, [experiment.image_size, experiment.image_size, 3], 10, seed=0)


def test_every_published_experiment_has_its_count():
    conditional = "cifar10_pixelcnn_conditional"
    assert {*ROWS, conditional} == {name for name, experiment in EXPERIMENTS.items() if experiment.scale == "paper"}
    # No paper prints it: 10 classes, 3 x 5 + 3 x 5 + 2 positions of two units, two weights for each of 160 channels.
    without = int(ROWS["cifar10_pixelcnn"]["parameters"])
    assert count_parameters(EXPERIMENTS[conditional]) == without + 10 * 2 * 32 * 2 * 160 == 53_863_880


@pytest.mark.parametrize("name", ROWS)
def test_closed_forms_are_the_counts(name):
    assert count_parameters(EXPERIMENTS[name]) == int(ROWS[name]["parameters"])


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, marks=pytest.mark.slow),
        pytest.param({"features": "plain", "injection": "horizontal", "auxiliary_size": 8}, marks=pytest.mark.slow),
        {"model": "iaf_vae", "vae_depth": 2, "scale_per_colour": False, "auxiliary_size": 16},
        pytest.param({"model": "pixelcnn"}, marks=pytest.mark.slow),
        {"model": "pixelcnn", "conditional": True, "num_blocks": 1},
    ],
)
def test_closed_forms_are_those_of_built_models(changes):
    experiment = dataclasses.replace(EXPERIMENTS["cifar10"], **{**NARROW, **changes})
    assert named_variables.count_parameters(built(experiment)) == count_parameters(experiment)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cifar10", "cifar10_pixelcnn", "cifar10_iaf_vae"])
def test_counts_of_models_of_published_size(name):
    assert named_variables.count_parameters(built(EXPERIMENTS[name])) == int(ROWS[name]["parameters"])


def dead_parameters(experiment):
    """Under the masks of the flows, and the second convolution of the topmost block."""
    model = built(experiment)
    vae = getattr(model, "vae", model)
    if not hasattr(vae, "ladder"):
        return 0
    masked = [
        layer
        for block in vae.ladder.top_down
        for layer in vars(block.network).values()
        if isinstance(layer, AutoregressiveConv2D)
    ]
    masked_entries = sum(int(np.sum(1 - layer.live_taps)) for layer in masked)
    return masked_entries + sum(int(np.prod(variable.shape)) for variable in vae.ladder.bottom_up[-1].second.variables)


@pytest.mark.parametrize("arm", slow_but(["iaf_vae"], ["guided", "pixelcnn", "iaf_vae"]))
def test_arms_of_the_claims_study_have_half_a_million_live_parameters(arm):
    experiment = EXPERIMENTS[f"claims_{arm}"]
    assert abs(count_parameters(experiment) - dead_parameters(experiment) - 500_000) < 25_000
