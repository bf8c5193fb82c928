"""The parameters of every published model equal those of the released code, and the closed form of its layout."""

import csv
import dataclasses
import functools

import pytest
import tensorflow as tf

from reproductions.published import PARAMETERS
from reproductions.realnvp import model as realnvp
from reproductions.realnvp.experiments import EXPERIMENTS
from tests.slow import slow_but
from tfflows.tracing.variables import count_parameters, named_variables

VARIANTS = {
    "": {},
    "4 scales, the code's default": {"levels": 4},
    "4 residual blocks, the README's": {"num_blocks": 4},
    "width 8, the docstring's": {"width": 8},
}
# Running statistics without counters of steps, penalized numbers, and the variables that hold them, of the released graphs.
NOT_TRAINED = {
    "cifar10": 37_386,
    "imagenet32": 56_102,
    "imagenet64": 66_264,
    "celeba64 4 residual blocks, the README's": 117_320,
}
PENALIZED = {
    "cifar10": (18_605, 187),
    "imagenet32": (27_943, 233),
    "imagenet64": (33_050, 184),
    "celeba64 4 residual blocks, the README's": (58_522, 296),
    "imagenet64 4 scales, the code's default": (15_783, 145),
}

with open(PARAMETERS, newline="") as file:
    ROWS = {
        f"{row['experiment']} {row['variant']}".strip(): row
        for row in csv.DictReader(file)
        if row["paper"] == "realnvp"
    }


def experiment_of(name):
    return dataclasses.replace(EXPERIMENTS[ROWS[name]["experiment"]], **VARIANTS[ROWS[name]["variant"]])


def residual(inputs, width, outputs, num_blocks):
    """Numbers of a residual network of the released code (bias, magnitude and shift included)."""
    first = 9 * inputs * width + width
    skips = (num_blocks + 1) * (width**2 + 2 * width)
    blocks = num_blocks * (18 * width**2 + 4 * width)
    return first + skips + blocks + width + width * outputs + 2 * outputs


def closed_form(levels, width, num_blocks, channels=3):
    """The released code's shapes, written down once more: with the batch norm of the input, and a scale a coupling."""

    def checkerboard(channels, width):
        return channels + residual(2 * channels + 1, width, 2 * channels, num_blocks) + 1

    def channel(half, width):
        return half + residual(2 * half, width, 2 * half, num_blocks) + 1

    total = 0
    for _ in range(levels - 1):
        total += 3 * checkerboard(channels, width) + 3 * channel(2 * channels, 2 * width)
        channels, width = 2 * channels, 2 * width
    return total + 4 * checkerboard(channels, width)


@pytest.mark.parametrize("name", ROWS)
def test_the_table_agrees_with_the_closed_form(name):
    experiment = experiment_of(name)
    expected = closed_form(experiment.levels, experiment.width, experiment.num_blocks)
    assert int(ROWS[name]["parameters"]) == expected


@functools.cache
def counts(settings):
    """Trained, not trained, penalized numbers, and the number of variables that hold the penalized ones."""
    experiment = dataclasses.replace(EXPERIMENTS["cifar10"], **dict(settings))
    with tf.Graph().as_default():
        model = realnvp.build(experiment, [experiment.image_size, experiment.image_size, 3], 0, seed=0)
        trained = count_parameters(model)
        penalized = model._penalized_variables
        everything = sum(variable.shape.num_elements() for variable in named_variables(model).values())
        num_norms = sum(name.endswith("/mean") for name in named_variables(model))
    # The released code counts steps beside each pair of running statistics.
    not_trained = everything - trained + num_norms
    return trained, not_trained, sum(v.shape.num_elements() for v in penalized), len(penalized)


def at_depth(experiment):
    """As `counts`, from models with one and two residual blocks: all blocks are alike."""
    settings = {name: getattr(experiment, name) for name in ("levels", "width", "image_size")}
    one, two = (counts(tuple({**settings, "num_blocks": number}.items())) for number in (1, 2))
    return tuple(first + (experiment.num_blocks - 1) * (second - first) for first, second in zip(one, two, strict=True))


@pytest.mark.parametrize("name", slow_but([], ROWS))
def test_counts(name):
    trained, not_trained, penalized, num_penalized = at_depth(experiment_of(name))
    assert trained == int(ROWS[name]["parameters"])
    assert not_trained == NOT_TRAINED.get(name, not_trained)
    assert (penalized, num_penalized) == PENALIZED.get(name, (penalized, num_penalized))


def test_every_published_experiment_has_a_row():
    assert {row["experiment"] for row in ROWS.values()} == {e.name for e in EXPERIMENTS.values() if e.scale == "paper"}
    assert ROWS["cifar10"]["parameters"] == "19609545" and ROWS["imagenet32"]["parameters"] == "46220359"
    assert {ROWS[name]["parameters"] for name in ("imagenet64", "lsun_tower", "celeba64")} == {"96363237"}
