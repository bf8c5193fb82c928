"""Data sets for benchmarks: noise, and crops of photographs where the time to decode them matters."""

import contextlib
import pathlib
import tempfile
from collections.abc import Iterator

import numpy as np


def noise(num_images: int, *shape: int) -> np.ndarray:
    """Noise, uint8 in 0 ... 255, shape `[num_images, *shape]`; always the same for the same shape."""
    return np.random.default_rng(0).integers(0, 256, [num_images, *shape], np.uint8)


def photographs(num_images: int, size: int) -> np.ndarray:
    """Overlapping crops of scikit-learn's two photographs, uint8 `[num_images, size, size, 3]`."""
    from sklearn.datasets import load_sample_images

    pictures = load_sample_images().images
    crops = []
    for index in range(num_images):
        picture = pictures[index % 2]
        height, width, _ = picture.shape
        top, left = 37 * index % (height - size + 1), 61 * index % (width - size + 1)
        crops.append(picture[top : top + size, left : left + size])
    return np.stack(crops)


@contextlib.contextmanager
def image_folder(size: int, num_images: int, suffix: str = "png", of_photographs: bool = False) -> Iterator[str]:
    """A temporary folder with image files of noise, or of crops of photographs.

    Args:
      size: Side of the images.
      num_images: Number of training images; there are two test images.
      suffix: `png` or `jpg`.
      of_photographs: Whether they show photographs; their size, and the time to decode them, is then that of such.

    Yields:
      The name of the data set, for the flag `--dataset`.
    """
    from PIL import Image

    with tempfile.TemporaryDirectory() as directory:
        for split, number in (("train", num_images), ("test", 2)):
            folder = pathlib.Path(directory, split)
            folder.mkdir()
            images = photographs(number, size) if of_photographs else noise(number, size, size, 3)
            for index, image in enumerate(images):
                Image.fromarray(image).save(folder / f"{index}.{suffix}")
        yield f"folder:{directory}"
