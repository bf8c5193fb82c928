"""Without its bottom: the level on the unsqueezed image is left out, of flow and dequantizer; the others keep their form."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from reproductions.macow import model as macow
from reproductions.macow.counts import count_parameters
from reproductions.macow.experiments import EXPERIMENTS
from tests.reproductions.steps import assert_inverts, images
from tests.slow import slow_but
from tfflows.bijectors import Chain
from tfflows.interop.macow import export_weights, load_weights
from tfflows.math.random import row_keys
from tfflows.tracing.variables import count_parameters as count_variables

SHAPE = [8, 8, 3]
WHOLE = {
    "steps": "1, 1+1, 1",
    "widths": "4, 6, 8",
    "factors": "4",
    "dequantization_steps": "1, 1",
    "dequantization_widths": "4, 4",
    "context_planes": "8, 6",
}
WITHOUT = {
    **WHOLE,
    "bottom": False,
    "steps": "1+1, 1",
    "widths": "6, 8",
    "dequantization_bottom": False,
    "dequantization_steps": "1, 1",
    "dequantization_factors": "2",
    "context_planes": "8, 6, 4",
}
SUFFIXES = {"paper": "", "release": "_release"}
VARIANTS = list(SUFFIXES)


def experiment(variant, **fields):
    return dataclasses.replace(EXPERIMENTS[f"cifar10_var{SUFFIXES[variant]}"], image_size=8, **fields)


def built(variant, **fields):
    return macow.build(experiment(variant, **fields), SHAPE, 0, seed=0)


def numbers(weights, seed=0):
    generator = np.random.default_rng(seed)
    return {
        name: (value + 0.05 * generator.normal(size=value.shape)).astype(value.dtype) for name, value in weights.items()
    }


@pytest.mark.parametrize("variant", slow_but(["release"], VARIANTS))
def test_the_levels_after_the_bottom_are_those_with_it(variant):
    whole = built(variant, **WHOLE, dequantization="uniform")
    without = built(variant, **WITHOUT, dequantization="uniform")
    weights = numbers(export_weights(whole))
    load_weights(whole, weights)
    renamed = {}
    for name, value in weights.items():
        _, block, rest = name.split(".", 2)
        if block != "0":
            renamed[f"blocks.{int(block) - 1}.{rest}"] = value
    load_weights(without, renamed)
    doubling, first, *others = whole.flow.bijector.bijectors
    assert first.name == "step" and not isinstance(others[0], Chain)
    x = tf.random.stateless_normal([2, *SHAPE], [0, 1])
    expected = Chain([doubling, *others]).inverse_and_log_det(x)
    for found, part in zip(without.flow.bijector.inverse_and_log_det(x), expected, strict=True):
        np.testing.assert_allclose(found, part, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("variant", slow_but(["release"], VARIANTS))
def test_weights_have_the_names_and_shapes_of_the_released_classes(variant):
    model = built(variant, **WITHOUT)
    weights = export_weights(model)
    flows = [name for name in weights if name.startswith("blocks.")]
    assert {name.split(".")[1] for name in flows} == {"0", "1"}
    assert any(name.startswith("blocks.0.layers.1.0.") for name in flows)
    assert any(name.startswith("blocks.0.priors.1.") for name in flows)
    assert any(name.startswith("blocks.1.steps.0.") for name in flows)
    assert any(name.startswith("macow.blocks.0.layers.0.0.") for name in weights)
    # The released encoder halves the sides once for each level, from a single convolution.
    shapes = {
        "encoder.nin_bottom.conv.weight_v": (8, 3, 3, 3),
        "encoder.down0.conv.weight_v": (6, 8, 3, 3),
        "encoder.down1.conv.weight_v": (4, 6, 3, 3),
        "encoder.up0.deconv.weight_v": (4, 6, 3, 3),
        "encoder.up1.deconv.weight_v": (6, 8, 3, 3),
        "encoder.s_level.conv.weight_v": (4, 8, 1, 1),
    }
    assert {name: weights[name].shape for name in shapes} == shapes
    assert not any("resnet_bottom" in name for name in weights)
    changed = numbers(weights)
    load_weights(model, {f"flow.module.{name}": value for name, value in changed.items()})
    exported = export_weights(model)
    assert exported.keys() == changed.keys()
    convolution = model.dequantizer.context_network.blocks[0][0]
    direction = changed["encoder.nin_bottom.conv.weight_v"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(convolution.direction, direction)
    # Nothing lies between the first convolution and the next one.
    x = tf.random.stateless_normal([1, *SHAPE], [0, 2])
    network = model.dequantizer.context_network
    y = tf.nn.elu(network.down[0](convolution(2 * x)))
    for block in network.blocks[1]:
        y = block(y)
    y = tf.nn.elu(network.down[1](y))
    for block in network.blocks[2]:
        y = block(y)
    for layer in network.up:
        y = tf.nn.elu(layer(y))
    np.testing.assert_allclose(network(x), network.last(y), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("variant", "fields"),
    [
        ("release", {"dequantization": "uniform"}),
        pytest.param("release", {}, marks=pytest.mark.slow),
        pytest.param("paper", {}, marks=pytest.mark.slow),
        pytest.param("paper", {**WHOLE, "bottom": True}, marks=pytest.mark.slow),
    ],
)
def test_closed_forms_are_the_counts_of_built_models(variant, fields):
    made = experiment(variant, **{**WITHOUT, **fields})
    with tf.Graph().as_default():
        assert count_parameters(made) == count_variables(macow.build(made, SHAPE, 0, seed=0))


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_inverts(variant):
    model = built(variant, **WITHOUT)
    model.initialize(images(1, 64), tf.zeros([64], tf.int32), row_keys(0))
    for index, variable in enumerate(model.trainable_variables):
        variable.assign_add(0.02 * tf.random.stateless_normal(variable.shape, [index, 1]))
    assert assert_inverts(model).shape == [8, *SHAPE]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"factors": ""}, "factors one per level but the last, as bottom is false, got ''"),
        ({"dequantization_factors": ""}, "dequantization_factors one per level but the last, as dequantization_bottom"),
        ({"steps": "1+1, 1+1"}, "The last level needs a single number of steps"),
        ({"steps": "1+1+1+1, 1"}, "can factor out fewer than 4"),
        ({"steps": "1", "widths": "4", "factors": ""}, "has 1 levels, and at least 2 are needed"),
    ],
)
def test_levels_that_do_not_match_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        experiment("paper", **{**WITHOUT, **fields})


def test_each_level_halves_the_sides():
    made = experiment("paper", **{**WITHOUT, "steps": "1, 1, 1, 1", "widths": "4, 4, 4, 4", "factors": "2, 2, 2"})
    with pytest.raises(ValueError, match="must be a multiple of 16"):
        macow.build(made, SHAPE, 0, seed=0)
