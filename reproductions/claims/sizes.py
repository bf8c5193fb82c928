"""Live parameters of the arms: all trained parameters minus those that can never affect the output."""

import importlib

import numpy as np
import tensorflow as tf

from reproductions.experiment import Experiment
from reproductions.flowpp.experiments import parse_stages
from reproductions.glow import model as glow
from tfflows.math.masked_convolution import autoregressive_mask
from tfflows.networks.macow import default_width
from tfflows.tracing.variables import count_parameters


def study(paper: str) -> dict[str, Experiment]:
    """Returns the experiments of a paper's arms, trials of learning rates and long runs, by name."""
    return importlib.import_module(f"reproductions.{paper}.study").STUDY


def all_parameters(paper: str, experiment: Experiment) -> int:
    """Returns the number of trained parameters of a built model, as in a record."""
    build = importlib.import_module(f"reproductions.{paper}.model").build
    size = experiment.image_size
    with tf.Graph().as_default():
        return count_parameters(build(experiment, [size, size, 3], 0, seed=0))


def _dead_of_glow(experiment):
    """Weights of the top prior whose inputs are always zero."""
    return glow.dead_parameters(experiment, [experiment.image_size, experiment.image_size, 3])


def _dead_of_flowpp(experiment):
    """Position tables that no attention reads."""
    total = _positions(experiment, experiment.stages, experiment.width) if experiment.mixer == "none" else 0
    if (experiment.dequantization, experiment.dequantization_mixer) == ("variational", "none"):
        width = experiment.dequantization_width or experiment.width
        total += _positions(experiment, experiment.dequantization_stages, width)
    return total


def _positions(experiment, description, width):
    height = side = experiment.image_size
    total = 0
    for kind, num_steps in parse_stages(description):
        if kind == "squeeze":
            height, side = height // 2, side // 2
        else:
            total += num_steps * width * height * (side // 2 if kind == "checkerboard" else side)
    return total


def _dead_of_macow(experiment):
    """Masked taps of the paper's kernels."""
    if experiment.variant != "paper":
        return 0
    dead_taps = experiment.kernel_height * experiment.kernel_width
    dead_taps -= dead_taps // 2
    total = dead_taps * _masked_sizes(experiment.levels, 3 + experiment.augment_channels, experiment.bottom)
    if experiment.dequantization == "variational":
        total += 5 * _masked_sizes(experiment.dequantization_levels, 3, experiment.dequantization_bottom)
    return total


def _masked_sizes(levels, channels, bottom):
    """Sum of input times hidden channels over the masked convolutions of a flow, eight per step."""
    total = 0
    for number, level in enumerate(levels):
        channels *= 4 if number or not bottom else 1
        leaving = channels // level.factor
        for steps in level.steps:
            total += 8 * steps * channels * default_width(channels)
            channels -= leaving if level.factor > 1 else 0
    return total


def _dead_of_agave(experiment):
    """Masked weights of the autoregressive flows, and the output of the topmost encoder block, which nothing uses."""
    if experiment.model == "pixelcnn":
        return 0
    width, latent = experiment.vae_width, experiment.latent_channels
    masks = [
        autoregressive_mask(latent, width, False),
        autoregressive_mask(width, width, False),
        *2 * [autoregressive_mask(width, latent, True)],
    ]
    masked = sum(int(np.sum(mask == 0)) for mask in masks)
    passed_on = 9 * width * width + 2 * width
    return experiment.vae_depth * experiment.vae_blocks * masked + passed_on


DEAD = {
    "glow": _dead_of_glow,
    "flowpp": _dead_of_flowpp,
    "vflow": _dead_of_flowpp,
    "macow": _dead_of_macow,
    "agave": _dead_of_agave,
    "realnvp": lambda experiment: 0,
}
