"""Names, shapes and numbers of the released MaCow's variables, at the published widths."""

import dataclasses
import functools
import math
import re

import numpy as np
import pytest
import tensorflow as tf

from reproductions.macow.model import prior, unit_form
from reproductions.macow.reproduction import MACOW
from tests.slow import slow_but
from tfflows.interop.macow import released_places

# Numbers and tensors of the released models, counted in the authors' code (XuezheMax/macow, 6de247c).
COUNTS = {
    "cifar10_fine_grained_release": (37_197_547, 4400),
    "cifar10_var_release": (38_403_423, 5172),
    "imagenet64_fine_grained_release": (117_244_127, 7144),
    "imagenet64_var_release": (123_100_393, 8682),
    "lsun_bedroom_uniform_release": (117_244_127, 7144),
    "lsun_bedroom_128_uniform_release": (166_570_083, 13_288),
    "lsun_bedroom_128_var_release": (171_913_089, 14_274),
    "celeba_hq_uniform_release": (171_945_151, 9776),
    "celeba_hq_var_release": (177_288_157, 10_762),
}
# One of each kind of layer: the authors' kernels are OIHW, those of transposed convolutions IOHW.
SHAPES = {
    "cifar10_var_release": {
        "blocks.0.steps.0.units.0.actnorm1.log_scale": (3, 1, 1),
        "blocks.0.steps.0.units.0.conv1.net.masked_conv.conv.weight_v": (12, 3, 2, 3),
        "blocks.0.steps.0.units.0.conv2.net.masked_conv.conv.weight_g": (12, 1, 1, 1),
        "blocks.0.steps.0.units.1.conv3.net.masked_conv.conv.weight_v": (12, 3, 3, 2),
        "blocks.0.steps.0.units.1.conv4.net.conv1x1.conv.weight_v": (6, 12, 1, 1),
        "blocks.0.steps.0.glow_step.coupling.net.conv1.conv.weight_v": (24, 2, 3, 3),
        "blocks.0.steps.0.glow_step.coupling.net.conv3.conv.weight_v": (2, 24, 3, 3),
        "blocks.1.layers.0.0.glow_step.actnorm.bias": (12, 1, 1),
        "blocks.1.layers.0.0.glow_step.conv1x1.weight": (12, 12),
        "blocks.1.layers.0.0.glow_step.coupling.net.conv1.conv.weight_v": (512, 6, 3, 3),
        "blocks.1.layers.0.0.glow_step.coupling.net.conv2.conv.weight_v": (512, 512, 1, 1),
        "blocks.1.layers.0.0.glow_step.coupling.net.conv3.conv.bias": (12,),
        "blocks.1.priors.0.conv1x1.weight": (12, 12),
        "blocks.1.priors.0.nice.net.conv1.conv.weight_v": (512, 9, 3, 3),
        "blocks.1.priors.0.nice.net.conv3.conv.weight_v": (6, 512, 3, 3),
        "blocks.1.layers.1.0.glow_step.conv1x1.weight": (9, 9),
        "blocks.1.priors.1.actnorm.bias": (9, 1, 1),
        "blocks.1.priors.1.nice.net.conv1.conv.weight_v": (512, 6, 3, 3),
        "blocks.3.steps.0.glow_step.coupling.net.conv1.conv.weight_v": (512, 24, 3, 3),
        "macow.blocks.0.steps.0.units.0.conv1.s_conv.conv.weight_v": (12, 4, 3, 3),
        "macow.blocks.0.steps.0.glow_step.coupling.net.conv1.conv.weight_v": (24, 6, 3, 3),
        "macow.blocks.1.steps.0.units.0.conv1.s_conv.conv.weight_v": (48, 16, 3, 3),
        "macow.blocks.1.steps.0.glow_step.coupling.net.conv1.conv.weight_v": (256, 22, 3, 3),
        "encoder.resnet_bottom.main.0.conv1.conv.weight_v": (32, 3, 3, 3),
        "encoder.resnet_bottom.main.0.downsample.conv.weight_v": (32, 3, 1, 1),
        "encoder.down0.conv.weight_v": (64, 32, 3, 3),
        "encoder.resnet0.main.1.conv2.conv.weight_v": (64, 64, 3, 3),
        "encoder.up0.deconv.weight_v": (64, 32, 3, 3),
        "encoder.up0.deconv.weight_g": (1, 32, 1, 1),
        "encoder.s_level.conv.weight_v": (4, 32, 1, 1),
    },
    "imagenet64_var_release": {
        "blocks.1.layers.0.0.units.0.conv1.net.masked_conv.conv.weight_v": (48, 12, 2, 5),
        "blocks.1.layers.0.0.units.0.conv3.net.masked_conv.conv.weight_v": (48, 12, 5, 2),
        "blocks.3.priors.0.nice.net.conv1.conv.weight_v": (512, 36, 3, 3),
        "macow.blocks.1.priors.0.nice.net.conv1.conv.weight_v": (256, 22, 3, 3),
        "macow.blocks.1.layers.0.0.units.0.conv1.net.masked_conv.conv.weight_v": (48, 12, 2, 3),
        "macow.blocks.2.steps.0.units.0.conv1.s_conv.conv.weight_v": (96, 64, 3, 3),
        "encoder.down1.conv.weight_v": (96, 64, 3, 3),
        "encoder.up0.deconv.weight_v": (96, 64, 3, 3),
        "encoder.up1.deconv.weight_v": (64, 32, 3, 3),
        "encoder.up1.deconv.weight_g": (1, 32, 1, 1),
    },
    "celeba_hq_uniform_release": {
        "blocks.1.layers.0.0.units.0.conv1.net.conv1x1.conv.weight_v": (12, 48, 1, 1),
        "blocks.1.layers.0.0.glow_step.coupling.net.conv3.conv.weight_v": (6, 256, 3, 3),
        "blocks.1.priors.0.nice.net.conv3.conv.weight_v": (6, 256, 3, 3),
        "blocks.6.steps.0.glow_step.conv1x1.weight": (384, 384),
    },
}
STEP = re.compile(r"(?P<dequantizer>macow\.)?blocks\.(?P<level>\d+)\.(?:steps|layers\.(?P<part>\d+))\.0\.")


def one_each(steps):
    return tuple(tuple(1 for _ in level) for level in steps)


@functools.cache
def shapes_of(name):
    """The authors' names and shapes, with one step in place of several equal ones."""
    experiment = MACOW.experiments[name]
    shallow = dataclasses.replace(
        experiment,
        steps=one_each(experiment.steps),
        dequantization_steps=one_each(experiment.dequantization_steps),
    )
    model = MACOW.build_model(shallow, [experiment.image_size, experiment.image_size, 3], 0, 0)
    return {
        own: part.shape
        for place in released_places(model)
        for own, part in zip(place.names, place.split(np.zeros(place.variable.shape, np.float32)), strict=True)
    }


def num_steps(experiment, name):
    """How many variables of the published model a variable of the shallow one stands for."""
    found = STEP.match(name)
    if found is None:
        return 1
    steps = experiment.dequantization_steps if found["dequantizer"] else experiment.steps
    return steps[int(found["level"])][int(found["part"] or 0)]


def test_a_prior_has_its_names_in_a_graph_too():
    """Where several bijectors of one name are numbered."""
    form = unit_form(MACOW.experiments["cifar10_fine_grained_release"])
    with tf.Graph().as_default():
        named = [{name for place in released_places(prior(form, 4, 2, 4, 0)) for name in place.names} for _ in range(2)]
    assert named[0] == named[1] and "conv1x1.weight" in named[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", COUNTS)
def test_counts(name):
    experiment = MACOW.experiments[name]
    counts = {own: num_steps(experiment, own) for own in shapes_of(name)}
    numbers = sum(counts[own] * math.prod(shape) for own, shape in shapes_of(name).items())
    assert (numbers, sum(counts.values())) == COUNTS[name]


@pytest.mark.parametrize("name", slow_but([], SHAPES))
def test_shapes(name):
    found = shapes_of(name)
    assert {own: found[own] for own in SHAPES[name]} == SHAPES[name]
