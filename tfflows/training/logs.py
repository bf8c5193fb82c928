"""The readable record of a run: metrics.jsonl and TensorBoard, continued exactly on restart."""

import contextlib
import json
import math
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from tfflows.files import atomic_write, first_line

METRICS_FILE = "metrics.jsonl"
TENSORBOARD_DIRECTORY = "tensorboard"
FINAL = "final_"
"""Begins the names of what was measured after the last step."""

_PICTURES = "pictures/"
_HYPERPARAMETERS, _SESSION_END = "_hparams_/session_start_info", "_hparams_/session_end_info"


class LogError(RuntimeError):
    """The record of a run could not be written; the message says what to do."""


class MetricLogger:
    """Writes scalars to `metrics.jsonl` and to TensorBoard; to the former only if that package is not installed.

    TensorBoard also gets histograms, pictures and hyper-parameters. On construction both are cut at the step that was restored:
    what a killed run wrote after its last checkpoint is dropped, as it will be written again. So, apart from times, a run with
    interruptions leaves the same lines as one without. For that, log everything of a step, call `flush`, and then save the
    checkpoint of the step.

    Args:
      workdir: The working directory; created if need be. None: nothing is written, only callbacks are called.
      start_step: Step of the restored checkpoint; records up to and including it stay. None for a run that starts from nothing:
        no record stays.
      chief: Whether this process writes; the methods of other workers do nothing.
      callbacks: Each is called as `callback(step, scalars)` with the plain values of each `log`, after it is written.
      hyperparameters: What TensorBoard's HParams page shows of the run, in place of what an earlier start of it gave: numbers,
        truth values and strings by name.
      is_end: Whether the end of the run is logged (`log_final`, `log_pictures`): what an earlier end left is dropped.

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
        hyperparameters: Mapping[str, object] | None = None,
        is_end: bool = False,
    ) -> None:
        self._file, self._writer = None, None
        self._callbacks = tuple(callbacks) if chief else ()
        if not chief or workdir is None:
            return
        self._workdir = workdir = pathlib.Path(workdir)
        last = -1 if start_step is None else start_step
        with self._clear_errors():
            workdir.mkdir(parents=True, exist_ok=True)
            cut_metrics(workdir / METRICS_FILE, last, (FINAL,) if is_end else ())
            replaced = [
                *([_HYPERPARAMETERS, _SESSION_END] if hyperparameters else []),
                *([FINAL, _PICTURES, _SESSION_END] if is_end else []),
            ]
            cut_tensorboard(workdir / TENSORBOARD_DIRECTORY, last, replaced)
            if _has_tensorboard():
                self._writer = tf.summary.create_file_writer(str(workdir / TENSORBOARD_DIRECTORY))
                if hyperparameters:
                    self._write_summary(0, _summary_of_hyperparameters(hyperparameters))
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
                self._write_summary(step, _summary_of_scalars(record))

    def _write_summary(self, step, *parts):
        """Writes one event of serialized summaries: messages that follow each other are one message."""
        with self._writer.as_default(step=step):
            # One event for all of them: one op per part takes three times as long.
            tf.summary.experimental.write_raw_pb(b"".join(parts))

    def log_histograms(self, step: int, values: Callable[[], Mapping[str, np.ndarray]]) -> None:
        """Writes the histogram of each array to TensorBoard.

        Args:
          step: Number of steps done.
          values: Gives the arrays by name; called only if they are written.
        """
        if self._writer is None:
            return
        arrays = values()
        if arrays:
            with self._clear_errors():
                self._write_summary(int(step), *(_summary_of_histogram(name, own) for name, own in arrays.items()))

    def log_final(self, step: int, scalars: Mapping[str, object]) -> None:
        """Logs what was measured after the last step, under names with `FINAL` in front, and that the run ended well.

        Args:
          step: Number of steps done.
          scalars: As for `log`.
        """
        self.log(step, {f"{FINAL}{name}": value for name, value in scalars.items()})
        if self._writer is not None:
            with self._clear_errors():
                self._write_summary(0, _summary_of_end())

    def log_pictures(self, step: int, paths: Mapping[str, str | os.PathLike]) -> None:
        """Shows PNG files in TensorBoard.

        Args:
          step: Number of steps done.
          paths: The files by name.
        """
        if self._writer is None or not paths:
            return
        with self._clear_errors():
            files = {name: pathlib.Path(path).read_bytes() for name, path in paths.items()}
            self._write_summary(int(step), *(_summary_of_picture(name, png) for name, png in files.items()))

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


def cut_metrics(path: str | os.PathLike, last_step: int, dropped: Sequence[str] = ()) -> None:
    """Drops the lines of steps after `last_step`, and lines that are not records, atomically.

    Args:
      path: The file; nothing is done if there is none.
      last_step: Last step whose lines stay.
      dropped: Lines of which a name begins with one of these are dropped too.
    """
    path = pathlib.Path(path)
    if not path.exists():
        return
    kept = b"".join(
        line for line, record in _read_lines(path) if record["step"] <= last_step and not _begins(record, dropped)
    )
    if kept != path.read_bytes():
        atomic_write(path, kept)


def cut_tensorboard(directory: str | os.PathLike, last_step: int, dropped: Sequence[str] = ()) -> None:
    """Drops the events of steps after `last_step` from each event file, each file atomically.

    A file that was cut short by a kill keeps its whole records; one without any is removed.

    Args:
      directory: The directory of the files.
      last_step: Last step whose events stay.
      dropped: Events of which a tag begins with one of these are dropped too.
    """
    for leftover in pathlib.Path(directory).glob(".events.*.tmp"):  # of a cut that was killed
        leftover.unlink()
    for path in sorted(pathlib.Path(directory).glob("events.out.tfevents.*")):
        records, whole = _read_records(path)
        kept = [record for record in records if _is_kept(record, last_step, dropped)]
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


def _is_kept(record, last_step, dropped):
    event = tf.compat.v1.Event.FromString(record)
    if not event.HasField("summary"):
        return True
    return event.step <= last_step and not _begins((value.tag for value in event.summary.value), dropped)


def _begins(names, beginnings):
    return bool(beginnings) and any(name.startswith(tuple(beginnings)) for name in names)


def _has_summary(record):
    return tf.compat.v1.Event.FromString(record).HasField("summary")


def _has_tensorboard():
    """Whether TensorBoard is installed; if not, an info line in the log says what follows."""
    try:
        import tensorboard.plugins.scalar.summary  # noqa: F401
    except ImportError:
        logging.info("TensorBoard is not installed: metrics go to %s alone.", METRICS_FILE)
        return False
    return True


def _summary_of_scalars(record):
    """The numbers of a record as one serialized `Summary`."""
    from tensorboard.plugins.scalar.summary import scalar_pb

    numbers = {name: value for name, value in record.items() if isinstance(value, int | float)}
    return b"".join(scalar_pb(name, value).SerializeToString() for name, value in numbers.items())


def _summary_of_histogram(name, values):
    from tensorboard.plugins.histogram.summary_v2 import histogram_pb

    return histogram_pb(name, values).SerializeToString()


def _summary_of_hyperparameters(hyperparameters):
    from tensorboard.plugins.hparams import api

    return api.hparams_pb(dict(hyperparameters)).SerializeToString()


def _summary_of_end():
    from tensorboard.plugins.hparams import api_pb2, summary

    return summary.session_end_pb(api_pb2.STATUS_SUCCESS).SerializeToString()


def _summary_of_picture(name, png):
    """A PNG file as the image plugin stores it: width, height and the file, as strings."""
    from tensorboard.plugins.image.metadata import create_summary_metadata

    width, height = (int.from_bytes(png[start : start + 4], "big") for start in (16, 20))  # of the header
    summary = tf.compat.v1.Summary()
    value = summary.value.add(
        tag=f"{_PICTURES}{name}",
        tensor=tf.make_tensor_proto([str(width).encode(), str(height).encode(), png], tf.string),
    )
    # TensorBoard's message is of another class than TensorFlow's.
    value.metadata.ParseFromString(create_summary_metadata(None, None).SerializeToString())
    return summary.SerializeToString()


def _as_plain(value):
    if hasattr(value, "numpy"):
        value = value.numpy()
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
