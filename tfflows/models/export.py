"""Exports a model as a SavedModel that loads with TensorFlow alone."""

import inspect
import os
import pathlib
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfflows.distributions.dequantizers import bits_per_dim
from tfflows.distributions.image_model import ImageModel
from tfflows.files import atomic_directory, check_is_directory
from tfflows.models.functions import FUNCTIONS, random_labels, rows_of_labels
from tfflows.tracing.variables import named_variables

_ANY_CLASS = -1
_NAMES = ("bits_per_dim", "sample", "encode", "decode", "reconstruct")


class ExportedModel(tf.Module):
    """What a SavedModel of an image model holds: its functions, each also a signature by its name, and its variables.

    All take tensors, with any number of images. Those of a conditional model also take `labels`, int32 `[B]`, or in `sample` one
    `label` for all images; -1, its default, draws the classes.

    - `bits_per_dim(images, seed=0)`: uint8 `[B, H, W, C]` to bits `[B]`.
    - `sample(num, seed=0, temperature=1.0)`: uint8 `[num, H, W, C]`.
    - `encode(images, seed=0)`: latents `[B, *latent_shape]`, where the model has latents.
    - `decode(latents)`: uint8 `[B, H, W, C]`, where it has latents.
    - `reconstruct(images, seed=0)`: what is decoded for the latents of images, where it has an encoder.

    Numbers are those of `tfflows.models.Model` with the same seeds. Signatures of the same names have no defaults.
    """

    def __init__(self, model: ImageModel, num_classes: int = 0) -> None:
        """Traces nothing yet; saving does.

        Args:
          model: The model.
          num_classes: Number of classes of a model that takes labels, 0 for another one.
        """
        super().__init__(name="exported")
        self.variables_by_name = named_variables(model)  # what is not an attribute is not saved
        images = tf.TensorSpec([None, *model.image_shape], tf.uint8, "images")
        seed = tf.TensorSpec([], tf.int64, "seed"), 0
        # What follows an argument with a default needs one: no labels are as many as no images.
        labels = [(tf.TensorSpec([None], tf.int32, "labels"), [])] if num_classes else []

        start = tf.constant(0, tf.int64)

        def labels_of(given, num_rows):
            return rows_of_labels(given[0], num_rows, num_classes) if num_classes else tf.zeros([num_rows], tf.int32)

        def measure(images, seed, *labels):
            log_prob = FUNCTIONS["log_prob"](model, images, labels_of(labels, tf.shape(images)[0]), seed, start)
            return {"bits_per_dim": bits_per_dim(log_prob, model.num_dimensions)}

        def sample(num, seed, temperature, *label):
            labels = labels_of([tf.where(each == _ANY_CLASS, 0, each) for each in label], num)
            if num_classes:
                labels = tf.where(label[0] == _ANY_CLASS, random_labels(num, num_classes, seed), labels)
            images, _ = FUNCTIONS["sample"](model, labels, seed, start, temperature)
            return {"images": images}

        def encode(images, seed, *labels):
            return {"latents": FUNCTIONS["encode"](model, images, labels_of(labels, tf.shape(images)[0]), seed, start)}

        def decode(latents, *labels):
            images, _ = FUNCTIONS["decode"](model, latents, labels_of(labels, tf.shape(latents)[0]), None, start)
            return {"images": images}

        def reconstruct(images, seed, *labels):
            return decode(encode(images, seed, *labels)["latents"], *labels)

        self.bits_per_dim = _traced(measure, images, seed, *labels)
        self.sample = _traced(
            sample,
            tf.TensorSpec([], tf.int32, "num"),
            seed,
            (tf.TensorSpec([], tf.float32, "temperature"), 1.0),
            *([(tf.TensorSpec([], tf.int32, "label"), _ANY_CLASS)] if num_classes else []),
        )
        if model.has_latent:
            latents = tf.TensorSpec([None, *model.latent_shape], _latent_dtype(model), "latents")
            self.encode = _traced(encode, images, seed, *labels)
            self.decode = _traced(decode, latents, *labels)
        if model.has_encoder:
            self.reconstruct = _traced(reconstruct, images, seed, *labels)

    @property
    def functions(self) -> dict[str, Callable]:
        """Its functions by name."""
        return {name: getattr(self, name) for name in _NAMES if hasattr(self, name)}


def _traced(function: Callable, *signature: tf.TensorSpec | tuple[tf.TensorSpec, Any]) -> Callable:
    """A `tf.function` whose arguments have the names of the signature, and the defaults where it holds pairs."""
    parameters, specs = [], []
    for each in signature:
        spec, default = each if isinstance(each, tuple) else (each, inspect.Parameter.empty)
        if default is not inspect.Parameter.empty:
            default = tf.constant(default, spec.dtype)
        parameters.append(inspect.Parameter(spec.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default))
        specs.append(spec)

    def named(*arguments):
        return function(*arguments)

    named.__signature__ = inspect.Signature(parameters)  # a signature has no name for `*labels`
    return tf.function(named, input_signature=specs, autograph=False)


def _latent_dtype(model):
    return next(iter(named_variables(model).values())).dtype


def export(model: ImageModel, directory: str | os.PathLike, num_classes: int = 0) -> pathlib.Path:
    """Writes a SavedModel of an image model; an existing directory is replaced when the new one is whole.

    Args:
      model: The model.
      directory: Directory to write; its parents are made.
      num_classes: Number of classes of a model that takes labels, 0 for another one.

    Returns:
      Path of the directory.

    Raises:
      FileExistsError: If the directory holds something that is no SavedModel.
      NotADirectoryError: If it, or a parent of it, is a file.
    """
    directory = pathlib.Path(directory)
    check_is_directory(directory)
    if directory.exists() and any(directory.iterdir()) and not (directory / "saved_model.pb").exists():
        raise FileExistsError(f"{directory} holds files that are no SavedModel. Give another directory.")
    exported = ExportedModel(model, num_classes)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with atomic_directory(directory) as written:
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(exported, str(written), signatures=exported.functions, options=options)
    return directory
