"""Data sets for benchmarks: noise, since no measured time depends on the pixels' values."""

import contextlib
import pathlib
import tempfile
from collections.abc import Iterator

import numpy as np
from PIL import Image


def noise(num_images: int, *shape: int) -> np.ndarray:
    """Noise, uint8 in 0 ... 255, shape `[num_images, *shape]`; always the same for the same shape."""
    return np.random.default_rng(0).integers(0, 256, [num_images, *shape], np.uint8)


@contextlib.contextmanager
def image_folder(size: int, num_images: int) -> Iterator[str]:
    """A temporary folder with PNG files of noise.

    Args:
      size: Side of the images.
      num_images: Number of training images; there are two test images.

    Yields:
      The name of the data set, for the flag `--dataset`.
    """
    with tempfile.TemporaryDirectory() as directory:
        for split, number in (("train", num_images), ("test", 2)):
            folder = pathlib.Path(directory, split)
            folder.mkdir()
            for index, image in enumerate(noise(number, size, size, 3)):
                Image.fromarray(image).save(folder / f"{index}.png")
        yield f"folder:{directory}"
