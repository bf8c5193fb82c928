"""Saves a model as a folder of a few files that `tfflows.load` reads: weights alone, without what training needs."""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfflows.distributions.image_model import ImageModel
from tfflows.extras import require
from tfflows.files import atomic_write, check_is_directory
from tfflows.models.catalog import RECORD_FILE, WEIGHTS_FILE
from tfflows.models.description import ModelDescription
from tfflows.tracing.variables import named_variables
from tfflows.training.workdir import EXPERIMENT_FILE


def save(
    model: ImageModel,
    directory: str | os.PathLike,
    settings: Mapping[str, Any],
    description: ModelDescription,
    record: Mapping[str, Any] | None,
    step: int,
) -> pathlib.Path:
    """Writes `weights.safetensors`, `experiment.json`, `model.json`, and `record.json` if there is a record.

    Args:
      model: The model, with the weights to save.
      directory: A new or empty directory, or one that this function has written.
      settings: Content of `experiment.json`.
      description: Content of `model.json`.
      record: Content of `record.json`.
      step: Number of training steps.

    Returns:
      The directory.

    Raises:
      MissingExtraError: If safetensors is not installed.
      FileExistsError: If the directory holds other files.
      NotADirectoryError: If it, or a parent of it, is a file.
    """
    save_file = require("safetensors.numpy", "checkpoints").save
    directory = pathlib.Path(directory)
    check_is_directory(directory)
    if directory.is_dir() and any(directory.iterdir()) and not (directory / WEIGHTS_FILE).exists():
        raise FileExistsError(f"{directory} holds files of another kind. Give another directory.")
    directory.mkdir(parents=True, exist_ok=True)
    # A variable without dimensions gives a NumPy scalar, which is no array.
    tensors = {f"model/{name}": np.asarray(variable.numpy()) for name, variable in named_variables(model).items()}
    atomic_write(directory / WEIGHTS_FILE, save_file(tensors, {"step": str(step)}))
    atomic_write(directory / EXPERIMENT_FILE, _json({**settings, "init_from": None}))
    (directory / RECORD_FILE).unlink(missing_ok=True)
    if record is not None:
        atomic_write(directory / RECORD_FILE, _json(record))
    description.write(directory)
    return directory


def _json(content):
    return json.dumps(content, indent=2, sort_keys=True) + "\n"
