"""The parameters of every published model, counted by kind in the built model, equal those of the released code.

Models are built as graphs: shapes, no memory. All blocks of a conditioner are alike, so that the counts follow from those of
models with one and two; `-m slow` builds the models with all.
"""

import csv
import dataclasses
import functools

import pytest
import tensorflow as tf

from reproductions.flowpp import model as flowpp
from reproductions.flowpp.experiments import EXPERIMENTS, FlowPPExperiment
from reproductions.published import PARAMETERS
from reproductions.reporting.expected import load_expected
from tests.slow import slow_but
from tfflows.bijectors import ActNorm, Chain, OnHalves
from tfflows.bijectors.coupling import Coupling
from tfflows.tracing.variables import count_parameters

KINDS = ("invertible_conv", "coupling_networks", "actnorm", "dequantizer")
# What the counts depend on; experiments that share it are built once.
ARCHITECTURE = [
    field.name
    for field in dataclasses.fields(FlowPPExperiment)
    if field.name
    in ("image_size", "stages", "mixer", "weight_norm", "last_nonlinearity", "invertible_conv", "coupling")
    or (
        field.name.startswith(("width", "num_", "dequantization", "context"))
        and field.name not in ("num_bits", "num_steps", "num_blocks", "dequantization_blocks")
    )
]


# Of the flow's conditioners and of the dequantizer's.
BLOCKS = ((1, 1), (2, 1), (1, 2))


def rows():
    with open(PARAMETERS, newline="") as file:
        return {row["experiment"]: row for row in csv.DictReader(file) if row["paper"] == "flowpp"}


ROWS = rows()


def size(variables):
    return sum(variable.shape.num_elements() for variable in variables if variable.trainable)


def counts(experiment):
    """Parameters by kind, those of the context network among the dequantizer's, and all together."""
    with tf.Graph().as_default():
        model = flowpp.build(experiment, [experiment.image_size, experiment.image_size, 3], 0, seed=0)
    steps = [step for step in model.flow.bijector.bijectors if isinstance(step, Chain)]
    layers = [layer for step in steps for layer in step.bijectors]

    def of(kind):
        return sum(size(layer.variables) for layer in layers if isinstance(layer, kind))

    context = getattr(model.dequantizer, "context_network", None)
    return {
        "invertible_conv": of(OnHalves),
        "coupling_networks": of(Coupling),
        "actnorm": of(ActNorm),
        "dequantizer": size(model.dequantizer.variables),
        "context_network": size(variable.value for variable in context.variables) if context else 0,
        "parameters": count_parameters(model),
    }


@functools.cache
def counts_with_blocks(architecture, num_blocks, dequantization_blocks):
    blocks = {"num_blocks": num_blocks, "dequantization_blocks": dequantization_blocks}
    return counts(dataclasses.replace(EXPERIMENTS["cifar10"], **dict(architecture) | blocks))


def architecture(experiment):
    return tuple((name, getattr(experiment, name)) for name in ARCHITECTURE)


# Of the paper, but not of the released code; counted by the tests of the claims study.
NOT_RELEASED = {"ablation_convolutions_only"}


def test_every_published_experiment_has_its_count():
    published = {name for name, experiment in EXPERIMENTS.items() if experiment.scale == "paper"}
    assert set(ROWS) == published - NOT_RELEASED


@pytest.mark.parametrize("name", slow_but((), ROWS))
def test_counts(name):
    experiment = EXPERIMENTS[name]
    one, main, dequantizer = (counts_with_blocks(architecture(experiment), *blocks) for blocks in BLOCKS)
    more, more_dequantization = experiment.num_blocks - 1, experiment.dequantization_blocks - 1
    found = {
        kind: count + more * (main[kind] - count) + more_dequantization * (dequantizer[kind] - count)
        for kind, count in one.items()
    }
    assert found == {kind: int(ROWS[name][kind]) for kind in found}
    assert found["parameters"] == sum(found[kind] for kind in KINDS)


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_counts_with_all_blocks(name):
    found = counts(EXPERIMENTS[name])
    assert found == {kind: int(ROWS[name][kind]) for kind in found}


def test_counts_are_those_that_the_paper_prints():
    """Table 2, in millions."""
    printed = {
        row.experiment: row.printed
        for row in load_expected()
        if row.paper == "flowpp" and row.metric == "parameters_millions"
    }
    assert len(printed) == 4
    for name, millions in printed.items():
        assert f"{int(ROWS[name]['parameters']) / 1e6:.1f}" == millions


@pytest.mark.parametrize("name", slow_but([], [name for name in EXPERIMENTS if name.startswith("claims")]))
def test_arms_of_the_claims_study_have_half_a_million(name):
    assert abs(counts(EXPERIMENTS[name])["parameters"] / 500_000 - 1) < 0.05


@pytest.mark.slow
def test_the_proportioned_arm_has_the_published_share_in_its_dequantizer():
    arm, row = counts(EXPERIMENTS["claims_full_proportioned"]), ROWS["cifar10"]
    published = int(row["dequantizer"]) / int(row["parameters"])
    assert abs(arm["dequantizer"] / arm["parameters"] - published) < 0.005
