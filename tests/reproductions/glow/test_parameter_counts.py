"""The parameters of every published model, counted by kind in the built model, equal those of the released code.

Models are built as graphs: shapes, no memory. Building takes some 50 ms a flow step, and all K steps of a level are equal, so
the counts at depth K follow from those at depths 1 and 2; `-m slow` builds every model at its full depth.
"""

import csv
import dataclasses
import functools

import pytest
import tensorflow as tf

from reproductions.glow import model as glow
from reproductions.glow.experiments import EXPERIMENTS
from reproductions.published import PARAMETERS
from tests.slow import slow_but
from tfflows.tracing.variables import count_parameters, named_variables

VARIANTS = {
    "": {},
    "1x1 convolution in its LU form": {"permutation": "invertible_lu"},
    "4 levels, the appendix's": {"levels": 4},
    "3 levels, depth 2, width 16": {"levels": 3, "depth": 2, "width": 16},
    "3 levels, depth 4, width 64": {"levels": 3, "depth": 4, "width": 64},
}
NUM_CLASSES = {"cifar10_conditional": 10, "imagenet32_conditional": 1000}
KINDS = ("invertible_conv", "coupling_networks", "actnorm", "split_priors", "top_prior", "classifier")


def rows():
    with open(PARAMETERS, newline="") as file:
        return [row for row in csv.DictReader(file) if row["paper"] == "glow"]


ROWS = {f"{row['experiment']} {row['variant']}".strip(): row for row in rows()}


# Each kind of permutation, coupling, and prior once.
BY_DEFAULT = (
    "cifar10",
    "cifar10 1x1 convolution in its LU form",
    "cifar10_conditional",
    "celeba_hq",
)
DEEP = [name for name in ROWS if "depth" in name]


def experiment_of(row):
    return dataclasses.replace(EXPERIMENTS[row["experiment"]], **VARIANTS[row["variant"]])


def build(experiment, num_classes):
    with tf.Graph().as_default():
        return glow.build(experiment, [experiment.image_size, experiment.image_size, 3], num_classes, seed=0)


def size(variables):
    return sum(variable.shape.num_elements() for variable in variables if variable.trainable)


def counts(model):
    """Trainable scalars by kind, their sum, and the scalars that do not train."""
    bijector = model.flow.bijector
    steps = [step for level in bijector.levels for step in level.flow.bijectors[1:]]
    *splits, top = [level.prior for level in bijector.levels]
    names = named_variables(model)
    return {
        "invertible_conv": sum(size(step.bijectors[1].variables) for step in steps),
        "coupling_networks": sum(size(step.bijectors[2].variables) for step in steps),
        "actnorm": sum(size(step.bijectors[0].variables) for step in steps),
        "split_priors": sum(size(prior.variables) for prior in splits),
        "top_prior": size(top.variables),
        "classifier": size(v.value for v in model.classifier.variables) if hasattr(model, "classifier") else 0,
        "parameters": count_parameters(model),
        "not_trained": sum(v.shape.num_elements() for v in names.values()) - count_parameters(model),
    }


def architecture(experiment, num_classes):
    """What the counts depend on; experiments that share it are built once."""
    fields = ("levels", "width", "permutation", "coupling", "image_size", "conditional", "class_weight")
    return tuple((field, getattr(experiment, field)) for field in fields), num_classes


@functools.cache
def counts_at_depth(architecture, depth):
    settings, num_classes = architecture
    return counts(build(dataclasses.replace(EXPERIMENTS["cifar10"], depth=depth, **dict(settings)), num_classes))


def expected(row):
    return {kind: int(row[kind]) for kind in (*KINDS, "parameters")}


@pytest.mark.parametrize("name", slow_but(BY_DEFAULT, ROWS))
def test_counts(name):
    row = ROWS[name]
    experiment = experiment_of(row)
    key = architecture(experiment, NUM_CLASSES.get(experiment.name, 0))
    one, two = counts_at_depth(key, 1), counts_at_depth(key, 2)
    at_depth = {kind: one[kind] + (experiment.depth - 1) * (two[kind] - one[kind]) for kind in one}
    not_trained = at_depth.pop("not_trained")
    assert at_depth == expected(row)
    assert at_depth["parameters"] == sum(at_depth[kind] for kind in KINDS)
    assert glow.dead_parameters(experiment, [experiment.image_size] * 2 + [3]) == int(row["top_prior_dead"])
    assert not_trained == {"shuffle": 5_376, "invertible_lu": 99_456}.get(experiment.permutation, 0)


@pytest.mark.parametrize("name", slow_but([DEEP[0]], DEEP))
def test_counts_at_full_depth(name):
    row = ROWS[name]
    experiment = experiment_of(row)
    actual = counts(build(experiment, NUM_CLASSES.get(experiment.name, 0)))
    assert actual.pop("not_trained") == 0
    assert actual == expected(row)


@pytest.mark.slow
def test_every_published_model_at_full_depth():
    built = {}
    for row in ROWS.values():
        experiment = experiment_of(row)
        num_classes = NUM_CLASSES.get(experiment.name, 0)
        key = architecture(experiment, num_classes), experiment.depth
        if key not in built:
            built[key] = counts(build(experiment, num_classes))
        assert {kind: built[key][kind] for kind in expected(row)} == expected(row)


def closed_form(levels, depth, width, affine, matrix, num_classes, classify):
    """The released code's shapes, written down once more."""
    total, channels = 0, 3
    for level in range(levels):
        channels *= 4 if level == 0 else 2
        outputs = channels if affine else channels // 2
        network = (
            9 * (channels // 2 + 1) * width + 2 * width + width**2 + 2 * width + 9 * (width + 1) * outputs + 2 * outputs
        )
        total += depth * (2 * channels + matrix(channels) + network)
        if level < levels - 1:
            total += 9 * (channels // 2 + 1) * channels + 2 * channels
    total += 9 * (2 * channels + 1) * 2 * channels + 4 * channels
    if num_classes:
        total += 2 * channels * (num_classes + 2)
    return total + (channels * num_classes + 2 * num_classes if classify else 0)


MATRIX_SIZES = {
    "reverse": lambda c: 0,
    "shuffle": lambda c: 0,
    "invertible": lambda c: c * c,
    "invertible_lu": lambda c: 2 * c * c + c,
}


@pytest.mark.parametrize("name", ROWS)
def test_the_table_agrees_with_the_closed_form(name):
    row = ROWS[name]
    e = experiment_of(row)
    num_classes = NUM_CLASSES.get(e.name, 0)
    affine, matrix = e.coupling == "affine", MATRIX_SIZES[e.permutation]
    total = closed_form(e.levels, e.depth, e.width, affine, matrix, num_classes, num_classes > 0)
    assert total == int(row["parameters"])


def test_every_published_experiment_has_a_row():
    published = {name for name, e in EXPERIMENTS.items() if e.source != "ours" and e.dataset != "cifar10_16"}
    assert published == {row["experiment"] for row in ROWS.values()}
