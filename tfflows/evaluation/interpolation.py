"""Straight lines between the latents of two images (Glow, figure 5)."""

import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from tfflows.distributions.image_model import ImageModel
from tfflows.evaluation.grids import captioned_grid, check_captions, join_caption
from tfflows.evaluation.latents import DEFAULT_BATCH_SIZE, LatentCodec
from tfflows.evaluation.samples import write_png


def interpolate(
    model: ImageModel,
    images_a: np.ndarray,
    images_b: np.ndarray,
    num_steps: int = 5,
    seed: int = 0,
    labels: Sequence[np.ndarray] | None = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
    jit_compile: bool = False,
) -> np.ndarray:
    """Decodes `e(alpha) = e_a + alpha (e_b - e_a)`, `alpha = i / (num_steps - 1)`, between pairs of images.

    Both are encoded with noise that depends only on the seed and the pair's position. The end points of a flow are the images at
    the model's bits, up to rounding; those of a VAE are what it decodes for the images.

    Given labels, each image is encoded under its own label, and
    each step is decoded under that of the nearer end, or of the first one in the middle.

    Args:
      model: Model that `has_latent`.
      images_a: uint8 `[P, H, W, C]`.
      images_b: uint8 `[P, H, W, C]`.
      num_steps: Number of images per pair, at least 2, counting both ends.
      seed: Seed of the noise.
      labels: Pair of int `[P]`, labels of `images_a` and `images_b`; needed by conditional models, not used otherwise.
      batch_size: Images encoded or decoded at once.
      jit_compile: Whether XLA compiles the model.

    Returns:
      uint8 `[P, num_steps, H, W, C]`. Warns of images that are not finite.

    Raises:
      ValueError: If the images do not pair up or are not the model's, or a number is out of range.

    Example:
      The latents of this flow are the pixels, so the images between black and white are greys.

      >>> import numpy as np
      >>> import tensorflow_probability as tfp
      >>> from tfflows.distributions.dequantized_flow import DequantizedFlow
      >>> from tfflows.evaluation.interpolation import interpolate
      >>> tfb, tfd = tfp.bijectors, tfp.distributions
      >>> base = tfd.Sample(tfd.Normal(0.0, 1.0), [1, 1, 1])
      >>> model = DequantizedFlow(tfd.TransformedDistribution(base, tfb.Identity()), num_bits=1)
      >>> black, white = np.zeros([1, 1, 1, 1], np.uint8), np.full([1, 1, 1, 1], 255, np.uint8)
      >>> print(interpolate(model, black, white, num_steps=2).reshape(-1))  # at 1 bit
      [  0 128]
    """
    codec = LatentCodec(model, min(batch_size, max(1, len(images_a) * num_steps)), jit_compile)
    return interpolate_with(
        lambda images, labels: codec.encode(images, seed, labels), codec.decode, images_a, images_b, num_steps, labels
    )


def interpolate_with(
    encode: Callable[[np.ndarray, np.ndarray | None], np.ndarray],
    decode: Callable[[np.ndarray, np.ndarray | None], np.ndarray],
    images_a: np.ndarray,
    images_b: np.ndarray,
    num_steps: int = 5,
    labels: Sequence[np.ndarray] | None = None,
) -> np.ndarray:
    """As `interpolate`, with functions that encode and decode any number of images.

    Args:
      encode: Function `(images, labels) -> latents`.
      decode: Function `(latents, labels) -> images`.
      images_a: As in `interpolate`.
      images_b: As in `interpolate`.
      num_steps: As in `interpolate`.
      labels: As in `interpolate`.

    Returns:
      uint8 `[P, num_steps, H, W, C]`.

    Raises:
      ValueError: As for `interpolate`.
    """
    images_a, images_b = np.asarray(images_a), np.asarray(images_b)
    if images_a.shape != images_b.shape:
        raise ValueError(
            f"Images to interpolate must come in pairs of one shape, got {list(images_a.shape)} and {list(images_b.shape)}."
        )
    if images_a.ndim != 4 or not len(images_a):
        raise ValueError(f"Give at least one pair, as images [P, H, W, C]; got shape {list(images_a.shape)}.")
    if num_steps < 2:
        raise ValueError(f"num_steps must be at least 2, counting both ends, got {num_steps}.")
    num_pairs = len(images_a)
    label_pairs = _label_pairs(labels, num_pairs)
    # a and b of a pair lie side by side, so that their noise does not depend on how many pairs follow.
    ends = np.stack([images_a, images_b], axis=1).reshape(-1, *images_a.shape[1:])
    latents = encode(ends, None if labels is None else label_pairs.reshape(-1))
    shape = latents.shape[1:]
    latents = latents.reshape(num_pairs, 2, 1, *shape)
    alphas = np.linspace(0.0, 1.0, num_steps, dtype=latents.dtype)
    weights = alphas.reshape(-1, *[1] * len(shape))
    # Not e_a + alpha (e_b - e_a): this form gives e_b itself at alpha = 1.
    line = (1 - weights) * latents[:, 0] + weights * latents[:, 1]
    step_labels = None if labels is None else label_pairs[:, (alphas > 0.5).astype(int)].reshape(-1)
    images = decode(line.reshape(-1, *shape), step_labels)
    return images.reshape(num_pairs, num_steps, *images.shape[1:])


def write_interpolation(
    model: ImageModel,
    path: str | os.PathLike,
    images_a: np.ndarray,
    images_b: np.ndarray,
    num_steps: int = 5,
    seed: int = 0,
    labels: Sequence[np.ndarray] | None = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
    padding: int = 4,
    jit_compile: bool = False,
    caption: str | None = None,
    row_names: Sequence[str] = (),
) -> pathlib.Path:
    """Writes the images of `interpolate` as a PNG to be looked at, one row per pair; see `captioned_grid`.

    Args:
      model: As in `interpolate`.
      path: Path of the PNG file.
      images_a: As in `interpolate`.
      images_b: As in `interpolate`.
      num_steps: As in `interpolate`.
      seed: As in `interpolate`.
      labels: As in `interpolate`.
      batch_size: As in `interpolate`.
      padding: Margins in pixels.
      jit_compile: As in `interpolate`.
      caption: Text for the caption, to which the seed is added; columns then show their alpha. May be empty. None: no texts at
        all; Pillow is needed only for texts.
      row_names: A text for each pair; shown with a caption.

    Returns:
      Path of the file.

    Raises:
      MissingExtraError: If there is a caption and Pillow is not installed; nothing is computed then.
      ValueError: As for `interpolate`, or if there is not a name for each row.
    """
    check_captions(caption, row_names, len(images_a))
    images = interpolate(model, images_a, images_b, num_steps, seed, labels, batch_size, jit_compile)
    texts = {}
    if caption is not None:
        names = [f"{alpha:.3g}" for alpha in np.linspace(0.0, 1.0, num_steps)]
        texts = {
            "caption": join_caption(caption, f"seed {seed}"),
            "row_names": row_names,
            "column_names": names,
            "corner": "alpha",
        }
    return write_png(path, captioned_grid(images.reshape(-1, *images.shape[2:]), num_steps, padding, **texts))


def _label_pairs(labels, num_pairs):
    if labels is None:
        return None
    labels = [np.asarray(part) for part in labels]
    if len(labels) != 2 or any(part.shape != (num_pairs,) for part in labels):
        raise ValueError(
            f"labels must be a pair of [{num_pairs}] integers, for the first and for the second images, got shapes "
            f"{[list(part.shape) for part in labels]}."
        )
    return np.stack(labels, axis=1)
