"""The parameters of every published model, by closed forms that equal the built model, are those of the authors' code.

Models are built as graphs: shapes, no memory. All steps of a part of a level are alike, so the closed forms are checked with one
step a part, where every width and every split is there; `-m slow` builds the models with all.
"""

import csv
import dataclasses

import pytest
import tensorflow as tf

from reproductions.macow import model as macow
from reproductions.macow.counts import count_parameters
from reproductions.macow.experiments import EXPERIMENTS
from reproductions.published import PARAMETERS
from tests.slow import slow_but
from tfflows.bijectors import ActNorm, Chain, InvertibleConv, MaskedConv, OnFirstChannels
from tfflows.bijectors.coupling import Coupling
from tfflows.tracing import variables as named_variables

# Settings that no authors' configuration is known of.
OURS = {"cifar10_org", "imagenet64_org", "imagenet64_var"}
OURS |= {f"lsun_{category}_128_var" for category in ("bedroom", "tower", "church")}
OURS |= {f"lsun_{category}_var" for category in ("bedroom", "tower", "church")}
OURS |= {"cifar10_org_release", "imagenet64_org_release"}
OURS |= {f"lsun_{category}_var_release" for category in ("bedroom", "tower", "church")}
with open(PARAMETERS, newline="") as file:
    ROWS = {row["experiment"]: row for row in csv.DictReader(file) if row["paper"] == "macow"}


def built(experiment):
    with tf.Graph().as_default():
        return macow.build(experiment, [experiment.image_size, experiment.image_size, 3], 0, seed=0)


def layers_of(chain, within=()):
    """`(names of what it lies in, layer)` of a flow, however deep."""
    for layer in chain.bijectors:
        if isinstance(layer, OnFirstChannels):
            yield from layers_of(layer.bijector, within)
        elif isinstance(layer, Chain):
            # In a graph, TFP gives equal names a number: prior_1.
            yield from layers_of(layer, (*within, layer.name.rstrip("_0123456789")))
        else:
            yield within, layer


def size(variables):
    return sum(variable.shape.num_elements() for variable in variables if variable.trainable)


def counts(experiment):
    """By kind, as in the table: what a prior is made of counts there."""
    model = built(experiment)
    layers = list(layers_of(model.flow.bijector))

    def of(kind):
        return sum(
            size(layer.variables) for within, layer in layers if isinstance(layer, kind) and "prior" not in within
        )

    context = getattr(model.dequantizer, "context_network", None)
    return {
        "masked_convs": of(MaskedConv),
        "coupling_networks": of(Coupling),
        "split_priors": sum(size(layer.variables) for within, layer in layers if "prior" in within),
        "invertible_conv": of(InvertibleConv),
        "actnorm": of(ActNorm),
        "dequantizer": size(model.dequantizer.variables),
        "context_network": size(variable.value for variable in context.variables) if context else 0,
        "parameters": named_variables.count_parameters(model),
    }


def test_every_published_experiment_has_its_count():
    assert set(ROWS) == {name for name, experiment in EXPERIMENTS.items() if experiment.scale == "paper"} - OURS


@pytest.mark.parametrize("name", ROWS)
def test_closed_forms_are_the_authors_counts(name):
    assert count_parameters(EXPERIMENTS[name]) == int(ROWS[name]["parameters"])


def one_step_a_part(experiment):
    def ones(steps):
        return tuple(ones(entry) if isinstance(entry, tuple) else 1 for entry in steps)

    return dataclasses.replace(
        experiment, steps=ones(experiment.steps), dequantization_steps=ones(experiment.dequantization_steps)
    )


@pytest.mark.parametrize(
    "name", ["cifar10_var", *(pytest.param(n, marks=pytest.mark.slow) for n in ("imagenet64_org", "celeba_hq_uniform"))]
)
@pytest.mark.parametrize("variant", slow_but([], ["", "_release"]))
def test_closed_forms_are_those_of_built_models(name, variant):
    experiment = one_step_a_part(EXPERIMENTS[f"{name}{variant}"])
    found = counts(experiment)
    assert found["parameters"] == count_parameters(experiment)
    context = found.pop("context_network")
    assert context <= found["dequantizer"]
    assert sum(found.values()) == 2 * found["parameters"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_counts_with_all_steps(name):
    found = counts(EXPERIMENTS[name])
    for kind, count in found.items():
        assert not ROWS[name][kind] or count == int(ROWS[name][kind]), kind


def test_sizes_of_ours_are_near_those_of_the_paper():
    """The original architecture, of which no configuration is known, is as large as the fine-grained one within 4%."""
    for variant in ("", "_release"):
        for data in ("cifar10", "imagenet64"):
            fine, original = (EXPERIMENTS[f"{data}_{form}{variant}"] for form in ("fine_grained", "org"))
            assert abs(count_parameters(original) / count_parameters(fine) - 1) < 0.04
