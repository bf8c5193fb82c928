"""Images beside what a model with an encoder decodes from their latents."""

import os
import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfflows.distributions.image_model import ImageModel
from tfflows.evaluation.grids import captioned_grid, check_captions, join_caption
from tfflows.evaluation.samples import write_png
from tfflows.math.random import row_keys
from tfflows.progress import Task

COLUMNS = ("image", "f(z)", "sample")
"""What the columns show."""


def write_reconstructions(
    model: ImageModel,
    path: str | os.PathLike,
    images: np.ndarray,
    seed: int,
    padding: int = 4,
    caption: str | None = None,
    row_names: Sequence[str] = (),
) -> pathlib.Path:
    """Writes a PNG with one row per image: the image, then what `model.reconstruct` gives for it.

    This is `f(z)`, with z drawn from `q(z | image)`; of an `AGAVE` also a sample of the pixels given it.

    Args:
      model: Model that `has_encoder`.
      path: Path of the PNG file.
      images: uint8 `[B, H, W, C]`.
      seed: Seed of the latents and the sample.
      padding: Margins in pixels.
      caption: Text for the caption, to which the seed is added; columns are then named, too. May be empty. None: no texts at all;
        Pillow is needed only for texts.
      row_names: A text for each image; shown with a caption.

    Returns:
      Path of the file.

    Raises:
      MissingExtraError: If there is a caption and Pillow is not installed; nothing is computed then.
      ValueError: If there is not a name for each row.

    References:
      Lucas & Verbeek 2018, figure 3 a, https://arxiv.org/abs/1711.11479.
    """
    check_captions(caption, row_names, len(images))
    reconstruct = tf.function(lambda images: model.reconstruct(images, row_keys(seed)), autograph=False)
    with Task("reconstruction", len(images), compiles=True) as task:
        columns = [images, *(column.numpy() for column in reconstruct(tf.constant(images)))]
        task.update(len(images))
    rows = np.stack(columns, axis=1).reshape([-1, *images.shape[1:]])
    texts = {}
    if caption is not None:
        names = COLUMNS[: len(columns)]
        texts = {"caption": join_caption(caption, f"seed {seed}"), "row_names": row_names, "column_names": names}
    return write_png(path, captioned_grid(rows, len(columns), padding, **texts))
