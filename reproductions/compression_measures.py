"""What compression with a trained model gives on test images, beside other coders."""

import importlib.util
import os
import sys
import time
from collections.abc import Callable

import numpy as np

from tfflows.compression import ArchiveError, FlowCodec, compress, decompress
from tfflows.compression.archive import MAX_BATCH, codec_of
from tfflows.compression.coder import Stack
from tfflows.compression.protocol import ImageCodec
from tfflows.data import evaluation_batches, load_dataset
from tfflows.evaluation.image_files import file_bits_per_dim
from tfflows.models import Model

JPEG_XL_EFFORTS = (7, 9)


def test_images(
    model: Model, dataset: str | None, data_dir: str | None, num_images: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """The first test images of the data set that a model was trained on, uint8 `[N, H, W, C]`; all of them if N is 0.

    Returns:
      The images, and their labels, integers `[N]`, or None if the model takes none.
    """
    settings = model.settings
    name = dataset or settings["dataset"]
    size = model.image_shape[0] if ":" in name else None
    source = load_dataset(name, "test", data_dir, image_size=size, max_images=num_images or None)
    batches = evaluation_batches(source, global_batch_size=min(256, source.num_images))
    kept = [{name: batch[name].numpy()[batch["mask"].numpy()] for name in ("image", "label")} for batch in batches]
    images, labels = (np.concatenate([batch[name] for batch in kept]) for name in ("image", "label"))
    return images, labels if model.is_conditional else None


def measure(
    model: Model,
    images: np.ndarray,
    labels: np.ndarray | None = None,
    max_batch: int = MAX_BATCH,
    noise_bits: int | None = None,
) -> dict[str, object]:
    """Compresses and decompresses images in memory, and measures.

    Args:
      model: The model.
      images: uint8 `[N, H, W, C]`.
      labels: Integers `[N]`, or None if the model takes none.
      max_batch: Images that are coded at once.
      noise_bits: Bits of the grid behind those of a colour, of a flow; None: those of the codec.

    Returns:
      Rates in bits per dimension, times in seconds an image, counts.
    """
    distribution = model.distribution
    load = os.getloadavg()
    start = time.monotonic()
    codec = codec_of(distribution, images)
    if noise_bits is not None:
        if not isinstance(codec, FlowCodec):
            raise ValueError(f"--noise_bits is for flows, and {model.path.name} is none.")
        ramp = (*codec.noise_ramp[:-1], distribution.num_bits + noise_bits)
        codec = FlowCodec(distribution, ramp, images=images[:8])
    seconds_to_build = time.monotonic() - start
    # The first call of a network traces it, which is no part of the time of an image.
    own = None if labels is None else labels[:max_batch]
    warm = codec.encode_images(images[:max_batch], stack := Stack(), codec.noise_ramp[-1], own)
    codec.decode_images(stack, len(warm), codec.noise_ramp[-1], own)
    seen = _Seen(codec)
    start = time.monotonic()
    compressed = compress(
        list(images),
        distribution,
        experiment=model.settings,
        labels=labels,
        verify=False,
        codec=seen,
        max_batch=max_batch,
    )
    seconds_to_encode = (time.monotonic() - start) / len(images)
    num_exact, seconds_to_decode = _decoded(compressed.data, model, images, codec)
    return {
        "num_images": len(images),
        "num_exact": num_exact,
        "num_raw": compressed.num_raw,
        "image_shape": list(images.shape[1:]),
        "file_bytes": len(compressed.data),
        "file_bits_per_dim": compressed.bits_per_dim,
        "net_bits_per_dim": compressed.net_bits_per_dim,
        "initial_bits_per_dim": compressed.noise_bits / images[0].size,
        "noise_ramp": list(codec.noise_ramp),
        "max_batch": max_batch,
        "model_at_noise_bits_per_dim": seen.model_bits_per_dim(),
        "model_bits_per_dim": float(np.mean(model.bits_per_dim(images, labels))),
        "seconds_to_build": seconds_to_build,
        "seconds_to_encode": seconds_to_encode,
        "seconds_to_decode": seconds_to_decode,
        "load_average": list(load),
    }


def _decoded(data, model, images, codec):
    """Number of images that come back, and seconds an image."""
    count = num_exact = 0
    start = time.monotonic()
    try:
        for count, (_, image) in enumerate(
            decompress(data, model.distribution, experiment=model.settings, codec=codec), 1
        ):
            num_exact += np.array_equal(image, images[count - 1])
    except ArchiveError as error:
        print(error, file=sys.stderr)
    return num_exact, (time.monotonic() - start) / max(count, 1)


class _Seen(ImageCodec):
    """A codec that keeps the noise that images are coded with, if it can tell."""

    def __init__(self, codec):
        self._codec = codec
        self.image_shape, self.noise_ramp = codec.image_shape, codec.noise_ramp
        self.images_for_noise, self.num_classes = codec.images_for_noise, codec.num_classes
        self._batches = []

    @property
    def fingerprint(self) -> bytes:
        return self._codec.fingerprint

    @property
    def settings(self) -> dict[str, object]:
        return self._codec.settings

    def encode_images(self, images, stack, noise_bits, labels=None):
        if not hasattr(self._codec, "encode_with_noise"):
            return self._codec.encode_images(images, stack, noise_bits, labels)
        bits, *noise = self._codec.encode_with_noise(images, stack, noise_bits, labels)
        noise = [None if each is None else each.astype(np.float32) for each in noise]
        self._batches.append((images, *noise, *([] if labels is None else [labels])))
        return bits

    def decode_images(self, stack, count, noise_bits, labels=None):
        return self._codec.decode_images(stack, count, noise_bits, labels)

    def model_bits_per_dim(self):
        """What the model says of the images with this noise; None if it is not known."""
        if not self._batches:
            return None
        bits = np.concatenate([self._codec.bits_of_model(*batch) for batch in self._batches])
        return float(bits.mean() / np.prod(self.image_shape))


def other_coders(images: np.ndarray) -> dict[str, np.ndarray]:
    """Bits per dimension of each image as PNG, as WebP and, if `imagecodecs` is installed, as JPEG XL, all lossless."""
    rates = {name: file_bits_per_dim(images, name) for name in ("png", "webp")}
    encode = _jpeg_xl()
    if encode is not None:
        for effort in JPEG_XL_EFFORTS:
            sizes = [8 * len(encode(np.squeeze(image), effort)) for image in images]
            rates[f"jpegxl{effort}"] = np.array(sizes) / images[0].size
    return rates


def _jpeg_xl() -> Callable[[np.ndarray, int], bytes] | None:
    if importlib.util.find_spec("imagecodecs") is None:
        return None
    module = importlib.import_module("imagecodecs")
    return lambda image, effort: module.jpegxl_encode(image, lossless=True, effort=effort)
