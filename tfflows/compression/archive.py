"""Images to one file and back, with any model that has a codec.

Models know no alpha: where an image has it, its plane is deflated beside the colours.
"""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

import tfflows
from tfflows.compression import flow, iaf_vae, pixelcnn  # noqa: F401  (codecs register themselves)
from tfflows.compression.coder import Stack
from tfflows.compression.container import ArchiveError, Container, check_word, deflate, inflate
from tfflows.compression.protocol import CannotCodeError, ImageCodec, make_codec
from tfflows.compression.tiles import from_tiles, num_tiles, to_tiles
from tfflows.distributions.image_model import ImageModel
from tfflows.tracing.variables import named_variables

# Tiles that are coded at once. More are faster, and the first ones need more initial bits.
MAX_BATCH = 16
_SAMPLE = 8


@dataclasses.dataclass(frozen=True)
class Compressed:
    """A file of images, and what it is made of.

    Attributes:
      data: The file.
      num_images: Number of images.
      num_dimensions: Number of values of the images.
      num_raw: Number of tiles that are stored as they are.
      num_mismatches: Of these, those that did not come back when they were verified.
      noise_bits: Initial bits, which are part of the file.
      stack_bits: All bits of the coder.
      raw_bits: Those of tiles that are stored as they are, and of alpha planes.
      other_bits: Those of header and check words.
    """

    data: bytes
    num_images: int
    num_dimensions: int
    num_raw: int
    num_mismatches: int
    noise_bits: int
    stack_bits: int
    raw_bits: int
    other_bits: int

    @property
    def bits_per_dim(self) -> float:
        """Size of the whole file."""
        return 8 * len(self.data) / self.num_dimensions

    @property
    def net_bits_per_dim(self) -> float:
        """Size without initial bits, header and check words."""
        return (self.stack_bits - self.noise_bits + self.raw_bits) / self.num_dimensions


def compress(
    images: Sequence[np.ndarray],
    model: ImageModel,
    *,
    experiment: Mapping[str, Any] | None = None,
    names: Sequence[str] | None = None,
    labels: int | Sequence[int] | None = None,
    model_name: str | None = None,
    verify: bool = True,
    codec: ImageCodec | None = None,
    max_batch: int = MAX_BATCH,
) -> Compressed:
    """Compresses images without loss.

    Args:
      images: uint8 `[H, W]` or `[H, W, C]`, of any sizes, with C 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGB and alpha).
      model: The model, such as `tfflows.load(...).distribution`.
      experiment: What the model was built from, such as `tfflows.load(...).settings`; its hash goes into the file.
      names: A name for each image; None: none.
      labels: For a conditional model: the label of each image, or one for all. They go into the file.
      model_name: What `tfflows.load` finds the model by, for whoever reads the file.
      verify: Whether each image is decoded from what was written. One that does not come back is stored as it is.
      codec: The codec of the model, if it has been made already.
      max_batch: Tiles that are coded at once, 1 to 255.

    Returns:
      The file and its figures.

    Raises:
      CannotCodeError: If the model has no codec.
      ValueError: If there are no images, something is no image, or labels are missing, not taken or out of range.

    Example:
      >>> import numpy as np
      >>> import tensorflow_probability as tfp
      >>> from tfflows.bijectors import Logit
      >>> from tfflows.compression.archive import compress, decompress
      >>> from tfflows.distributions.dequantized_flow import DequantizedFlow
      >>> tfb, tfd = tfp.bijectors, tfp.distributions
      >>> base = tfd.Sample(tfd.Normal(0.0, 1.0), [8, 8, 3])
      >>> model = DequantizedFlow(tfd.TransformedDistribution(base, tfb.Scale(0.25)))
      >>> images = [np.random.default_rng(0).binomial(255, 0.5, shape).astype(np.uint8) for shape in ([8, 8, 3], [5, 20])]
      >>> compressed = compress(images, model)
      >>> [np.array_equal(image, got) for image, (_, got) in zip(images, decompress(compressed.data, model))]
      [True, True]
    """
    images = [_checked(image, number) for number, image in enumerate(images)]
    if not images:
        raise ValueError("There are no images to compress.")
    if names is not None and len(names) != len(images):
        raise ValueError(f"There must be a name for each image, got {len(names)} for {len(images)} images.")
    if not 1 <= max_batch <= 255:
        raise ValueError(f"max_batch must be 1 to 255, got {max_batch}.")
    tile_shape = tuple(model.image_shape.as_list())
    if tile_shape[-1] not in (1, 3):
        raise CannotCodeError(f"The model is one of images of {tile_shape[-1]} channels, neither grey nor RGB.")
    tiles, alphas = [], []
    for image in images:
        shape = _colours(image.shape)
        tiles.append(to_tiles(image.reshape([*shape[:2], -1])[..., : shape[2]], tile_shape))
        if _has_alpha(image.shape):
            alphas.append(image[..., -1].tobytes())
    tiles = np.concatenate(tiles)
    if codec is None:
        codec = codec_of(model, tiles)
    labels = _checked_labels(labels, len(images), codec.num_classes)
    tiles_of = [num_tiles(_colours(image.shape), tile_shape) for image in images]
    packer = _Packer(codec, tiles, None if labels is None else np.repeat(labels, tiles_of), verify, max_batch)
    packer.run()
    header = {
        "tfflows": tfflows.__version__,
        "model_name": model_name,
        "weights": hash_of_weights(model),
        "experiment": hash_of_experiment(experiment),
        "tables": codec.fingerprint.hex()[:32],
        "codec": codec.settings,
        "tile": tile_shape,
        "shapes": _runs([list(image.shape) for image in images]),
        "names": None if names is None else list(names),
        "labels": None if labels is None else _runs(labels.tolist()),
        "batches": packer.batches,
        "raw": packer.raw,
        "noise_words": packer.stack.num_noise_words,
    }
    checks = np.array([check_word(tile) for tile in tiles], np.uint16)
    words, planes = packer.stack.words(), [*(tiles[index].tobytes() for index in packer.raw), *alphas]
    raw_bits = sum(_deflated_bits(plane) for plane in planes)
    data = Container(header, checks, planes, words).to_bytes()
    return Compressed(
        data,
        len(images),
        sum(image.size for image in images),
        len(packer.raw),
        packer.num_mismatches,
        32 * packer.stack.num_noise_words,
        32 * len(words),
        raw_bits,
        8 * len(data) - 32 * len(words) - raw_bits,
    )


def _deflated_bits(pixels):
    """What pixels take that are stored as they are, with their length."""
    return 8 * (4 + len(deflate(pixels)))


def codec_of(model: ImageModel, images: np.ndarray) -> ImageCodec:
    """The codec of a model for images of its shape, uint8 `[N, H, W, C]`: a few from all over are its sample."""
    places = np.linspace(0, len(images) - 1, min(_SAMPLE, len(images))).astype(int)
    return make_codec(model, None, images[places])


class _Packer:
    """Codes tiles from the last to the first, so that they are decoded from the first to the last."""

    def __init__(self, codec, tiles, labels, verify, max_batch):
        self._codec, self._tiles, self._labels = codec, tiles, labels
        self._verify, self._max_batch = verify, max_batch
        self.raw_bits = [_deflated_bits(tile.tobytes()) for tile in tiles]
        self.stack = Stack()
        self.batches = []
        self.raw = []
        self.num_mismatches = 0

    def run(self):
        end = len(self._tiles)
        while end:
            start = max(0, end - self._next_count())
            self._code(list(range(start, end)))
            end = start
        self.raw.sort()
        # A few images do not pay for their initial noise.
        if 32 * len(self.stack.words()) > sum(self.raw_bits) - sum(self.raw_bits[index] for index in self.raw):
            self.stack, self.batches, self.raw = Stack(), [], list(range(len(self._tiles)))

    def _next_count(self):
        """One by one first; then as many as the stack holds noise for."""
        needed = self._codec.images_for_noise
        return int(np.clip(sum(self.batches) // needed, 1, self._max_batch)) if needed else self._max_batch

    def _code(self, indices):
        """Codes tiles at once, less those that are stored as they are."""
        while indices:
            before = self.stack.copy()
            noise_bits = noise_bits_of(self._codec, len(self.batches))
            try:
                bits = self._codec.encode_images(self._tiles[indices], self.stack, noise_bits, self._labels_of(indices))
            except CannotCodeError:
                self.stack = before
                if len(indices) == 1:
                    self.raw += indices
                    return
                for index in reversed(indices):
                    self._code([index])
                return
            dear = [index for index, each in zip(indices, bits, strict=True) if each > self.raw_bits[index]]
            wrong = [] if dear or not self._verify else self._wrong(indices, before, noise_bits)
            self.num_mismatches += len(wrong)
            if not dear and not wrong:
                self.batches.append(len(indices))
                return
            self.stack = before
            self.raw += dear + wrong
            indices = [index for index in indices if index not in dear + wrong]

    def _labels_of(self, indices):
        return None if self._labels is None else self._labels[indices]

    def _wrong(self, indices, before, noise_bits):
        """Tiles that do not come back; all of them if the stack does not."""
        stack = self.stack.copy()
        try:
            decoded = self._codec.decode_images(stack, len(indices), noise_bits, self._labels_of(indices))
        except ValueError:
            return indices
        wrong = [
            index for index, tile in zip(indices, decoded, strict=True) if not np.array_equal(tile, self._tiles[index])
        ]
        words, expected = stack.words(), before.words()
        if not wrong and not np.array_equal(words[len(words) - len(expected) :], expected):
            return indices
        return wrong


def noise_bits_of(codec: ImageCodec, batch: int) -> int:
    """Noise bits of batch number `batch` in the order of coding."""
    return codec.noise_ramp[min(batch, len(codec.noise_ramp) - 1)]


def decompress(
    data: bytes, model: ImageModel, *, experiment: Mapping[str, Any] | None = None, codec: ImageCodec | None = None
) -> Iterator[tuple[str | None, np.ndarray]]:
    """Decompresses images one after the other.

    Args:
      data: The file.
      model: The model that compressed it.
      experiment: As for `compress`.
      codec: The codec that compressed it, if it is there already.

    Yields:
      The name of each image, or None, and its pixels, uint8 of its shape.

    Raises:
      ArchiveError: If the file is damaged, or another model compressed it. Images before the first damaged one, which the error
        names, have been given by then.
    """
    container = Container.from_bytes(data)
    header = container.header
    check_model(header, model, experiment)
    if codec is None:
        codec = make_codec(model, header["codec"])
    if codec.fingerprint.hex()[:32] != header["tables"]:
        raise ArchiveError(
            "The tables that follow from the model's parameters are not those that the file was written with: it needs tfflows "
            f"{header['tfflows']}."
        )
    shapes = [tuple(shape) for shape in _unrolled(header["shapes"])]
    names = header["names"] or [None] * len(shapes)
    tiles_of = [num_tiles(_colours(shape), codec.image_shape) for shape in shapes]
    labels = None if header["labels"] is None else np.repeat(_unrolled(header["labels"]), tiles_of)
    tiles = _Tiles(container, codec, labels)
    alphas = iter(container.raw[len(header["raw"]) :])
    for number, (shape, name, count) in enumerate(zip(shapes, names, tiles_of, strict=True)):
        own = [tiles.next() for _ in range(count)]
        if _has_alpha(shape):
            own.append(_plane(next(alphas), shape[:2]))
        if any(each is None for each in own):
            which = f"image {number}" if name is None else f"image {number} ({name})"
            whole = "damaged" if container.is_whole else "cut"
            raise ArchiveError(f"The file is {whole}: {which} and those behind it cannot be decompressed.", number)
        image = from_tiles(np.stack(own[:count]), _colours(shape))
        yield name, np.concatenate([image, *(alpha[..., np.newaxis] for alpha in own[count:])], axis=-1).reshape(shape)
    if not container.is_whole or not tiles.is_used_up():
        raise ArchiveError("All images are there, but the file is damaged behind them.", len(shapes))


class _Tiles:
    """The tiles of a file, one after the other; None from the first damaged one on."""

    def __init__(self, container, codec, labels):
        self._codec, self._container = codec, container
        coded = np.setdiff1d(np.arange(len(container.checks)), container.header["raw"])
        self._labels = None if labels is None else labels[coded]
        self._is_raw = dict(zip(container.header["raw"], container.raw, strict=False))
        self._batches = list(container.header["batches"])
        self._decoded = []
        self._index = -1
        self._stack = None

    def next(self):
        self._index += 1
        tile = self._raw_tile() if self._index in self._is_raw else self._coded_tile()
        if tile is not None and check_word(tile) != self._container.checks[self._index]:
            return None
        return tile

    def is_used_up(self):
        return self._stack is None or self._stack.holds_noise_alone()

    def _raw_tile(self):
        return _plane(self._is_raw[self._index], self._codec.image_shape)

    def _coded_tile(self):
        if not self._decoded:
            if not self._batches:
                return None
            try:
                if self._stack is None:
                    self._stack = Stack(self._container.words)
                count = self._batches.pop()
                noise_bits, labels = noise_bits_of(self._codec, len(self._batches)), None
                if self._labels is not None:
                    labels, self._labels = self._labels[:count], self._labels[count:]
                self._decoded = list(self._codec.decode_images(self._stack, count, noise_bits, labels))
            except ValueError:  # no image is worse than a wrong one
                self._batches = []
                return None
        return self._decoded.pop(0)


def _plane(deflated, shape):
    """Pixels that are stored as they are; None if they are damaged."""
    pixels = inflate(deflated)
    if pixels is None or len(pixels) != np.prod(shape):
        return None
    return np.frombuffer(pixels, np.uint8).reshape(shape)


def check_model(header: Mapping[str, Any], model: ImageModel, experiment: Mapping[str, Any] | None) -> None:
    """Checks that a model is the one that compressed a file.

    Raises:
      ArchiveError: If it is not.
    """
    for kind, own in (("weights", hash_of_weights(model)), ("experiment", hash_of_experiment(experiment))):
        if header[kind] != own:
            raise ArchiveError(
                f"Another model compressed the file: its {kind} have the hash {header[kind][:12]}, those of this model "
                f"{own[:12]}."
            )


def hash_of_weights(model: ImageModel) -> str:
    """SHA-256 of the names and values of a model's variables, in hexadecimal."""
    digest = hashlib.sha256()
    for name, variable in sorted(named_variables(model).items()):
        values = np.ascontiguousarray(variable.numpy())
        digest.update(f"{name} {values.dtype} {values.shape}\n".encode())
        digest.update(values.astype(values.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def hash_of_experiment(experiment: Mapping[str, Any] | None) -> str:
    """SHA-256 of the settings of an experiment, in hexadecimal."""
    return hashlib.sha256(json.dumps(experiment and dict(experiment), sort_keys=True).encode()).hexdigest()


def _checked(image, number):
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or not image.size:
        raise ValueError(f"Image {number} must be uint8 [H, W] or [H, W, C], got {image.dtype} {list(image.shape)}.")
    if image.ndim == 3 and image.shape[-1] not in (1, 2, 3, 4):
        raise ValueError(f"Image {number} must have 1 to 4 channels, got {image.shape[-1]}.")
    return image


def _checked_labels(labels, count, num_classes):
    """A label for each image, int64 `[count]`, or None."""
    if labels is None:
        if num_classes:
            raise ValueError(
                f"The model takes labels, 0 to {num_classes - 1}: give one for each image, or one for all."
            )
        return None
    if not num_classes:
        raise ValueError("The model takes no labels, got some: leave them out.")
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu" or labels.shape not in ((), (count,)):
        raise ValueError(
            f"There must be an integer label for each of {count} images, got {labels.dtype} {labels.shape}."
        )
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(f"Labels must be 0 to {num_classes - 1}, got {labels.min()} to {labels.max()}.")
    return np.broadcast_to(labels, [count]).astype(np.int64)


def _colours(shape):
    """The shape `(H, W, C)` of the colours of an image."""
    return (*shape[:2], shape[2] - _has_alpha(shape) if len(shape) == 3 else 1)


def _has_alpha(shape):
    return len(shape) == 3 and shape[2] in (2, 4)


def _runs(values):
    """`[count, value]` of equal values that follow one another."""
    return [[len(list(group)), value] for value, group in itertools.groupby(values)]


def _unrolled(runs):
    """The values of `_runs`."""
    return [value for count, value in runs for _ in range(count)]
