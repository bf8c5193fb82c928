"""Names and shapes of the released variables of Glow, Flow++, VFlow, IAF and PixelCNN++, at the published widths.

For MaCow see test_released_macow.py.
"""

import dataclasses
import pathlib
import re

import numpy as np
import pytest

from reproductions.agave.reproduction import AGAVE
from reproductions.flowpp.reproduction import FLOWPP
from reproductions.glow.reproduction import GLOW
from reproductions.vflow.reproduction import VFLOW
from tests.slow import slow_but
from tfflows.interop import agave, flowpp, glow, vflow

DATA = pathlib.Path(__file__).parents[1] / "data"
PAPERS = {"glow": (GLOW, glow), "flowpp": (FLOWPP, flowpp), "vflow": (VFLOW, vflow), "agave": (AGAVE, agave)}

# A level of Glow with C channels: kernels of 3x3 have one more input, which is 1 outside of the image.
GLOW_LEVEL = {
    "{level}/0/actnorm_center/b": (1, 1, 1, "C"),
    "{level}/0/actnorm_scale/logs": (1, 1, 1, "C"),
    "{level}/0/invconv/W": ("C", "C"),
    "{level}/0/f1/l_1/W": (3, 3, "C/2+1", 512),
    "{level}/0/f1/l_1/actnorm_center/b": (1, 1, 1, 512),
    "{level}/0/f1/l_1/actnorm_scale/logs": (1, 1, 1, 512),
    "{level}/0/f1/l_2/W": (1, 1, 512, 512),
    "{level}/0/f1/l_2/actnorm_center/b": (1, 1, 1, 512),
    "{level}/0/f1/l_2/actnorm_scale/logs": (1, 1, 1, 512),
    "{level}/0/f1/l_last/W": (3, 3, 513, "C"),
    "{level}/0/f1/l_last/b": (1, 1, 1, "C"),
    "{level}/0/f1/l_last/logs": (1, "C"),
    "pool{level}/conv/W": (3, 3, "C/2+1", "C"),
    "pool{level}/conv/b": (1, 1, 1, "C"),
    "pool{level}/conv/logs": (1, "C"),
}


def glow_level(level, channels):
    sizes = {"C": channels, "C/2+1": channels // 2 + 1}
    return {
        "model/" + name.format(level=level): tuple(sizes.get(size, size) for size in shape)
        for name, shape in GLOW_LEVEL.items()
        if level < 2 or not name.startswith("pool")
    }


def steps(first, last, height, width, channels, context=False, components=32):
    """Steps of a Flow++ of 96 channels with one block, which are numbered from `first` to `last`, on halves of the given size."""
    shapes = {}
    for number in range(first, last + 1):
        own = f"_{number}" if number else ""
        coupling, block = f"MixLogisticAttnCoupling{own}", f"MixLogisticAttnCoupling{own}/block0"
        parameters = channels * (2 + 3 * components)
        for half in (0, 1):
            shapes[f"Norm{own}/norm{half}/g"] = (height, width, channels)
            shapes[f"Norm{own}/norm{half}/b"] = (height, width, channels)
            shapes[f"Pointwise{own}/W{half}"] = (channels, channels)
        shapes |= {
            f"{coupling}/pos_emb": (height, width, 96),
            f"{coupling}/proj_in/W": (3, 3, channels, 96),
            f"{coupling}/proj_in/b": (96,),
            f"{block}/conv/c1/W": (3, 3, 192, 96),
            f"{block}/conv/c1/b": (96,),
            f"{block}/conv/c2/W": (192, 192),
            f"{block}/conv/c2/b": (192,),
            f"{block}/ln1/g": (1, 1, 1, 96),
            f"{block}/ln1/b": (1, 1, 1, 96),
            f"{block}/attn/proj1/W": (96, 288),
            f"{block}/attn/proj1/b": (288,),
            f"{block}/attn/proj2/W": (96, 192),
            f"{block}/attn/proj2/b": (192,),
            f"{block}/ln2/g": (1, 1, 1, 96),
            f"{block}/ln2/b": (1, 1, 1, 96),
            f"{coupling}/proj_out/W": (3, 3, 96, parameters),
            f"{coupling}/proj_out/b": (parameters,),
        }
        if context:
            shapes[f"{block}/conv/a_proj/W"] = (64, 96)
            shapes[f"{block}/conv/a_proj/b"] = (96,)
    return shapes


CONTEXT = {
    "context_proc/proj/W": (3, 3, 6, 32),
    "context_proc/proj/b": (32,),
    "context_proc/c0/c1/W": (3, 3, 64, 32),
    "context_proc/c0/c1/b": (32,),
    "context_proc/c0/c2/W": (3, 3, 64, 64),
    "context_proc/c0/c2/b": (64,),
}
CONTEXT_OF_Q = {
    "context_proc_1/proj_q/W": (3, 3, 6, 32),
    "context_proc_1/proj_q/b": (32,),
    "context_proc_1/q_c0/c1/W": (3, 3, 64, 32),
    "context_proc_1/q_c0/c1/b": (32,),
    "context_proc_1/q_c0/c2/W": (3, 3, 64, 64),
    "context_proc_1/q_c0/c2/b": (64,),
}


def with_gain(kernels, outputs=-1):
    """Weight-normalized layers by the shapes of their directions; where the outputs are is the axis `outputs`."""
    shapes = {}
    for name, shape in kernels.items():
        shapes |= {f"{name}/V": shape, f"{name}/g": (shape[outputs],), f"{name}/b": (shape[outputs],)}
    return shapes


# Transposed convolutions have kernels of height, width, outputs and inputs.
IAF_SHAPES = {
    **with_gain({"x_enc": (5, 5, 3, 160)}),
    **with_gain({"x_dec": (5, 5, 3, 160)}, outputs=2),
    "h_top": (160,),
    **with_gain(
        {
            f"IAF_0_{block}/{name}": shape
            for block in (0, 1)
            for name, shape in {
                "up_conv1": (3, 3, 160, 384),
                "up_conv3": (3, 3, 160, 160),
                "down_conv1": (3, 3, 160, 448),
                "ar_multiconv2d/layer_0": (3, 3, 32, 160),
                "ar_multiconv2d/layer_1": (3, 3, 160, 160),
                "ar_multiconv2d/layer_out_0": (3, 3, 160, 32),
                "ar_multiconv2d/layer_out_1": (3, 3, 160, 32),
                "down_conv2": (3, 3, 192, 160),
            }.items()
        }
    ),
}


def numbered(layers):
    """Layers of a PixelCNN++ in the order of their creation, of which each kind is numbered by itself."""
    numbers, shapes = {}, {}
    for kind, shape in layers:
        number = numbers.get(kind, 0)
        numbers[kind] = number + 1
        shapes[f"{kind}_{number}"] = shape
    return {
        **with_gain({name: shape for name, shape in shapes.items() if not name.startswith("deconv")}),
        **with_gain({name: shape for name, shape in shapes.items() if name.startswith("deconv")}, outputs=2),
    }


def unit(kernel, inputs):
    """A gated unit of 160 channels whose `inputs` are the channels of what enters its 1x1 layers, both signs of each."""
    return [
        ("conv2d", (*kernel, 320, 160)),
        *(("dense", (channels, 160)) for channels in inputs),
        ("conv2d", (*kernel, 320, 320)),
    ]


def pixelcnn_layers(stream):
    """A PixelCNN++ of one unit a resolution; with the stream of features, whose units come first at each place."""
    features = [320] if stream else []
    strides = [(2, 3), (2, 2), (3, 3)] if stream else [(2, 3), (2, 2)]
    layers = [("conv2d", (*kernel, 4, 160)) for kernel in [(2, 3), (1, 3), (2, 1), *([(3, 3)] if stream else [])]]
    for level in range(3):
        if level:
            layers += [("conv2d", (*kernel, 160, 160)) for kernel in strides]
        layers += unit((3, 3), []) if stream else []
        layers += unit((2, 3), features) + unit((2, 2), [320, *features])
    for level in range(3):
        if level:
            layers += [("deconv2d", (*kernel, 160, 160)) for kernel in strides]
        for _ in range(1 if level == 0 else 2):
            layers += unit((3, 3), [320]) if stream else []
            layers += unit((2, 3), [320, *features]) + unit((2, 2), [640, *features])
    return [*layers, ("dense", (160, 100))]


# The models with one of several equal steps or blocks, by the authors' names (openai/glow, aravindsrinivas/flowpp,
# thu-ml/vflow, openai/iaf, openai/pixel-cnn). AGAVE itself was not released: its PixelCNN++ is ours with a third stream.
SHALLOW = {
    "glow": {"depth": 1},
    "flowpp": {"num_blocks": 1, "dequantization_blocks": 1, "context_blocks": 1},
    "vflow": {"num_blocks": 1, "dequantization_blocks": 1, "context_blocks": 1, "augmenter_blocks": 1},
    "agave": {"num_blocks": 1, "vae_blocks": 2},
}
SHAPES = {
    "glow cifar10": {
        **glow_level(0, 12),
        **glow_level(1, 24),
        **glow_level(2, 48),
        "model/prior/p/W": (3, 3, 97, 96),
        "model/prior/p/b": (1, 1, 1, 96),
        "model/prior/p/logs": (1, 96),
    },
    "flowpp cifar10": {
        **CONTEXT,
        **steps(0, 3, 32, 16, 3, context=True),
        **steps(4, 7, 32, 16, 3),
        **steps(8, 9, 16, 16, 6),
        **steps(10, 12, 16, 8, 12),
    },
    "vflow cifar10": {
        **CONTEXT,
        **CONTEXT_OF_Q,
        **steps(0, 3, 32, 16, 3, context=True),
        **steps(4, 7, 32, 16, 3, context=True),
        **steps(8, 9, 32, 16, 6),
        **steps(10, 11, 32, 32, 3),
        **steps(12, 13, 16, 8, 24),
        **steps(14, 16, 16, 16, 12),
    },
    "agave cifar10_iaf_vae": {**IAF_SHAPES, "dec_log_stdv": ()},
    "agave cifar10_pixelcnn": numbered(pixelcnn_layers(stream=False)),
    "agave cifar10": {**IAF_SHAPES, "dec_log_stdv": (3,), **numbered(pixelcnn_layers(stream=True))},
}
BY_DEFAULT = ("glow cifar10",)


def without_leading_ones(shape):
    """The shape in which a vector of the authors is exported."""
    return tuple(shape[-1:]) if all(size == 1 for size in shape[:-1]) else tuple(shape)


def assert_shapes(weights, expected):
    assert {name: value.shape for name, value in weights.items()} == {
        name: without_leading_ones(shape) for name, shape in expected.items()
    }


@pytest.mark.parametrize("case", slow_but(BY_DEFAULT, SHAPES))
def test_published_widths(case):
    paper, name = case.split()
    reproduction, interop = PAPERS[paper]
    experiment = dataclasses.replace(reproduction.experiments[name], **SHALLOW[paper])
    assert_shapes(interop.export_weights(reproduction.build_model(experiment, [32, 32, 3], 10, 0)), SHAPES[case])


# ---------------------------------------------------------------------------------------------------------- fixtures

# The sizes of the models whose weights the authors' code wrote.
SMALL = {
    "glow/model_affine_8bit": ("cifar10", 32, {"depth": 2, "width": 16, "permutation": "invertible"}),
    "glow/model_affine_8bit_lu": ("cifar10", 32, {"depth": 2, "width": 16, "permutation": "invertible_lu"}),
    "flowpp/model_cifar": (
        "cifar10",
        8,
        {"width": 16, "dequantization_width": 12, "num_components": 4, "num_blocks": 2},
    ),
    "flowpp/model_imagenet32": ("imagenet32", 8, {"width": 8, "num_components": 3, "num_blocks": 2, "num_heads": 2}),
    "vflow/model_cifar": (
        "cifar10",
        8,
        {"width": 12, "num_blocks": 2, "num_components": 4, "augmenter_width": 8, "augmenter_blocks": 1},
    ),
    "agave/iaf_d1b3_16_klmin0.1": (
        "cifar10_iaf_vae",
        16,
        {"image_size": 16, "auxiliary_size": 16, "vae_width": 8, "latent_channels": 4, "vae_blocks": 3},
    ),
    "agave/pcnn_r1f8k10_16x16": (
        "cifar10_pixelcnn",
        16,
        {"image_size": 16, "auxiliary_size": 16, "width": 8, "num_blocks": 1},
    ),
}
PARTS = re.compile(r"var0?/")


def released_shapes(file):
    """Shapes by the authors' names; of PixelCNN++ the directions are stored as they were at the start, in `var0`."""
    with np.load(DATA / f"{file}.npz") as arrays:
        return {PARTS.sub("", key, count=1): arrays[key].shape for key in arrays.files if PARTS.match(key)}


@pytest.mark.slow
@pytest.mark.parametrize("file", SMALL)
def test_models_of_the_authors(file):
    """Every name and shape in an export is one that the authors' code wrote, and none is missing."""
    (reproduction, interop), (name, size, changes) = PAPERS[file.split("/")[0]], SMALL[file]
    experiment = dataclasses.replace(reproduction.experiments[name], **changes)
    model = reproduction.build_model(experiment, [size, size, 3], 10, 0)
    assert_shapes(interop.export_weights(model), released_shapes(file))
