"""Where foreign weights come from: a mapping, an .npz file or a TF1 checkpoint."""

import os
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

# Slots and averages that a TF1 training checkpoint holds beside the weights.
_TRAINING_STATE = ("ExponentialMovingAverage", "beta1_power", "beta2_power", "global_step", "Adam", "Adam_1")


def read_source(source):
    """Arrays by the authors' names.

    Args:
      source: A mapping `{name: array}`; the path of an `.npz` file, its keys the names (with keys `var/<name>`, those
        alone); or the path (or directory) of a TF1 checkpoint, of which the optimizer's own variables are left out.

    Returns:
      Dictionary from name to numpy array.

    Raises:
      FileNotFoundError: if there is nothing at the path.
      ValueError: if the file is neither.
    """
    if isinstance(source, Mapping):
        return {name: np.asarray(value) for name, value in source.items()}
    path = os.fspath(source)
    if path.endswith(".npz"):
        if not os.path.exists(path):
            raise FileNotFoundError(f"No weights at {path!r}.")
        return _read_npz(path)
    return _read_checkpoint(path)


def _read_npz(path):
    try:
        with np.load(path, allow_pickle=False) as arrays:
            weights = {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, EOFError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path!r} is no readable .npz file of plain arrays: {error}") from error
    prefixed = {name.removeprefix("var/"): value for name, value in weights.items() if name.startswith("var/")}
    return prefixed or weights


def _read_checkpoint(path):
    checkpoint = tf.train.latest_checkpoint(path) if os.path.isdir(path) else path
    if checkpoint is None or not tf.compat.v1.train.checkpoint_exists(checkpoint):
        raise FileNotFoundError(
            f"No weights at {path!r}: give an .npz file, the prefix of a TF1 checkpoint (without .index) or its directory."
        )
    reader = tf.train.load_checkpoint(checkpoint)
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if not _is_state(name)}


def _is_state(name):
    unnamed = name.split("/")[0].split("_")[0] == "Variable"  # the released optimizers leave their slots unnamed
    return unnamed or any(part in _TRAINING_STATE for part in name.split("/"))
