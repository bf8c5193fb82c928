"""Pictures of the receptive field of masked convolutions (figure 1): `python reproductions/macow/receptive_field.py`.

They are computed by differentiating the layers of the model: a pixel is in the receptive field if the gradient of the center's
output with respect to it is not 0.
"""

import argparse
import os
import pathlib

from reproductions.driver.start_up import start_up

start_up()

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from reproductions.checkout import results_directory  # noqa: E402
from reproductions.macow.experiments import EXPERIMENTS, VARIANTS  # noqa: E402
from reproductions.macow.model import masked_conv, unit_form  # noqa: E402
from reproductions.reporting.plots import new_figure  # noqa: E402

SIDE = 21
CHANNELS = 2
# Each panel composes masked convolutions of these orders, data to latent.
PANELS = {
    "paper": ("A", "B", "AB", "ABAB", "ABABABAB"),
    "release": ("A", "B", "C", "D", "AB", "ABCD"),
}


def receptive_field(variant: str, orders: str, side: int = SIDE, seed: int = 0) -> np.ndarray:
    """Returns where the center of the latent depends on the image, bool `[side, side]`.

    Args:
      variant: `paper` or `release`; the kernels are those of its ImageNet 64 experiment.
      orders: Orders of the masked convolutions, letters `A` ... `D`, data to latent.
      side: Side of the image, odd.
      seed: Seed of the random weights.
    """
    suffix = "" if variant == VARIANTS[0] else f"_{variant}"
    form = unit_form(EXPERIMENTS[f"imagenet64_fine_grained{suffix}"])
    layers = [masked_conv(form, CHANNELS, order, seed + number) for number, order in enumerate(orders)]
    image = tf.random.stateless_normal([1, side, side, CHANNELS], [seed, 0])
    with tf.GradientTape() as tape:
        tape.watch(image)
        latent = image
        for layer in layers:
            latent = layer.inverse(latent)
        centre = tf.reduce_sum(latent[:, side // 2, side // 2])
    return np.abs(tape.gradient(centre, image)[0].numpy()).sum(-1) > 0


def draw(variant: str, path: str | os.PathLike, side: int = SIDE) -> None:
    """Writes the picture of a variant, with one panel per entry of `PANELS` and the pixel itself darkest."""
    panels = PANELS[variant]
    figure = new_figure(2.2 * len(panels), 2.6)
    for axis, orders in zip(figure.subplots(1, len(panels)), panels, strict=True):
        shades = receptive_field(variant, orders, side).astype(float)
        size = int(shades.sum()) - 1
        shades[side // 2, side // 2] = 2
        axis.imshow(shades, cmap="Blues", vmin=0, vmax=2)
        axis.set_xticks(np.arange(side + 1) - 0.5, [])
        axis.set_yticks(np.arange(side + 1) - 0.5, [])
        axis.grid(linewidth=0.3)
        axis.tick_params(length=0)
        axis.set_title(f"{orders}: {size} others", fontsize=9)
    figure.suptitle(f"Receptive field of masked convolutions, variant {variant} (after figure 1)", fontsize=10)
    figure.savefig(path, dpi=120, metadata={"Software": None})


def main() -> None:
    """Draws the pictures of both variants."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", default=str(results_directory() / "pictures"), help="directory for the pictures")
    directory = pathlib.Path(parser.parse_args().directory)
    directory.mkdir(parents=True, exist_ok=True)
    for variant in VARIANTS:
        draw(variant, directory / f"macow_receptive_field_{variant}.png")


if __name__ == "__main__":
    main()
