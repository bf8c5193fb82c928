"""What the codec of a model does: images onto a stack of bits, and back."""

import abc
import functools
from typing import Any

import numpy as np

from tfflows.compression.coder import Stack


class CannotCodeError(ValueError):
    """Images, or a model, that a codec cannot code; such images are to be stored as they are."""


class ImageCodec(abc.ABC):
    """Codes images of one shape with one model.

    `decode_images` undoes `encode_images` bit for bit, and leaves the stack as it was before, wherever it runs. Therefore
    networks run in float64, what they give is rounded before it is used, and the rest is computed in integers or by
    `tfflows.compression.exact`. The last images that were coded are the first to be decoded; several images that are coded at
    once are decoded at once.

    Attributes:
      image_shape: `(H, W, C)`.
      noise_ramp: Noise bits a dimension of the first images, one number an image, rising; the last is that of all others. They
        are popped and come back, but for the first images nothing is there to be popped but initial noise.
      images_for_noise: Number of coded images that hold the noise that another one needs; 0 if it needs none.
      num_classes: Number of classes of the labels that the model takes; 0 if it takes none.
    """

    image_shape: tuple[int, int, int]
    noise_ramp: tuple[int, ...]
    images_for_noise: int = 4
    num_classes: int = 0

    @property
    @abc.abstractmethod
    def fingerprint(self) -> bytes:
        """A hash of all that coding depends on beside the weights: settings, and integer tables that follow from parameters."""
        ...

    @property
    @abc.abstractmethod
    def settings(self) -> dict[str, Any]:
        """What `make_codec` needs besides the model to make this codec again, as JSON can hold it."""
        ...

    @abc.abstractmethod
    def encode_images(
        self, images: np.ndarray, stack: Stack, noise_bits: int, labels: np.ndarray | None = None
    ) -> np.ndarray:
        """Codes images.

        Args:
          images: uint8 `[B, H, W, C]`.
          stack: The stack, which grows.
          noise_bits: One of `noise_ramp`.
          labels: Integers `[B]`, `0 ... num_classes - 1`; None if the model takes none.

        Returns:
          What each image takes, about, in bits; float64 `[B]`.

        Raises:
          CannotCodeError: If an image is too unlikely for the integers to hold it. The stack is then of no use: keep a copy.
        """
        ...

    @abc.abstractmethod
    def decode_images(self, stack: Stack, count: int, noise_bits: int, labels: np.ndarray | None = None) -> np.ndarray:
        """Undoes `encode_images` of `count` images with the same labels; uint8 `[count, H, W, C]`.

        Raises:
          StackExhaustedError: If the stack is too short.
        """
        ...


@functools.singledispatch
def make_codec(model: Any, settings: dict[str, Any] | None = None, images: np.ndarray | None = None) -> ImageCodec:
    """Makes the codec of an `ImageModel`; the codecs register themselves by the class of the model.

    Args:
      model: The model.
      settings: Those of the codec that coded; None: to be chosen.
      images: uint8 `[B, H, W, C]`, like those that are to be coded, to choose settings by; a codec may do without.

    Returns:
      The codec.

    Raises:
      CannotCodeError: If there is no codec for the model, or a part of it.
    """
    raise CannotCodeError(f"There is no codec for a {type(model).__name__}.")
