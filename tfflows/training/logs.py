"""The readable record of a run: metrics.jsonl and TensorBoard, continued exactly on restart."""

import contextlib
import json
import math
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf
from absl import logging

from tfflows.files import atomic_write, first_line

METRICS_FILE = "metrics.jsonl"
TENSORBOARD_DIRECTORY = "tensorboard"


class LogError(RuntimeError):
    """The record of a run could not be written; the message says what to do."""


class MetricLogger:
    """Writes scalars to `metrics.jsonl` and to TensorBoard; to the former only if that package is not installed.

    On construction both are cut at the step that was restored: what a killed run wrote after its last checkpoint is dropped, as
    it will be written again. So, apart from times, a run with interruptions leaves the same lines as one without. For that, log
    everything of a step, call `flush`, and then save the checkpoint of the step.

    Args:
      workdir: The working directory; created if need be. None: nothing is written, only callbacks are called.
      start_step: Step of the restored checkpoint; records up to and including it stay. None for a run that starts from nothing:
        no record stays.
      chief: Whether this process writes; the methods of other workers do nothing.
      callbacks: Each is called as `callback(step, scalars)` with the plain values of each `log`, after it is written.

    Raises:
      LogError: Here and in each method, if the files cannot be written, such as on a full disk.

    Example:
      >>> import tempfile
      >>> from tfflows.training.logs import METRICS_FILE, MetricLogger, read_metrics
      >>> with tempfile.TemporaryDirectory() as workdir:
      ...     with MetricLogger(workdir, start_step=None) as logger:
      ...         logger.log(50, {"bits_per_dim": 3.5})
      ...     print(read_metrics(f"{workdir}/{METRICS_FILE}"))
      [{'step': 50, 'bits_per_dim': 3.5}]
    """

    def __init__(
        self,
        workdir: str | os.PathLike | None,
        start_step: int | None,
        chief: bool = True,
        callbacks: Sequence[Callable[[int, Mapping], None]] = (),
    ) -> None:
        self._file, self._writer, self._scalar_pb = None, None, None
        self._callbacks = tuple(callbacks) if chief else ()
        if not chief or workdir is None:
            return
        self._workdir = workdir = pathlib.Path(workdir)
        last = -1 if start_step is None else start_step
        with self._clear_errors():
            workdir.mkdir(parents=True, exist_ok=True)
            cut_metrics(workdir / METRICS_FILE, last)
            cut_tensorboard(workdir / TENSORBOARD_DIRECTORY, last)
            self._scalar_pb = _find_scalar_pb()
            if self._scalar_pb is not None:
                self._writer = tf.summary.create_file_writer(str(workdir / TENSORBOARD_DIRECTORY))
            # Unbuffered: one write per line, so that a kill leaves at most one partial line.
            self._file = open(workdir / METRICS_FILE, "ab", buffering=0)  # noqa: SIM115 (stays open until `close`)

    def __enter__(self) -> "MetricLogger":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def log(self, step: int, scalars: Mapping[str, object]) -> None:
        """Writes one line `{"step": step, **scalars}` and each number among them to TensorBoard, and calls the callbacks.

        Args:
          step: Number of steps done.
          scalars: By name: numbers, scalar tensors or strings. Values that are not finite become null, as JSON has no name for
            them.
        """
        if self._file is None and not self._callbacks:
            return
        record = {name: _as_plain(value) for name, value in scalars.items()}
        if self._file is not None:
            self._write(int(step), record)
        for callback in self._callbacks:
            callback(int(step), dict(record))

    def _write(self, step, record):
        line = json.dumps({"step": step, **record}, allow_nan=False).encode() + b"\n"
        with self._clear_errors():
            view = memoryview(line)
            while view:
                view = view[self._file.write(view) :]
            if self._writer is not None:
                with self._writer.as_default(step=step):
                    # One event for all of them: one op per scalar takes three times as long.
                    tf.summary.experimental.write_raw_pb(_serialized_summary(record, self._scalar_pb))

    def flush(self) -> None:
        """Makes sure that everything logged is on disk; call it before saving a checkpoint.

        Raises:
          LogError: Also if the file was deleted or moved away, as with its directory: nothing would be left of the run.
        """
        if self._file is None:
            return
        with self._clear_errors():
            _check_in_place(self._file, self._workdir / METRICS_FILE)
            os.fsync(self._file.fileno())
            if self._writer is not None:
                self._writer.flush()

    def close(self) -> None:
        """Flushes and closes both; later calls do nothing."""
        if self._file is None:
            return
        try:
            self.flush()
            if self._writer is not None:
                with self._clear_errors():
                    self._writer.close()
        finally:
            self._file.close()
            self._file, self._writer = None, None

    @contextlib.contextmanager
    def _clear_errors(self):
        try:
            yield
        except _FileGone as error:
            raise LogError(
                f"{error} was deleted or moved while the run was going on, and nothing more is saved. Put the working directory "
                "back, or give another one, and run the same command again."
            ) from None
        except (OSError, tf.errors.OpError) as error:
            raise LogError(
                f"Cannot write the record of the run to {self._workdir}: {first_line(error)}. "
                "Checkpoints are not touched: free some space, then run the same command again to "
                "go on from the last one."
            ) from error


class _FileGone(Exception):
    """An open file is no longer where it was opened."""


def _check_in_place(file, path):
    try:
        in_place = os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        in_place = False
    if not in_place:
        raise _FileGone(path)


def read_metrics(path: str | os.PathLike) -> list[dict]:
    """The records of a metrics file, oldest first, without lines that a kill cut short."""
    return [record for _, record in _read_lines(pathlib.Path(path))]


def cut_metrics(path: str | os.PathLike, last_step: int) -> None:
    """Drops the lines of steps after `last_step`, and lines that are not records, atomically."""
    path = pathlib.Path(path)
    if not path.exists():
        return
    kept = b"".join(line for line, record in _read_lines(path) if record["step"] <= last_step)
    if kept != path.read_bytes():
        atomic_write(path, kept)


def cut_tensorboard(directory: str | os.PathLike, last_step: int) -> None:
    """Drops the events of steps after `last_step` from each event file, each file atomically.

    A file that was cut short by a kill keeps its whole records; one without any is removed.
    """
    for leftover in pathlib.Path(directory).glob(".events.*.tmp"):  # of a cut that was killed
        leftover.unlink()
    for path in sorted(pathlib.Path(directory).glob("events.out.tfevents.*")):
        records, whole = _read_records(path)
        kept = [record for record in records if _is_kept(record, last_step)]
        if whole and len(kept) == len(records) and any(map(_has_summary, kept)):
            continue
        if not any(map(_has_summary, kept)):
            path.unlink()
            continue
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            with tf.io.TFRecordWriter(str(temporary)) as writer:
                for record in kept:
                    writer.write(record)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def _read_lines(path):
    """Pairs of a line's bytes and its record, leaving out what is not a record."""
    pairs = []
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), start=1):
        try:
            record = json.loads(line)
            if not line.endswith(b"\n") or type(record["step"]) is not int or not all(map(_is_plain, record.values())):
                raise ValueError
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            logging.warning("Line %d of %s is not a whole record and is left out.", number, path)
            continue
        pairs.append((line, record))
    return pairs


def _is_plain(value):
    return value is None or isinstance(value, int | float | str)


def _read_records(path):
    """The serialized events that can be read, and whether they are the whole file."""
    records = []
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            records.append(record)
    except (tf.errors.DataLossError, tf.errors.OutOfRangeError):
        return records, False
    return records, True


def _is_kept(record, last_step):
    event = tf.compat.v1.Event.FromString(record)
    return not event.HasField("summary") or event.step <= last_step


def _has_summary(record):
    return tf.compat.v1.Event.FromString(record).HasField("summary")


def _find_scalar_pb():
    """TensorBoard's `scalar_pb`; None, with an info line in the log, if it is not installed."""
    try:
        from tensorboard.plugins.scalar.summary import scalar_pb
    except ImportError:
        logging.info("TensorBoard is not installed: metrics go to %s alone.", METRICS_FILE)
        return None
    return scalar_pb


def _serialized_summary(record, scalar_pb):
    """The numbers of a record as one `Summary`: serialized messages that follow each other are one message."""
    numbers = {name: value for name, value in record.items() if isinstance(value, int | float)}
    return b"".join(scalar_pb(name, value).SerializeToString() for name, value in numbers.items())


def _as_plain(value):
    if hasattr(value, "numpy"):
        value = value.numpy()
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
