"""Small data sets on disk, in the very formats that the real ones come in."""

import io
import pathlib

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image


def random_images(num_images: int, *shape: int, seed: int = 0) -> np.ndarray:
    """uint8 noise `[num_images, *shape]`."""
    return np.random.default_rng(seed).integers(0, 256, (num_images, *shape), np.uint8)


def write_tfds(data_dir, name: str, splits: dict, *, config: str | None = None) -> None:
    """Writes a TFDS data set; `splits` maps a split to a dictionary of arrays."""
    features = {}
    for key, values in next(iter(splits.values())).items():
        if key == "image":
            features[key] = tfds.features.Image(shape=(None, None, values.shape[-1]))
        elif key == "label":
            features[key] = tfds.features.ClassLabel(num_classes=int(values.max()) + 1)
        else:
            features[key] = tfds.features.Text()
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        config=config,
        version="1.0.0",
        features=tfds.features.FeaturesDict(features),
        split_datasets={split: tf.data.Dataset.from_tensor_slices(arrays) for split, arrays in splits.items()},
        data_dir=str(data_dir),
        disable_shuffling=True,
    )


def write_lmdb(directory: pathlib.Path, images: dict[bytes, np.ndarray]) -> None:
    """Writes an archive as LSUN's: key -> encoded image (WebP, lossless here)."""
    import lmdb

    directory.mkdir(parents=True)
    environment = lmdb.open(str(directory), map_size=2**24)
    with environment.begin(write=True) as transaction:
        for key, image in images.items():
            encoded = io.BytesIO()
            Image.fromarray(image).save(encoded, format="WEBP", lossless=True)
            transaction.put(key, encoded.getvalue())
    environment.close()


def write_pngs(directory: pathlib.Path, images: np.ndarray) -> None:
    """Writes images as 00000.png, 00001.png, ..."""
    directory.mkdir(parents=True)
    for number, image in enumerate(images):
        squeezed = image[..., 0] if image.shape[-1] == 1 else image
        Image.fromarray(squeezed).save(directory / f"{number:05d}.png")
