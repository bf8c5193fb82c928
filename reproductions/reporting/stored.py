"""Frozen dataclasses as JSON files: read strictly, written atomically, replaced only on request."""

import dataclasses
import json
import os
import pathlib
from typing import TypeVar

from reproductions.fields import provenance_fields
from reproductions.renamed import renamed
from tfflows.files import atomic_write

T = TypeVar("T")


def store(instance: object, path: str | os.PathLike, overwrite: bool = False) -> pathlib.Path:
    """Writes a dataclass to `path` as JSON.

    A file that already holds the same result is left as it is, even if its provenance differs (the fields declared as such, see
    `reproductions.fields`), because it names the run that first obtained the result.

    Args:
      instance: A dataclass of JSON values.
      path: Path of the file; its directory is created if necessary.
      overwrite: Whether to replace a file with a different result.

    Returns:
      The path of the file.

    Raises:
      FileExistsError: If the file holds a different result and `overwrite` is false. The message names the fields that differ.
    """
    path = pathlib.Path(path)
    new = json.loads(json.dumps(dataclasses.asdict(instance), allow_nan=False))
    if path.exists() and not overwrite:
        old = _read_object(path)
        differing = [
            name
            for name in sorted(old.keys() | new.keys())
            if name not in provenance_fields(type(instance)) and old.get(name) != new.get(name)
        ]
        if not differing:
            return path
        changes = ", ".join(f"{name} ({old.get(name)!r} there)" for name in differing)
        raise FileExistsError(
            f"{path} holds a different result; the differences are {changes}. Remove it, or ask to overwrite it."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, json.dumps(new, indent=2, allow_nan=False) + "\n")
    return path


def load(cls: type[T], path: str | os.PathLike) -> T:
    """Reads a file written by `store` as an instance of `cls`, which validates its own fields.

    Former names (`reproductions.renamed`) are read as the current ones.

    Args:
      cls: The dataclass.
      path: Path of the file.

    Raises:
      ValueError: If the file is not a JSON object, or a field is missing, unknown or not valid. The message names the file.
    """
    path = pathlib.Path(path)
    content = _read_object(path)
    fields = dataclasses.fields(cls)
    required = {
        field.name
        for field in fields
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    missing = sorted(required - content.keys())
    unknown = sorted(content.keys() - {field.name for field in fields})
    if missing or unknown:
        raise ValueError(f"{path}: missing fields {missing}, unknown fields {unknown}.")
    try:
        return cls(**content)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def _read_object(path: pathlib.Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON: {error}.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object, not {type(content).__name__}.")
    return renamed(content)
