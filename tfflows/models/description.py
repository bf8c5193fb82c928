"""`model.json` of a working directory: what a model takes and gives, beside `experiment.json`, which says how it is built."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping

import tfflows
from tfflows.data import ImageSource, dataset_spec, load_dataset
from tfflows.files import atomic_write, read_json
from tfflows.training.workdir import WorkdirError

MODEL_FILE = "model.json"


@dataclasses.dataclass(frozen=True)
class ModelDescription:
    """What a model takes and gives.

    Attributes:
      image_shape: `(H, W, C)`.
      num_classes: Number of classes of the images that it was made for, 0 if they have no labels.
      class_names: Names of the classes in the order of the labels; empty if they have none.
      num_bits: Bits per colour that the model tells apart. Pixels are coded as uint8, 0 ... 255, whatever their number.
      version: Version of this library that began the directory; empty if that is not known.
    """

    image_shape: tuple[int, int, int]
    num_classes: int = 0
    class_names: tuple[str, ...] = ()
    num_bits: int = 8
    version: str = tfflows.__version__

    @classmethod
    def of_source(cls, source: ImageSource, num_bits: int) -> "ModelDescription":
        """The description of a model of the images of a source."""
        return cls(tuple(source.image_shape), source.num_classes, tuple(source.class_names), num_bits)

    def write(self, directory: str | os.PathLike) -> None:
        """Writes `model.json`, if it is not there with the same content."""
        content = json.dumps({"pixels": "uint8", **dataclasses.asdict(self)}, indent=2) + "\n"
        path = pathlib.Path(directory) / MODEL_FILE
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            atomic_write(path, content)


def read_description(directory: str | os.PathLike) -> ModelDescription | None:
    """The content of `model.json`; None if there is none, as in directories of versions before 0.3.

    Raises:
      WorkdirError: If it does not describe a model.
    """
    file = pathlib.Path(directory) / MODEL_FILE
    try:
        stored = read_json(file)
        shape = tuple(stored["image_shape"])
        names = tuple(stored["class_names"])
        read = ModelDescription(shape, stored["num_classes"], names, stored["num_bits"], stored["version"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise WorkdirError(
            f"Cannot read {file}: {str(error).rstrip('.')}. Put the file back, or delete it and say image_shape."
        ) from error
    sizes = (*shape, read.num_classes, read.num_bits)
    if len(shape) != 3 or not all(type(size) is int and size >= 0 for size in sizes) or min(shape) < 1:
        raise WorkdirError(
            f"{file} must hold an image_shape of three positive sizes and numbers of classes and bits, got {stored}."
        )
    return read


def describe_from_experiment(experiment: Mapping, data_dir: str | os.PathLike | None = None) -> ModelDescription | None:
    """The description of a model from its experiment alone, for directories without `model.json`.

    Data sets of one size are known; the images of a folder are looked at.

    Args:
      experiment: Content of `experiment.json`.
      data_dir: As for `load_dataset`.

    Returns:
      The description; None if nothing says the shape of the images.
    """
    try:
        spec = dataset_spec(experiment["dataset"])
        num_bits = experiment["num_bits"]
        if spec.image_shape is None:
            described = ModelDescription.of_source(load_dataset(spec.name, "test", data_dir), num_bits)
        else:
            size = experiment["image_size"]
            shape = (size, size, spec.num_channels)
            described = ModelDescription(shape, spec.num_classes, spec.class_names, num_bits)
    except (KeyError, ValueError, OSError):
        return None
    return dataclasses.replace(described, version="")
