"""The codec of PixelCNN++: pixels one after the other, without noise."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfflows.compression import exact
from tfflows.compression.coder import Stack
from tfflows.compression.levels import PRECISION, LevelMixture, logistic_table, weights_of
from tfflows.compression.maps.base import Run
from tfflows.compression.network import FRACTION_BITS, check_outputs
from tfflows.compression.pixel_pass import PixelPass
from tfflows.compression.protocol import CannotCodeError, ImageCodec, make_codec
from tfflows.distributions.pixelcnn_images import PixelCNNImages
from tfflows.math.discretized_logistic_mixture import MIN_LOG_SCALE

_NUM_LEVELS = 256


class Pixels:
    """Codes pixels under a `PixelCNNImages`, the first one on top of the stack.

    The network runs pixel by pixel with its activations cached, when coding as when decoding, so that both see the same numbers.
    """

    def __init__(self, model: PixelCNNImages) -> None:
        """Creates the coder."""
        self.image_shape = tuple(model.image_shape.as_list())
        self._num_components = model.num_components
        self._network = PixelPass(model.network)

    def push(self, images: np.ndarray, run: Run, features: Sequence[np.ndarray] | None = None) -> None:
        """Pushes images.

        Args:
          images: uint8 `[B, H, W, C]`.
          run: The pass.
          features: float64 maps for the positions of the network, the same bits as when decoding; None if it takes none.
        """
        levels = np.transpose(images, [1, 2, 0, 3]).astype(np.int64)  # [H, W, B, C]
        seen, parameters = _to_pixels(levels), {}

        def choose(row, column, outputs):
            parameters[row, column] = check_outputs(outputs)
            return seen[row, column]

        self._network.run(len(images), levels.shape[:2], choose, features, run.labels)
        parameters = np.concatenate([parameters[place] for place in np.ndindex(levels.shape[:2])])
        colours = _Colours(parameters, self._num_components, self.image_shape[-1])
        flat = levels.reshape([-1, levels.shape[-1]])
        intervals = [mixture.intervals(flat[:, number]) for number, mixture in enumerate(colours.mixtures(flat))]
        starts, widths = np.moveaxis(np.reshape(intervals, [-1, 2, *levels.shape[:-1]]), 1, 0)  # [C, H, W, B]
        run.takes(np.transpose(PRECISION - np.log2(widths), [3, 0, 1, 2]))
        for row, column in reversed(list(np.ndindex(levels.shape[:2]))):
            for number in reversed(range(levels.shape[-1])):
                run.stack.push_intervals(starts[number, row, column], widths[number, row, column], PRECISION)

    def pop(self, count: int, run: Run, features: Sequence[np.ndarray] | None = None) -> np.ndarray:
        """Pops what `push` pushed; uint8 `[count, H, W, C]`."""
        height, width, channels = self.image_shape
        images = np.zeros([height, width, count, channels], np.int64)

        def choose(row, column, outputs):
            levels, colours = images[row, column], _Colours(check_outputs(outputs), self._num_components, channels)
            for number, mixture in enumerate(colours.mixtures(levels)):
                levels[:, number] = mixture.pop(run.stack)
            return _to_pixels(levels)

        self._network.run(count, (height, width), choose, features, run.labels)
        return np.transpose(images, [2, 0, 1, 3]).astype(np.uint8)


class _Colours:
    """The distributions of the colours of pixels, each given those before it."""

    def __init__(self, parameters: np.ndarray, num_components: int, channels: int) -> None:
        """Takes rounded parameters `[N, 10 K]`, or `[N, 3 K]` for grey pixels."""
        count, size = len(parameters), num_components
        blocks = parameters[:, size:].reshape([count, channels, -1, size])
        logits, raw = parameters[:, :size], blocks[:, :, 2] if channels > 1 else blocks[:, :0, 0]
        # All exponentials at once.
        exponents = np.concatenate(
            [
                logits - logits.max(axis=1, keepdims=True),
                -np.maximum(blocks[:, :, 1], MIN_LOG_SCALE).reshape([count, -1]),
                -2 * np.abs(raw).reshape([count, -1]),
            ],
            axis=1,
        )
        exponentials = exact.exp(exponents)
        self._weights = weights_of(exponentials[:, :size])
        self._means = blocks[:, :, 0]
        self._inverse_scales = exponentials[:, size : (1 + channels) * size].reshape(self._means.shape) / 127.5
        small = exponentials[:, (1 + channels) * size :].reshape(raw.shape)
        self._coefficients = np.sign(raw) * (1 - small) / (1 + small)

    def mixtures(self, levels: np.ndarray) -> Iterator[LevelMixture]:
        """The mixture of each colour; `levels`, int64 `[N, C]`, must be there up to it when the next one is asked for."""
        weights = self._weights
        for number in range(levels.shape[1]):
            means = self._means[:, number]
            if number == 1:
                means = means + self._coefficients[:, 0] * _to_pixels(levels[:, :1])
            elif number == 2:
                red, green = _to_pixels(levels[:, :1]), _to_pixels(levels[:, 1:2])
                means = means + self._coefficients[:, 1] * red + self._coefficients[:, 2] * green
            mixture = LevelMixture(weights, 127.5 * means + 128, self._inverse_scales[:, number], _NUM_LEVELS)
            yield mixture
            if number + 1 < levels.shape[1]:
                weights = mixture.weights_after()


def _to_pixels(levels):
    return (levels - 127.5) / 127.5


class PixelCNNCodec(ImageCodec):
    """Codes the images of a `PixelCNNImages`; nothing is popped but what takes turns with pushes within a pixel."""

    noise_ramp = (0,)
    images_for_noise = 0

    def __init__(self, model: PixelCNNImages) -> None:
        """Creates the codec.

        Raises:
          CannotCodeError: If the model depends on features.
        """
        if model.network.feature_channels:
            raise CannotCodeError(f"The model {model.name!r} depends on features, which the codec does not have.")
        self._model = model
        self._pixels = Pixels(model)
        self.image_shape = self._pixels.image_shape
        self.num_classes = model.network.num_classes

    @property
    def fingerprint(self) -> bytes:
        """A hash of the shape and of the table of the logistic function."""
        return fingerprint_of_levels(self.image_shape)

    @property
    def settings(self) -> dict[str, Any]:
        """There are none."""
        return {}

    def encode_images(
        self, images: np.ndarray, stack: Stack, noise_bits: int, labels: np.ndarray | None = None
    ) -> np.ndarray:
        """Codes images; see `ImageCodec`."""
        run = Run(stack, len(images), labels=labels)
        self._pixels.push(images, run)
        return run.bits

    def encode_with_noise(
        self, images: np.ndarray, stack: Stack, noise_bits: int, labels: np.ndarray | None = None
    ) -> tuple[np.ndarray, ...]:
        """Codes images, and returns the bits of each; there is no noise."""
        return (self.encode_images(images, stack, noise_bits, labels),)

    def bits_of_model(self, images: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Minus the model's log-probability of images, in bits; float64 `[B]`."""
        labels = None if labels is None else tf.cast(labels, tf.int32)
        return np.asarray(self._model.log_prob(images, labels=labels), np.float64) / -math.log(2)

    def decode_images(self, stack: Stack, count: int, noise_bits: int, labels: np.ndarray | None = None) -> np.ndarray:
        """Undoes `encode_images`."""
        return self._pixels.pop(count, Run(stack, count, labels=labels))


def fingerprint_of_levels(*settings: Any) -> bytes:
    """A hash of settings, and of all that levels are coded by."""
    digest = hashlib.sha256(repr((FRACTION_BITS, PRECISION, settings)).encode())
    digest.update(logistic_table().astype("<i8").tobytes())
    return digest.digest()


@make_codec.register(PixelCNNImages)
def _pixelcnn_codec(
    model: PixelCNNImages, settings: dict[str, Any] | None = None, images: np.ndarray | None = None
) -> PixelCNNCodec:
    return PixelCNNCodec(model)
