"""Reading weights from a mapping, an .npz file, files of PyTorch projects or a TF1 checkpoint."""

import os
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfflows.extras import require
from tfflows.interop.torch_files import read_torch_file

# Prefixes of the names in files that hold weights beside other arrays.
_PREFIXES = ("var/", "param/")
# Slots and averages that a TF1 training checkpoint contains beside the weights.
_TRAINING_STATE = ("ExponentialMovingAverage", "beta1_power", "beta2_power", "global_step", "Adam", "Adam_1")


def read_source(source: Mapping[str, Any] | str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads weights by the authors' names.

    Args:
      source: A mapping `{name: array}`, or a path:

        - of an `.npz` file whose keys are the names (if it has keys `var/<name>` or `param/<name>`, only these are read),
        - of a `.safetensors` file,
        - of a `.pt`, `.pth` or `.bin` file of `torch.save` that holds a state_dict (alone or as `state_dict`, `model` or
          `params`); it is read without torch and without running any code that it refers to,
        - of a TF1 checkpoint or its directory; the optimizer's own variables are left out.

        Half-precision numbers in the files of PyTorch projects become float32, and if all names begin with `module.`, this is
        dropped.

    Returns:
      Arrays by name.

    Raises:
      FileNotFoundError: If there is nothing at the path.
      MissingExtraError: If it is a `.safetensors` file and safetensors is not installed.
      ValueError: If the content of the file is not what its name says.

    Example:
      >>> import pathlib, tempfile
      >>> import numpy as np
      >>> from tfflows.interop.sources import read_source
      >>> with tempfile.TemporaryDirectory() as directory:
      ...     path = pathlib.Path(directory) / "weights.npz"
      ...     np.savez(path, **{"images": np.zeros([2, 8, 8, 3]), "var/layer/bias": np.arange(3.0)})
      ...     read_source(path)
      {'layer/bias': array([0., 1., 2.])}
    """
    if isinstance(source, Mapping):
        return {name: np.asarray(value) for name, value in source.items()}
    path = os.fspath(source)
    for suffix, read in _READERS.items():
        if path.endswith(suffix):
            if not os.path.exists(path):
                raise FileNotFoundError(f"No weights at {path!r}.")
            return read(path)
    return _read_checkpoint(path)


def _read_npz(path):
    try:
        with np.load(path, allow_pickle=False) as arrays:
            weights = {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, EOFError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{path!r} is not a readable .npz file of plain arrays: {error}. Get the file again."
        ) from error
    for prefix in _PREFIXES:
        prefixed = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
        if prefixed:
            return prefixed
    return weights


def _read_safetensors(path):
    safetensors = require("safetensors", "checkpoints")
    load_file = require("safetensors.numpy", "checkpoints").load_file
    try:
        weights = load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(
            f"{path!r} is not a readable .safetensors file of plain tensors: {error}. Get the file again."
        ) from error
    return _plain(weights)


def _read_torch(path):
    return _plain(read_torch_file(path))


def _plain(weights):
    """Weights of PyTorch projects without the prefix of `DataParallel` and in dtypes that numpy computes with."""
    parallel = all(name.startswith("module.") for name in weights)
    halves = (np.float16, tf.bfloat16.as_numpy_dtype)
    return {
        name.removeprefix("module.") if parallel else name: value.astype(np.float32) if value.dtype in halves else value
        for name, value in weights.items()
    }


_READERS = {
    ".npz": _read_npz,
    ".safetensors": _read_safetensors,
    ".pt": _read_torch,
    ".pth": _read_torch,
    ".bin": _read_torch,
}


def _read_checkpoint(path):
    checkpoint = tf.train.latest_checkpoint(path) if os.path.isdir(path) else path
    if checkpoint is None or not tf.compat.v1.train.checkpoint_exists(checkpoint):
        raise FileNotFoundError(
            f"No weights at {path!r}: give an .npz, .safetensors, .pt, .pth or .bin file, the prefix of a TF1 checkpoint "
            "(without .index) or its directory."
        )
    reader = tf.train.load_checkpoint(checkpoint)
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if not _is_state(name)}


def _is_state(name):
    unnamed = name.split("/")[0].split("_")[0] == "Variable"  # the released optimizers leave their slots unnamed
    return unnamed or any(part in _TRAINING_STATE for part in name.split("/"))
