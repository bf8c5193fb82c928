"""Sums over importance samples on disk, so that a long measurement can be interrupted."""

import dataclasses
import io
import json
import pathlib
import zipfile

import numpy as np

from tfflows.evaluation.log_weights import LogWeights
from tfflows.files import atomic_write

_FIELDS = [field.name for field in dataclasses.fields(LogWeights)]


def save(path, sums, description):
    """Writes `LogWeights` and the dictionary that tells what they are of, atomically."""
    content = io.BytesIO()
    arrays = {name: getattr(sums, name) for name in _FIELDS}
    np.savez(content, description=json.dumps(description, sort_keys=True), **arrays)
    atomic_write(path, content.getvalue())


def load(path, description):
    """Reads what `save` wrote of the same description.

    Raises:
      ValueError: if it is of another description (names what differs), or is not such a file.
    """
    remedy = f"Remove {path} to begin anew."
    try:
        with np.load(pathlib.Path(path), allow_pickle=False) as file:
            stored = json.loads(str(file["description"]))
            sums = LogWeights(*(file[name] for name in _FIELDS))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} does not hold sums of importance samples ({error}). {remedy}") from error
    wanted = json.loads(json.dumps(description))
    differing = sorted(name for name in stored.keys() | wanted.keys() if stored.get(name) != wanted.get(name))
    if differing:
        changes = ", ".join(f"{name} ({stored.get(name)} there, {wanted.get(name)} now)" for name in differing)
        raise ValueError(f"{path} is of another measurement: {changes}. {remedy}")
    return sums
