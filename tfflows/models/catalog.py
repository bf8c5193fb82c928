"""The trained models that are found by name, and their figures; none of them is loaded, and TensorFlow is not needed."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator

from tfflows.files import read_json

# In the folder of a model.
WEIGHTS_FILE = "weights.safetensors"
RECORD_FILE = "record.json"
# The models of a checkout of the repository; an installed package has none.
MODELS_DIRECTORY = pathlib.Path(__file__).resolve().parents[2] / "results" / "models"


@dataclasses.dataclass(frozen=True)
class ModelEntry:
    """A trained model that `load` finds by its name.

    Attributes:
      name: The name.
      paper: Short name of the paper whose model it is.
      experiment: The experiment of that paper that it is the small form of.
      dataset: Data set that it was trained on.
      bits_per_dim: Measured on the test images.
      standard_error: Of `bits_per_dim`, over the images.
      parameters: Number of trained parameters.
      steps: Number of training steps.
      path: Its directory.
    """

    name: str
    paper: str
    experiment: str
    dataset: str
    bits_per_dim: float
    standard_error: float
    parameters: int
    steps: int
    path: pathlib.Path

    def __str__(self) -> str:
        return f"{self.name}: {self.paper} on {self.dataset}, {self.bits_per_dim:.3f} bits/dim, {self.parameters:,} parameters"


def list_models(models_dir: str | os.PathLike | None = None) -> tuple[ModelEntry, ...]:
    """The trained models that `load` finds by name and that were measured, in alphabetical order.

    Args:
      models_dir: Directory with one folder a model; default: `results/models` of the checkout that this package is part of.

    Returns:
      Their entries; none if the directory does not exist.

    Raises:
      ValueError: If the record of a model cannot be read.

    Example:
      >>> import tfflows
      >>> tfflows.list_models("no_such_directory")
      ()
    """
    return tuple(_entries(MODELS_DIRECTORY if models_dir is None else pathlib.Path(models_dir)))


def _entries(directory) -> Iterator[ModelEntry]:
    for weights in sorted(directory.glob(f"*/{WEIGHTS_FILE}")):
        path = weights.parent
        if not (path / RECORD_FILE).exists():
            continue
        record = read_json(path / RECORD_FILE)
        yield ModelEntry(
            path.name,
            record["paper"],
            record["experiment"],
            record["dataset"],
            record["value"],
            record["standard_error"],
            record["parameters"],
            record["steps"],
            path,
        )
