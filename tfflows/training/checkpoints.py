"""Checkpoints: an explicit map from unique names to variables, written so that none is ever lost.

A checkpoint is a pair of files in TensorFlow's own format, `step-1000.data-00000-of-00001` and `step-1000.index`, with the
tensors under the names of the map. There is no object graph, so that it survives refactoring and moves between devices, and
`tf.train.load_checkpoint` reads it.

Both files are written in a temporary directory and moved into place, the index last: a checkpoint exists if and only if its index
does. At whatever moment a process is killed or a disk runs full, the earlier checkpoints are whole.
"""

import contextlib
import hashlib
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import tensorflow as tf
from absl import logging

from tfflows.files import atomic_write, first_line, fsync_directory, plain_directory

_METADATA = "metadata/"  # names that the checkpoint itself adds: metadata/step, metadata/value
_TEMPORARY_PREFIX = ".writing-"
_INDEX_NAME = re.compile(r"step-(\d+)\.index")


class CheckpointError(RuntimeError):
    """A checkpoint could not be written, read or matched; the message says what to do."""


class Checkpoints:
    """Saves and restores a map of variables; keeps the newest checkpoints and the best one.

    Args:
      directory: Where the checkpoints lie, such as `workdir/checkpoints`; created by the first save.
      variables: The variables by unique names, such as `model/levels/0/...`, `optimizer/...`, under any `tf.distribute` strategy;
        values are saved, not devices.
      max_to_keep: Number of newest checkpoints that stay.
      best_directory: Where `save_best` keeps the best one; default: `best` beside `directory`.
      chief: Whether this process writes. Every worker must call `save`, since reading a variable may need all of them, but only
        the chief writes.

    Raises:
      ValueError: If a name is empty or starts with 'metadata/', or `max_to_keep` is below 1.

    Example:
      >>> import tempfile
      >>> import tensorflow as tf
      >>> from tfflows.training.checkpoints import Checkpoints
      >>> weight = tf.Variable(1.0)
      >>> with tempfile.TemporaryDirectory() as directory:
      ...     checkpoints = Checkpoints(directory, {"model/weight": weight})
      ...     checkpoints.save(step=10)
      ...     _ = weight.assign(2.0)
      ...     print(checkpoints.restore_latest(), weight.numpy())
      10 1.0
    """

    def __init__(
        self,
        directory: str | os.PathLike,
        variables: Mapping[str, tf.Variable],
        max_to_keep: int = 3,
        best_directory: str | os.PathLike | None = None,
        chief: bool = True,
    ) -> None:
        if max_to_keep < 1:
            raise ValueError(f"max_to_keep must be at least 1, got {max_to_keep}.")
        for name in variables:
            if not name or name.startswith(_METADATA):
                raise ValueError(f"A variable cannot be saved under the name {name!r}.")
        self._variables = dict(variables)
        self._max_to_keep = max_to_keep
        self._chief = chief
        self._newest = _Directory(directory)
        directory = pathlib.Path(directory)
        self._best = _Directory(best_directory or directory.parent / "best")
        self._unreadable: set[int] = set()
        # Read now and not when saving: every worker must then come to the same decision.
        self._best_step, self._best_value = self._read_best()

    @property
    def steps(self) -> list[int]:
        """The steps that have a checkpoint in the directory, ascending."""
        return self._newest.steps()

    def path_of(self, step: int) -> pathlib.Path:
        """The path of the files of a step's checkpoint, without their suffixes."""
        return self._newest.prefix(step)

    @property
    def best(self) -> tuple[int, float] | None:
        """Step and value of the best checkpoint, or None."""
        return None if self._best_step is None else (self._best_step, self._best_value)

    def fingerprints(self) -> dict[str, str]:
        """`{name: hash}` of the checkpoints, so that workers can tell whether they see the same ones.

        Hashed are the indices. They are small, and hold the checksums of all tensors, which are compared when one is restored.
        """
        files = [self.path_of(step).with_suffix(".index") for step in self.steps]
        return {file.stem: hashlib.sha256(file.read_bytes()).hexdigest()[:12] for file in files}

    def save(self, step: int) -> None:
        """Saves the variables as the checkpoint of `step` and drops the oldest beyond `max_to_keep`.

        A step that is saved already is not written again.

        Raises:
          CheckpointError: If it cannot be written (such as on a full disk); the earlier checkpoints are as before and nothing
            is left behind. Also if the directory holds a later step that was not restored: continuing would mix two runs.
        """
        tensors = self._read_variables()
        if not self._chief:
            return
        good = [s for s in self.steps if s not in self._unreadable]
        if good and good[-1] > step:
            raise CheckpointError(
                f"Cannot save step {step}: {self._newest.path} holds a checkpoint of step "
                f"{good[-1]}. Restore it first, or use another directory."
            )
        if step in good:
            return
        self._newest.clean()
        self._newest.write(step, tensors, replace=step in self._unreadable)
        # The damaged ones that were passed over must not take the place of good ones.
        self._newest.delete(self._unreadable - {step})
        self._unreadable.clear()
        self._newest.delete([*good, step][: -self._max_to_keep])
        self._newest.write_state()

    def save_best(self, step: int, value: float) -> bool:
        """Saves the variables as the best checkpoint if `value` is the lowest so far.

        Args:
          step: Step of the variables.
          value: What they reached, such as bits/dim; lower is better. All workers must give the same value.

        Returns:
          Whether it was saved. NaN never is.

        Raises:
          CheckpointError: If it cannot be written; the previous best one is as it was.
        """
        if not value < (float("inf") if self._best_value is None else self._best_value):
            return False
        tensors = self._read_variables()
        if self._chief:
            tensors[f"{_METADATA}value"] = tf.constant(value, tf.float64)
            self._best.clean()
            self._best.write(step, tensors, replace=True)
            self._best.delete(set(self._best.steps()) - {step})
            self._best.write_state()
        self._best_step, self._best_value = step, float(value)
        return True

    def restore_latest(self, partial: bool = False) -> int | None:
        """Restores the newest checkpoint that is whole.

        Every tensor is read and its checksum compared before any variable is changed. A damaged checkpoint is passed over, with a
        warning, for the one before.

        Args:
          partial: Whether the checkpoint may hold more names than the variables, as when a model is evaluated without its
            optimizer. It must hold every variable in any case.

        Returns:
          The step restored, or None if there is no checkpoint at all.

        Raises:
          CheckpointError: If all are damaged, or if the newest whole one does not match the variables in names, shapes or dtypes.
        """
        steps = self.steps
        reasons: dict[int, str] = {}
        for step in reversed(steps):
            reason = self._newest.find_damage(step)
            if reason is None:
                self._assign(self._newest, step, partial)
                self._unreadable = set(reasons)
                if reasons:
                    logging.warning(
                        "Damaged: %s. Going on from the checkpoint of step %d (%s) instead.",
                        "; ".join(self._describe(s, r) for s, r in reasons.items()),
                        step,
                        self._newest.prefix(step),
                    )
                return step
            reasons[step] = reason
        if reasons:
            raise CheckpointError(
                f"Every checkpoint in {self._newest.path} is damaged: "
                + "; ".join(self._describe(s, r) for s, r in reasons.items())
                + ". Put back a copy, or delete this directory to start again from step 0."
            )
        return None

    def restore_best(self, partial: bool = False) -> int | None:
        """Restores the best checkpoint; like `restore_latest`, but with nothing to fall back to."""
        steps = self._best.steps()
        if not steps:
            return None
        step = steps[-1]
        reason = self._best.find_damage(step)
        if reason is not None:
            raise CheckpointError(
                f"The best checkpoint, {self._best.prefix(step)}, is damaged: {reason}. Select the "
                "last checkpoint instead, or delete it to have the next evaluation choose another."
            )
        self._assign(self._best, step, partial)
        return step

    def restore_step(self, step: int) -> None:
        """Restores the checkpoint of a step, which may hold more names than the variables.

        Raises:
          FileNotFoundError: If there is none.
          CheckpointError: If it is damaged, or does not match the variables in names, shapes or dtypes.
        """
        if step not in self.steps:
            have = ", ".join(map(str, self.steps)) or "none"
            raise FileNotFoundError(f"No checkpoint of step {step} in {self._newest.path}; its steps: {have}.")
        reason = self._newest.find_damage(step)
        if reason is not None:
            raise CheckpointError(f"The checkpoint {self._newest.prefix(step)} is damaged: {reason}. Choose another.")
        self._assign(self._newest, step, partial=True)

    def _describe(self, step, reason):
        return f"{self._newest.prefix(step)} ({reason})"

    def _read_variables(self):
        return {name: v.read_value() for name, v in self._variables.items()}

    def _assign(self, directory, step, partial):
        with directory.reader(step) as reader:
            _check_match(directory.prefix(step), reader, self._variables, partial)
            for name, variable in self._variables.items():
                variable.assign(reader.get_tensor(name))

    def _read_best(self):
        steps = self._best.steps()
        if not steps:
            return None, None
        try:
            with self._best.reader(steps[-1]) as reader:
                return steps[-1], float(reader.get_tensor(f"{_METADATA}value"))
        except Exception as error:  # as in find_damage
            logging.warning("Cannot read the best checkpoint: %s", first_line(error))
            return None, None


class _Directory:
    """The files of the checkpoints in one directory."""

    def __init__(self, path):
        self.path = pathlib.Path(path)

    def prefix(self, step: int) -> pathlib.Path:
        return self.path / f"step-{step}"

    @contextlib.contextmanager
    def reader(self, step: int) -> Iterator[Any]:
        """TensorFlow's reader of a checkpoint, which works within the context."""
        with plain_directory(self.path) as directory:
            yield tf.train.load_checkpoint(str(directory / self.prefix(step).name))

    def steps(self) -> list[int]:
        try:
            names = os.listdir(self.path)
        except FileNotFoundError:
            return []
        return sorted(int(match[1]) for match in map(_INDEX_NAME.fullmatch, names) if match)

    def write(self, step: int, tensors: Mapping[str, tf.Tensor], replace: bool = False) -> None:
        """Writes the checkpoint of `step`: all of it, or nothing and CheckpointError."""
        tensors = {**tensors, f"{_METADATA}step": tf.constant(step, tf.int64)}
        temporary = None
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            temporary = pathlib.Path(tempfile.mkdtemp(prefix=_TEMPORARY_PREFIX, dir=self.path))
            with plain_directory(temporary) as directory:
                _write_bundle(directory / self.prefix(step).name, tensors)
            if replace:
                self.delete([step])
            # The index last: it is what makes the checkpoint exist.
            for file in sorted(temporary.iterdir(), key=lambda f: f.suffix == ".index"):
                os.replace(file, self.path / file.name)
            fsync_directory(self.path)
        except (OSError, tf.errors.OpError) as error:
            intact = ", ".join(map(str, self.steps())) or "none"
            raise CheckpointError(
                f"Cannot write the checkpoint of step {step} to {self.path}: {first_line(error)}. "
                f"The checkpoints saved before are intact (steps: {intact}). Free some space, then "
                "run the same command again to go on from the last one."
            ) from error
        finally:
            if temporary is not None:
                shutil.rmtree(temporary, ignore_errors=True)

    def find_damage(self, step: int) -> str | None:
        """Reads every tensor of a checkpoint; None if it is whole, otherwise what is wrong."""
        try:
            with self.reader(step) as reader:
                for name in reader.get_variable_to_shape_map():
                    reader.get_tensor(name)
        except (MemoryError, tf.errors.ResourceExhaustedError):
            raise
        except Exception as error:  # damage shows as DataLoss, OutOfRange, IndexError, ...
            return first_line(error)
        return None

    def delete(self, steps: Iterable[int]) -> None:
        for step in steps:
            # The index first: half of a deleted checkpoint is a leftover, not a damaged one.
            (self.path / f"step-{step}.index").unlink(missing_ok=True)
            for file in self.path.glob(f"step-{step}.data-*"):
                file.unlink(missing_ok=True)

    def clean(self) -> None:
        """Removes what a killed process left behind: temporary directories, and data without an index."""
        steps = set(self.steps())
        for file in self.path.glob(f"{_TEMPORARY_PREFIX}*"):
            shutil.rmtree(file, ignore_errors=True)
        for file in self.path.glob(".checkpoint.*.tmp"):
            file.unlink(missing_ok=True)
        for file in self.path.glob("step-*.data-*"):
            match = re.match(r"step-(\d+)\.data-", file.name)
            if match and int(match[1]) not in steps:
                file.unlink(missing_ok=True)

    def write_state(self) -> None:
        """Writes the file that `tf.train.latest_checkpoint` reads. Nothing here depends on it."""
        names = [self.prefix(step).name for step in self.steps()]
        lines = [f'model_checkpoint_path: "{names[-1]}"']
        lines += [f'all_model_checkpoint_paths: "{name}"' for name in names]
        try:
            atomic_write(self.path / "checkpoint", "\n".join(lines) + "\n")
        except OSError as error:
            logging.warning("Cannot write %s: %s", self.path / "checkpoint", error)


def _write_bundle(prefix, tensors):
    names = list(tensors)
    with tf.device("CPU:0"):
        tf.raw_ops.SaveV2(
            prefix=str(prefix),
            tensor_names=names,
            shape_and_slices=[""] * len(names),
            tensors=[tf.identity(tensors[name]) for name in names],
        )
    for file in prefix.parent.iterdir():
        with open(file, "rb") as handle:
            os.fsync(handle.fileno())


def _check_match(prefix, reader, variables, partial):
    shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    stored = {name for name in shapes if not name.startswith(_METADATA)}
    problems = []
    missing = [name for name in variables if name not in stored]
    if missing:
        problems.append(f"it lacks {_name_some(missing)}")
    extra = sorted(stored - set(variables))
    if extra and not partial:
        problems.append(f"it holds {_name_some(extra)}, which are not variables of this run")
    misshapen = [
        f"{name} ({_form(shapes[name], dtypes[name])} there, {_form(variable.shape, variable.dtype)} here)"
        for name, variable in variables.items()
        if name in stored and (list(variable.shape) != list(shapes[name]) or variable.dtype != dtypes[name])
    ]
    if misshapen:
        problems.append(f"other shapes or dtypes: {_name_some(misshapen)}")
    if problems:
        raise CheckpointError(
            f"The checkpoint {prefix} belongs to another model: {'; '.join(problems)}. Run with "
            "the settings that it was saved with, or use another working directory."
        )


def _form(shape, dtype):
    return f"{tf.as_dtype(dtype).name}{list(shape)}"


def _name_some(names, number=5):
    more = f" and {len(names) - number} more" if len(names) > number else ""
    return ", ".join(names[:number]) + more
