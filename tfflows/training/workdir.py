"""The working directory of a run: its experiment as JSON, one writer at a time."""

import contextlib
import fcntl
import json
import os
import pathlib
from collections.abc import Callable, Collection, Iterator, Mapping

from tfflows.files import atomic_write, read_json

EXPERIMENT_FILE = "experiment.json"
SIDE_BY_SIDE = "side_by_side"  # field of the number of parts that a run computes side by side, if it is not 1
_ABSENT = object()


class WorkdirError(ValueError):
    """The working directory cannot be used for this run; the message says what to do."""


def prepare_workdir(
    path: str | os.PathLike,
    experiment: Mapping,
    free_fields: Collection[str] = (),
    chief: bool = True,
    upgrade: Callable[[dict], Mapping] = dict,
    create: bool = True,
) -> None:
    """Creates the working directory, or checks that it belongs to the same experiment.

    A new directory gets `experiment.json`, with all fields of the experiment sorted by name. An existing one must hold equal
    values, except for `free_fields`, whose new values are recorded instead (say `num_steps`, so that a run can be prolonged).

    Args:
      path: The directory; parents are created.
      experiment: The experiment as a dictionary of JSON values (`dataclasses.asdict`).
      free_fields: Names of fields that may change between two starts of a run.
      chief: Whether this process may write. Other workers only compare.
      upgrade: Translates what a directory holds to what would be written today: renamed fields, say, or fields that came later.
      create: Whether to write; False only compares, and leaves the directory as it is.

    Raises:
      WorkdirError: If the directory holds another experiment or another value of a field, holds checkpoints but no experiment, or
        cannot be created, read or written.
    """
    path = pathlib.Path(path)
    wanted = _as_json_values(experiment)
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        raise WorkdirError(f"The path {str(path)!r} is not valid UTF-8. Give another workdir.") from None
    if create and chief:
        make_workdir(path)
    if (path / EXPERIMENT_FILE).exists():
        stored = _as_json_values(upgrade(read_experiment(path)))
        _check_same(path, stored, wanted, free_fields)
        if stored == wanted or not create:
            return
    elif any(path.glob("checkpoints/*")):
        raise WorkdirError(
            f"{path} holds checkpoints but no {EXPERIMENT_FILE}, so nothing says which experiment "
            "they belong to. Put the file back, or give another workdir."
        )
    elif not create:
        return
    if chief:
        try:
            atomic_write(path / EXPERIMENT_FILE, _to_json(wanted))
        except OSError as error:
            raise WorkdirError(
                f"Cannot write {path / EXPERIMENT_FILE}: {error}. Give a workdir with space that you may write to."
            ) from error


@contextlib.contextmanager
def described_workdir(
    path: str | os.PathLike,
    experiment: Mapping,
    free_fields: Collection[str] = (),
    chief: bool = True,
    upgrade: Callable[[dict], Mapping] = dict,
) -> Iterator[None]:
    """Calls `prepare_workdir`; enter it under the lock, so that the file of a run that is going on is never rewritten.

    If the context ends in an error before there is a checkpoint, a new `experiment.json` and what was written beside it about the
    run are removed again: nothing is saved, so the corrected command may use the directory.

    Raises:
      WorkdirError: As for `prepare_workdir`.
    """
    path = pathlib.Path(path)
    is_new = chief and not (path / EXPERIMENT_FILE).exists()
    before = set(path.glob("*.json"))
    prepare_workdir(path, experiment, free_fields, chief, upgrade)
    try:
        yield
    except Exception:
        if is_new and not any(path.glob("checkpoints/step-*.index")):
            for file in set(path.glob("*.json")) - before:
                file.unlink(missing_ok=True)
        raise


def read_experiment(path: str | os.PathLike) -> dict:
    """The experiment that a working directory holds, as a dictionary of JSON values.

    Raises:
      WorkdirError: If `path` holds none, or one that is not a JSON object.
    """
    file = pathlib.Path(path) / EXPERIMENT_FILE
    try:
        experiment = read_json(file)
    except FileNotFoundError as error:
        raise WorkdirError(
            f"{file} does not exist: {path} is not the working directory of a run. Check its path, or train first."
        ) from error
    except (OSError, ValueError) as error:
        raise WorkdirError(
            f"Cannot read {file}: {str(error).rstrip('.')}. Put the file back, or give another workdir."
        ) from error
    if not isinstance(experiment, dict):
        raise WorkdirError(f"{file} must hold a JSON object, but it holds {type(experiment).__name__}.")
    return experiment


def stored_side_by_side(path: str | os.PathLike) -> int | None:
    """The number of parts that the run in a working directory computes side by side, which stays; None if there is no run.

    Raises:
      WorkdirError: As for `read_experiment`.
    """
    if not (pathlib.Path(path) / EXPERIMENT_FILE).exists():
        return None
    return read_experiment(path).get(SIDE_BY_SIDE, 1)


def make_workdir(path: str | os.PathLike) -> None:
    """Creates a working directory with its parents; none is changed that exists.

    Raises:
      WorkdirError: If it cannot be created.
    """
    try:
        pathlib.Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkdirError(f"Cannot create the working directory {path}: {error}. Give another workdir.") from error


@contextlib.contextmanager
def lock_workdir(path: str | os.PathLike) -> Iterator[None]:
    """Holds a working directory for one training process; the lock ends with the process.

    The directory is made if need be. The temporary files that a killed process left in it are removed.

    Raises:
      WorkdirError: If another process holds it, or it cannot be written to.
    """
    file = pathlib.Path(path) / ".lock"
    try:
        make_workdir(path)
        opened = open(file, "a", encoding="utf-8")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise WorkdirError(
            f"Cannot write to the working directory {path}: {error}. Give a workdir that you may write to."
        ) from error
    with opened as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise WorkdirError(
                f"Another process is training in {path}. Wait for it or stop it, or give another workdir."
            ) from error
        except OSError:
            pass  # a file system without locks: continue as if there were none
        _remove_leftovers(path)
        yield


def _remove_leftovers(path):
    """Removes what an `atomic_write` leaves when it is killed; but nothing in folders that have locks of their own."""
    for directory, folders, files in os.walk(path):
        folders[:] = [name for name in folders if not os.path.exists(os.path.join(directory, name, ".lock"))]
        for name in files:
            if name.startswith(".") and name.endswith(".tmp"):
                pathlib.Path(directory, name).unlink(missing_ok=True)


def _check_same(path, stored, wanted, free_fields):
    differing = []
    for name in sorted(set(stored) | set(wanted)):
        old, new = stored.get(name, _ABSENT), wanted.get(name, _ABSENT)
        if name not in free_fields and old != new:
            differing.append(f"  {name}: {_show(old)} there, {_show(new)} now")
    if differing:
        raise WorkdirError(
            f"{path} holds a run with other settings:\n"
            + "\n".join(differing)
            + "\nGive another workdir, or the same settings as before."
        )


def _show(value):
    return "absent" if value is _ABSENT else json.dumps(value)


def _as_json_values(experiment):
    return json.loads(_to_json(dict(experiment)))  # tuples become lists, as when they are read back


def _to_json(experiment):
    return json.dumps(experiment, indent=2, sort_keys=True) + "\n"
