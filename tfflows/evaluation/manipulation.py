"""Moving images along a direction of the latents, such as an attribute's (Glow, figure 6)."""

import numpy as np

from tfflows.evaluation.image_grid import image_grid, write_png
from tfflows.evaluation.latents import DEFAULT_BATCH_SIZE, LatentCodec

DEFAULT_ALPHAS = (-1.0, -2 / 3, -1 / 3, 0.0, 1 / 3, 2 / 3, 1.0)


def manipulate(
    model,
    images,
    direction,
    alphas=DEFAULT_ALPHAS,
    seed=0,
    labels=None,
    batch_size=DEFAULT_BATCH_SIZE,
    jit_compile=False,
):
    """Decodes `e + alpha d` for each image's latent e and each alpha; alpha = 0 gives the image back, up to rounding.

    Args:
      model: `DequantizedFlow`.
      images: uint8 `[N, H, W, C]`, or one image `[H, W, C]`.
      direction: float `[M]`, or of the latents' shape.
      alphas: Python `float`s.
      seed: Python `int` of the dequantization noise.
      labels: int `[N]`; needed by conditional models, else not used.
      batch_size: Images encoded or decoded at once.
      jit_compile: Whether XLA compiles the flow.

    Returns:
      uint8 `[N, len(alphas), H, W, C]`, NumPy; without N for one image. Warns of images that are not finite.

    Raises:
      ValueError: if the images are not the model's, the direction is not of its latents or not finite, or there is no
        alpha.
    """
    images, alphas, direction = np.asarray(images), np.asarray(alphas, np.float32), np.asarray(direction, np.float32)
    if images.ndim == 3:
        labels = None if labels is None else np.reshape(labels, [1])
        return manipulate(model, images[None], direction, alphas, seed, labels, batch_size, jit_compile)[0]
    if alphas.ndim != 1 or not len(alphas) or not np.isfinite(alphas).all():
        raise ValueError(f"alphas must be a list of finite numbers, got {alphas.tolist()}.")
    codec = LatentCodec(model, min(batch_size, max(1, len(images) * len(alphas))), jit_compile)
    num_dimensions = int(np.prod(codec.latent_shape))
    if direction.size != num_dimensions:
        raise ValueError(
            f"The direction must have the {num_dimensions} dimensions of the model's latents, got shape "
            f"{list(direction.shape)}."
        )
    if not np.isfinite(direction).all():
        raise ValueError("The direction holds values that are not finite; is there an example of both its sides?")
    latents = codec.encode(images, seed, labels)[:, None]
    steps = alphas.reshape(-1, *[1] * len(codec.latent_shape)) * direction.reshape(codec.latent_shape)
    moved = (latents + steps).reshape(-1, *codec.latent_shape)
    decoded = codec.decode(moved, None if labels is None else np.repeat(np.asarray(labels), len(alphas)))
    return decoded.reshape(len(images), len(alphas), *images.shape[1:])


def write_manipulation(
    model,
    path,
    images,
    direction,
    alphas=DEFAULT_ALPHAS,
    seed=0,
    labels=None,
    batch_size=DEFAULT_BATCH_SIZE,
    padding=2,
    jit_compile=False,
):
    """Writes `manipulate` of images `[N, H, W, C]` as a PNG, a row an image, the image itself in the middle.

    Returns:
      `pathlib.Path` of the file.

    Raises:
      ValueError: as `manipulate`; also if the alphas do not grow, or have no 0 in the middle.
    """
    alphas = list(alphas)
    if len(alphas) % 2 == 0 or alphas[len(alphas) // 2] != 0 or sorted(set(alphas)) != alphas:
        raise ValueError(f"alphas must grow, with 0 in the middle for the image itself, got {alphas}.")
    images = np.asarray(images)
    images = images[None] if images.ndim == 3 else images
    labels = None if labels is None else np.reshape(labels, [-1])
    decoded = manipulate(model, images, direction, alphas, seed, labels, batch_size, jit_compile)
    return write_png(path, image_grid(decoded.reshape(-1, *images.shape[1:]), len(alphas), padding))
