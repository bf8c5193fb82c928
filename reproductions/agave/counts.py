"""Closed forms for the number of parameters of an AGAVE, an IAF-VAE or a PixelCNN++; tests compare them with built models."""

from collections.abc import Callable

from reproductions.agave.experiments import IAF_VAE, PIXELCNN, AgaveExperiment
from tfflows.data import dataset_spec

COLOURS = 3


def count_parameters(experiment: AgaveExperiment, count: Callable[[AgaveExperiment], int] | None = None) -> int:
    """Returns the number of trained parameters of an experiment, including the masked ones of the IAF, which stay 0.

    Args:
      experiment: An experiment on images of three channels.
      count: Unused, because no model needs to be built.
    """
    del count
    width = experiment.width
    if experiment.model == PIXELCNN:
        num_classes = dataset_spec(experiment.dataset).num_classes if experiment.conditional else 0
        return pixelcnn(width, experiment.num_blocks, experiment.num_components, 0, experiment.injection, num_classes)
    latent = vae(experiment)
    if experiment.model == IAF_VAE:
        return latent
    pixels = pixelcnn(width, experiment.num_blocks, experiment.num_components, width, experiment.injection)
    return latent + pixels + stream(width, experiment.num_blocks, experiment.features)


def convolution(taps: int, channels: int, filters: int) -> int:
    """Counts a convolution: kernel, gains and biases."""
    return taps * channels * filters + 2 * filters


def unit(width: int, taps: int, skip: int, feature: int, kind: str = "gated") -> int:
    """Counts a residual unit; `skip` and `feature` are numbers of channels, 0 for none."""
    own = convolution(taps, 2 * width, width)
    own += sum(convolution(1, 2 * channels, width) for channels in (skip, feature) if channels)
    return own + (convolution(taps, 2 * width, 2 * width) if kind == "gated" else 0)


def pixelcnn(
    width: int, num_blocks: int, num_components: int, feature: int, injection: str, num_classes: int = 0
) -> int:
    """Counts a PixelCNN++: two streams with `3 R` units on the way down and `3 R + 2` on the way up, for R blocks.

    Each unit of width F has `2 F` weights for each class.
    """
    vertical_feature = feature if injection == "both" else 0
    first, second = 3 * num_blocks, 3 * num_blocks + 2
    total = sum(convolution(taps, COLOURS + 1, width) for taps in (6, 3, 2))
    total += first * (unit(width, 6, 0, vertical_feature) + unit(width, 4, width, feature))
    total += second * (unit(width, 6, width, vertical_feature) + unit(width, 4, 2 * width, feature))
    # Two halvings and two doublings, with kernels of the same size.
    total += 4 * (convolution(6, width, width) + convolution(4, width, width))
    total += 2 * (first + second) * num_classes * 2 * width
    return total + convolution(1, width, 10 * num_components)


def stream(width: int, num_blocks: int, kind: str) -> int:
    """Counts the feature stream."""
    first, second = 3 * num_blocks, 3 * num_blocks + 2
    total = convolution(9, COLOURS + 1, width) + 4 * convolution(9, width, width)
    return total + first * unit(width, 9, 0, 0, kind) + second * unit(width, 9, width, 0, kind)


def vae(experiment: AgaveExperiment) -> int:
    """Counts an IAF-VAE: ladder, head, top vector, scales."""
    width, latent = experiment.vae_width, experiment.latent_channels
    up = convolution(9, width, 2 * latent + 2 * width) + convolution(9, width, width)
    network = convolution(9, latent, width) + convolution(9, width, width) + 2 * convolution(9, width, latent)
    down = convolution(9, width, 4 * latent + 2 * width) + network + convolution(9, latent + width, width)
    total = experiment.vae_depth * experiment.vae_blocks * (up + down)
    total += convolution(25, COLOURS, width) + convolution(25, width, COLOURS) + width
    return total + (COLOURS if experiment.scale_per_colour else 1)
