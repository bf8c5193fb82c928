"""Moving images along a direction of the latents, such as an attribute's (Glow, figure 6)."""

import os
import pathlib
from collections.abc import Sequence

import numpy as np

from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.evaluation.grids import captioned_grid, check_captions, join_caption
from tfflows.evaluation.latents import DEFAULT_BATCH_SIZE, LatentCodec
from tfflows.evaluation.samples import write_png

DEFAULT_ALPHAS = (-1.0, -2 / 3, -1 / 3, 0.0, 1 / 3, 2 / 3, 1.0)


def manipulate(
    model: DequantizedFlow | LatentCodec,
    images: np.ndarray,
    direction: np.ndarray,
    alphas: Sequence[float] = DEFAULT_ALPHAS,
    seed: int = 0,
    labels: np.ndarray | None = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
    jit_compile: bool = False,
) -> np.ndarray:
    """Decodes `e + alpha d` for each image's latent e and each alpha; alpha = 0 gives the image back, up to rounding.

    Args:
      model: Flow whose latents are used, or a `LatentCodec` of it: several directions then share its traced functions.
      images: uint8 `[N, H, W, C]`, or one image `[H, W, C]`.
      direction: float `[M]`, or with the shape of the latents.
      alphas: Factors of the direction.
      seed: Seed of the dequantization noise.
      labels: int `[N]`; needed by conditional models, not used otherwise.
      batch_size: Images encoded or decoded at once, unless the codec says so.
      jit_compile: Whether XLA compiles the flow, unless the codec says so.

    Returns:
      uint8 `[N, len(alphas), H, W, C]`; without N for one image. Warns of images that are not finite.

    Raises:
      ValueError: If the images are not the model's, the direction does not have the size of its latents or is not finite, or
        there is no alpha.

    Example:
      The latents of this flow are the pixels in [-1/2, 1/2), so the direction makes the second pixel brighter.

      >>> import numpy as np
      >>> import tensorflow_probability as tfp
      >>> from tfflows.distributions.dequantized_flow import DequantizedFlow
      >>> from tfflows.evaluation.manipulation import manipulate
      >>> tfb, tfd = tfp.bijectors, tfp.distributions
      >>> base = tfd.Sample(tfd.Normal(0.0, 1.0), [1, 2, 1])
      >>> model = DequantizedFlow(tfd.TransformedDistribution(base, tfb.Identity()), num_bits=2)
      >>> image = np.zeros([1, 2, 1], np.uint8)
      >>> moved = manipulate(model, image, direction=np.array([0.0, 0.25]), alphas=[0.0, 1.0, 2.0])
      >>> print(moved[..., 0].tolist())
      [[[0, 0]], [[0, 64]], [[0, 128]]]
    """
    images, alphas, direction = np.asarray(images), np.asarray(alphas, np.float32), np.asarray(direction, np.float32)
    if images.ndim == 3:
        labels = None if labels is None else np.reshape(labels, [1])
        return manipulate(model, images[None], direction, alphas, seed, labels, batch_size, jit_compile)[0]
    if alphas.ndim != 1 or not len(alphas) or not np.isfinite(alphas).all():
        raise ValueError(f"alphas must be a list of finite numbers, got {alphas.tolist()}.")
    codec = model
    if not isinstance(model, LatentCodec):
        codec = LatentCodec(model, min(batch_size, max(1, len(images) * len(alphas))), jit_compile)
    num_dimensions = int(np.prod(codec.latent_shape))
    if direction.size != num_dimensions:
        raise ValueError(
            f"The direction must have the {num_dimensions} dimensions of the model's latents, got shape "
            f"{list(direction.shape)}."
        )
    if not np.isfinite(direction).all():
        raise ValueError(
            "The direction has values that are not finite; compute it from images with and without the attribute."
        )
    latents = codec.encode(images, seed, labels)[:, None]
    steps = alphas.reshape(-1, *[1] * len(codec.latent_shape)) * direction.reshape(codec.latent_shape)
    moved = (latents + steps).reshape(-1, *codec.latent_shape)
    decoded = codec.decode(moved, None if labels is None else np.repeat(np.asarray(labels), len(alphas)))
    return decoded.reshape(len(images), len(alphas), *images.shape[1:])


def write_manipulation(
    model: DequantizedFlow | LatentCodec,
    path: str | os.PathLike,
    images: np.ndarray,
    direction: np.ndarray,
    alphas: Sequence[float] = DEFAULT_ALPHAS,
    seed: int = 0,
    labels: np.ndarray | None = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
    padding: int = 4,
    jit_compile: bool = False,
    caption: str | None = None,
    row_names: Sequence[str] = (),
) -> pathlib.Path:
    """Writes what `manipulate` gives as a PNG to be looked at, one row per image, with the image itself in the middle.

    Args:
      model: As in `manipulate`.
      path: Path of the PNG file.
      images: As in `manipulate`.
      direction: As in `manipulate`.
      alphas: As in `manipulate`; they increase, with 0 in the middle.
      seed: As in `manipulate`.
      labels: As in `manipulate`.
      batch_size: As in `manipulate`.
      padding: Margins in pixels.
      jit_compile: As in `manipulate`.
      caption: Text for the caption, to which the seed is added; columns then show their alpha. May be empty. None: no texts at
        all; Pillow is needed only for texts.
      row_names: A text for each image; shown with a caption.

    Returns:
      Path of the file.

    Raises:
      MissingExtraError: If there is a caption and Pillow is not installed; nothing is computed then.
      ValueError: As `manipulate`; also if the alphas do not increase, or have no 0 in the middle, or there is not a name for each
        row.
    """
    alphas = list(alphas)
    if len(alphas) % 2 == 0 or alphas[len(alphas) // 2] != 0 or sorted(set(alphas)) != alphas:
        raise ValueError(f"alphas must increase, with 0 in the middle for the image itself, got {alphas}.")
    images = np.asarray(images)
    images = images[None] if images.ndim == 3 else images
    check_captions(caption, row_names, len(images))
    labels = None if labels is None else np.reshape(labels, [-1])
    decoded = manipulate(model, images, direction, alphas, seed, labels, batch_size, jit_compile)
    texts = {}
    if caption is not None:
        names = [f"{alpha:.3g}" for alpha in alphas]
        texts = {
            "caption": join_caption(caption, f"seed {seed}"),
            "row_names": row_names,
            "column_names": names,
            "corner": "alpha",
        }
    return write_png(path, captioned_grid(decoded.reshape(-1, *images.shape[1:]), len(alphas), padding, **texts))
