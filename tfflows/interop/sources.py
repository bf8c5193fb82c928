"""Reading weights from a mapping, an .npz file, files of PyTorch projects or a TF1 checkpoint."""

import contextlib
import glob
import math
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfflows.extras import require
from tfflows.files import first_line, plain_directory
from tfflows.interop.torch_files import read_torch_file

# How many more numbers than the model a file may have: authors also store tables and inverses.
SPARE_NUMBERS = 2**20
# Prefixes of the names in files that hold weights beside other arrays.
_PREFIXES = ("var/", "param/")
# Slots and averages that a TF1 training checkpoint contains beside the weights.
_TRAINING_STATE = ("ExponentialMovingAverage", "beta1_power", "beta2_power", "global_step", "Adam", "Adam_1")


def read_source(source: Mapping[str, Any] | str | os.PathLike, num_needed: int | None = None) -> dict[str, np.ndarray]:
    """Reads weights by the authors' names.

    Args:
      source: A mapping `{name: array}`, or a path:

        - of an `.npz` file whose keys are the names (if it has keys `var/<name>` or `param/<name>`, only these are read),
        - of a `.safetensors` file,
        - of a `.pt`, `.pth` or `.bin` file of `torch.save` that holds a state_dict (alone or as `state_dict`, `model` or
          `params`); it is read without torch and without running any code that it refers to,
        - of a TF1 checkpoint or its directory; the optimizer's own variables are left out.
      num_needed: How many numbers the model has; None: any file is read. A file with a larger array, or with more than
        four times as many numbers (and `SPARE_NUMBERS`) in all, is refused before so much memory is taken.

        Half-precision numbers in the files of PyTorch projects become float32, and if all names begin with `module.`, this is
        dropped.

    Returns:
      Arrays by name.

    Raises:
      FileNotFoundError: If there is nothing at the path.
      MissingExtraError: If it is a `.safetensors` file and safetensors is not installed.
      ValueError: If the content of the file is not what its name says, is damaged, or too much for the model.

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
    check_room = _Room(path, num_needed)
    for suffix, read in _READERS.items():
        if path.endswith(suffix):
            if not os.path.exists(path):
                raise FileNotFoundError(f"No weights at {path!r}.")
            _check_regular(path, suffix)
            return read(path, check_room)
    return _read_checkpoint(path, check_room)


class _Room:
    """Refuses arrays that are more than a model needs: called with the name and the shape of each before it is read."""

    def __init__(self, path, num_needed):
        self._path, self._needed, self._total = path, num_needed, 0

    def __call__(self, name: str, shape: Iterable[int]) -> None:
        if self._needed is None:
            return
        numbers = math.prod(shape)
        self._total += numbers
        if numbers > self._needed + SPARE_NUMBERS:
            raise ValueError(
                f"{self._path!r} does not fit this model: {name} has shape {tuple(shape)}, but the whole model has "
                f"{self._needed:,} numbers."
            )
        if self._total > 4 * self._needed + SPARE_NUMBERS:
            raise ValueError(
                f"{self._path!r} does not fit this model: it has more than {self._total:,} numbers, the model {self._needed:,}."
            )


def _check_regular(path, kind):
    if not os.path.isfile(path):  # reading from a pipe would wait for ever
        raise ValueError(f"{path!r} is not a readable {kind} file: it is a directory, a pipe or a device.")


_UNREADABLE = (
    ValueError,
    OSError,
    EOFError,
    TypeError,
    AttributeError,
    LookupError,
    RuntimeError,  # encrypted archives, deeply nested headers
    NotImplementedError,
    OverflowError,
    SyntaxError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)


def _read_npz(path, check_room):
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names = arrays.files
            prefix = next((p for p in _PREFIXES if any(name.startswith(p) for name in names)), "")
            chosen = [name for name in names if name.startswith(prefix)]
            shapes = {name: _npy_shape(arrays.zip, name) for name in chosen}
            for name, shape in shapes.items():
                check_room(name, shape)
            return {name.removeprefix(prefix): arrays[name] for name in chosen}
    except _UNREADABLE as error:
        if "does not fit this model" in str(error):
            raise
        raise ValueError(
            f"{path!r} is not a readable .npz file of plain arrays: {first_line(error)}. Get the file again."
        ) from error


def _npy_shape(archive, name):
    """Shape of an array of an .npz file, whose numbers the file must hold: an absurd one would take memory first."""
    entry = archive.getinfo(f"{name}.npy" if f"{name}.npy" in archive.NameToInfo else name)
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(file)
        size = math.prod(shape) * dtype.itemsize
        if size > entry.file_size:
            raise ValueError(f"{name} has shape {shape} but {entry.file_size:,} bytes")
    return shape


def _read_safetensors(path, check_room):
    safetensors = require("safetensors", "checkpoints")
    load_file = require("safetensors.numpy", "checkpoints").load_file
    try:
        with safetensors.safe_open(path, "numpy") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (it is no mapping)
                check_room(name, tensors.get_slice(name).get_shape())
        weights = load_file(path)
    except (safetensors.SafetensorError, *_UNREADABLE) as error:
        if "does not fit this model" in str(error):
            raise
        raise ValueError(
            f"{path!r} is not a readable .safetensors file of plain tensors: {first_line(error)}. Get the file again."
        ) from error
    return _plain(weights)


def _read_torch(path, check_room):
    return _plain(read_torch_file(path, check_room))


def _plain(weights):
    """Weights of PyTorch projects without the prefix of `DataParallel` and in dtypes that numpy computes with."""
    parallel = all(name.startswith("module.") for name in weights)
    halves = (np.float16, tf.bfloat16.as_numpy_dtype)
    return {
        name.removeprefix("module.") if parallel else name: value.astype(np.float32) if value.dtype in halves else value
        for name, value in weights.items()
    }


_READERS: dict[str, Callable] = {
    ".npz": _read_npz,
    ".safetensors": _read_safetensors,
    ".pt": _read_torch,
    ".pth": _read_torch,
    ".bin": _read_torch,
}


def _read_checkpoint(path, check_room):
    directory, name = (path, None) if os.path.isdir(path) else os.path.split(path)
    with contextlib.ExitStack() as stack:
        if os.path.isdir(directory or "."):
            plain = str(stack.enter_context(plain_directory(directory or ".")))
            name = _latest(plain, path) if name is None else name
            if name and _is_checkpoint(plain, name):
                return _read_bundle(os.path.join(plain, name), path, check_room)
    raise FileNotFoundError(
        f"No weights at {path!r}: give an .npz, .safetensors, .pt, .pth or .bin file, the prefix of a TF1 checkpoint "
        "(without .index) or its directory."
    )


def _latest(directory, path):
    """Name of the newest checkpoint of a directory, or None."""
    state = os.path.join(directory, "checkpoint")
    if os.path.exists(state):
        _check_regular(state, "checkpoint")
    try:
        latest = tf.train.latest_checkpoint(directory)
    except Exception as error:  # whatever a garbled state file makes of TensorFlow
        raise ValueError(
            f"The file 'checkpoint' in {path!r} is damaged: {first_line(error)}. Give the prefix of the checkpoint."
        ) from error
    return None if latest is None else os.path.basename(latest)


def _is_checkpoint(directory, name):
    files = glob.glob(f"{glob.escape(os.path.join(directory, name))}.*")
    for file in files:
        _check_regular(file, "checkpoint")
    return any(file.endswith(".index") for file in files) or os.path.isfile(os.path.join(directory, name))


def _read_bundle(prefix, path, check_room):
    try:
        reader = tf.train.load_checkpoint(prefix)
        shapes = {name: shape for name, shape in reader.get_variable_to_shape_map().items() if not _is_state(name)}
        for name, shape in shapes.items():
            check_room(name, shape)
        return {name: reader.get_tensor(name) for name in shapes}
    except Exception as error:  # damage shows as DataLoss, OutOfRange, NotFound, IndexError, ...
        if "does not fit this model" in str(error):
            raise
        raise ValueError(
            f"{path!r} is a damaged TF1 checkpoint: {first_line(error)}. Get its files again, all of them."
        ) from error


def _is_state(name):
    unnamed = name.split("/")[0].split("_")[0] == "Variable"  # the released optimizers leave their slots unnamed
    return unnamed or any(part in _TRAINING_STATE for part in name.split("/"))
