"""Data sets for benchmarks: noise, since no time depends on what the pixels show."""

import contextlib
import pathlib
import tempfile
from collections.abc import Iterator

import numpy as np
from PIL import Image


def noise(num_images: int, *shape: int) -> np.ndarray:
    """uint8 noise `[num_images, *shape]`."""
    return np.random.default_rng(0).integers(0, 256, [num_images, *shape], np.uint8)


@contextlib.contextmanager
def image_folder(size: int, num_images: int) -> Iterator[str]:
    """The name, for `--dataset`, of a temporary folder with `num_images` training and two test images."""
    with tempfile.TemporaryDirectory() as directory:
        for split, number in (("train", num_images), ("test", 2)):
            folder = pathlib.Path(directory, split)
            folder.mkdir()
            for index, image in enumerate(noise(number, size, size, 3)):
                Image.fromarray(image).save(folder / f"{index}.png")
        yield f"folder:{directory}"
