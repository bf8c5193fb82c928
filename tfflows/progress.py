"""The progress of a run: a bar on a terminal, an occasional line elsewhere."""

import contextlib
import json
import os
import pathlib
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any, TextIO

from tfflows.extras import MissingExtraError, require
from tfflows.files import atomic_write, read_json

TIMINGS_FILE = "timings.json"
"""In a workdir: the seconds that compiling took, by what was compiled."""

_PATIENCE = {True: 2.0, False: 10.0}  # seconds before anything is shown of a task, by whether there is a terminal


class Progress:
    """Shows the step, bits/dim, images per second and the time left.

    On a terminal it is a bar, if tqdm is installed; elsewhere a line every `seconds_between_lines`; on workers other than the
    chief nothing. Everything goes to standard error by default.

    Args:
      total: Step at which the run ends.
      initial: Step at which it starts or continues.
      images_per_step: Global batch size, for images per second; 0: no speed is shown.
      description: Text in front, such as 'train'.
      chief: Whether this process shows anything.
      seconds_between_lines: Seconds between two lines where there is no terminal.
      stream: A text stream; default: standard error.
      patience: Seconds in which nothing is shown; what ends before it leaves nothing.
      stays: Whether the last state stays on the screen or in the lines.
      compiles: Whether something is compiled before the first update. If this takes long, and inside of `shown`, it says so.

    Example:
      >>> import io
      >>> from tfflows.progress import Progress
      >>> stream = io.StringIO()
      >>> with Progress(total=4, stream=stream) as progress:
      ...     for step in range(4):
      ...         progress.update(step + 1, bits_per_dim=3.5)
      >>> print(stream.getvalue())
      train 4/4, bits/dim 3.5...
    """

    def __init__(
        self,
        total: int,
        initial: int = 0,
        images_per_step: int = 1,
        description: str = "train",
        chief: bool = True,
        seconds_between_lines: float = 30.0,
        stream: TextIO | None = None,
        patience: float = 0.0,
        stays: bool = True,
        compiles: bool = False,
    ) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._total, self._initial = total, initial
        self._images_per_step = images_per_step
        self._description = description
        self._seconds_between_lines = seconds_between_lines
        self._chief, self._stays = chief, stays
        self._step: float = initial
        self._scalars: dict[str, float] = {}
        self._note = ""
        self._lock = threading.RLock()  # a timer, and operations of TensorFlow's threads, write too
        now = time.monotonic()
        self._started, self._patience = now, patience
        # The first line comes when the patience ends, if there is any.
        self._last_line = now - (max(seconds_between_lines - patience, 0.0) if patience else 0.0)
        self._rate: float | None = None  # steps per second, smoothed
        self._rate_mark: tuple[float, float] | None = None
        self._bar = None
        self._has_bar = chief and self._stream.isatty() and _bar_type() is not None
        if not patience:
            self._show_bar()
        self._timer = None
        if compiles and chief and _console is not None:
            self._timer = threading.Timer(_PATIENCE[self._has_bar], self._say_compiling)
            self._timer.daemon = True
            self._timer.start()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def update(self, step: float, **scalars: float) -> None:
        """Moves to `step`; the scalars given (say `bits_per_dim=3.51`) replace those shown before.

        Cheap when called without scalars; reading a scalar from a device is at the caller's cost.
        """
        if not self._chief:
            return
        with self._lock:
            now = time.monotonic()
            self._end_compiling(now)
            self._scalars.update(scalars)
            self._measure(now, step)
            if now - self._started >= self._patience:
                self._show_bar()
            advanced, self._step = int(step) - int(self._step), step
            if self._bar is not None:
                self._bar.set_postfix_str(self._summary(), refresh=False)
                self._bar.update(advanced)
            elif not self._has_bar and now - self._last_line >= self._seconds_between_lines:
                self._write_line(now)

    def write(self, text: str) -> None:
        """Writes a line of text without breaking the bar."""
        if not self._chief:
            return
        with self._lock:
            if self._bar is not None:
                self._bar.write(text, file=self._stream)
            else:
                print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """Closes the bar, or writes a last line."""
        with self._lock:
            self._cancel_timer()
            if self._bar is not None:
                self._bar.refresh()
                self._bar.close()
            elif self._chief and self._stays and self._step > self._initial:
                self._write_line(time.monotonic())
            self._chief = self._has_bar = False
            self._bar = None

    def images_per_second(self) -> float | None:
        """The smoothed speed, without the first step, which traces; None before the second update."""
        return None if self._rate is None else self._rate * self._images_per_step

    def _show_bar(self):
        if self._bar is not None or not self._has_bar:
            return
        self._bar = _bar_type()(
            total=self._total,
            initial=int(self._step),
            desc=self._description,
            file=self._stream,
            dynamic_ncols=True,
            leave=self._stays,
            bar_format="{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{postfix}",
        )
        self._bar.set_postfix_str(self._summary(), refresh=False)

    def _say_compiling(self):
        """Called after a while without a first update."""
        with self._lock:
            if self._timer is None or not self._chief:
                return
            seconds = None if _console is None else _console.seconds_of(self._description)
            self._note = "compiling" if seconds is None else f"compiling, about {seconds:.0f} s the last time"
            if self._has_bar:
                self._show_bar()
                self._bar.set_postfix_str(self._summary())
            else:
                self._write_line(time.monotonic())

    def _end_compiling(self, now):
        if self._timer is None:
            return
        self._cancel_timer()
        self._note = ""
        seconds = now - self._started
        if _console is not None and seconds >= _PATIENCE[False]:
            _console.remember(self._description, seconds)

    def _cancel_timer(self):
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _measure(self, now, step):
        if self._rate_mark is None:
            self._rate_mark = (now, step)
            return
        then, marked_step = self._rate_mark
        if now - then < 0.5 or step <= marked_step:
            if self._rate is None and step > marked_step and now > then:
                self._rate = (step - marked_step) / (now - then)
            return
        rate = (step - marked_step) / (now - then)
        self._rate = rate if self._rate is None else 0.9 * self._rate + 0.1 * rate
        self._rate_mark = (now, step)

    def _summary(self):
        parts = [self._note] if self._note else []
        for name, value in self._scalars.items():
            label = "bits/dim" if name == "bits_per_dim" else name
            parts.append(f"{label} {float(value):.4g}")
        if self._rate is not None:
            if self._images_per_step:
                parts.append(f"{self.images_per_second():.4g} images/s")
            parts.append(f"ETA {_duration((self._total - self._step) / self._rate)}")
        return ", ".join(parts)

    def _write_line(self, now):
        self._last_line = now
        summary = self._summary()
        line = f"{self._description} {int(self._step)}/{self._total}" + (summary and f", {summary}")
        print(line, file=self._stream, flush=True)


class _Console:
    """What `shown` turns on: where the progress of tasks goes, and what is remembered of earlier ones."""

    def __init__(self, stream, timings):
        self.stream, self._timings = stream, timings
        self.tasks: list[Task] = []
        self._seconds = {}
        if timings is not None:
            with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
                self._seconds = {str(name): float(value) for name, value in read_json(timings).items()}

    def seconds_of(self, description):
        """How long compiling took the last time; None if nobody knows."""
        return self._seconds.get(description)

    def remember(self, description, seconds):
        self._seconds[description] = round(seconds, 1)
        if self._timings is not None and self._timings.parent.exists():
            with contextlib.suppress(OSError):  # such as a workdir that only may be read
                atomic_write(self._timings, json.dumps(self._seconds, indent=2) + "\n")


_console: _Console | None = None


@contextlib.contextmanager
def shown(timings: str | os.PathLike | None = None, stream: TextIO | None = None) -> Iterator[None]:
    """A context in which every `Task` that takes longer than a few seconds shows how far it is.

    Outside of it the library's tasks, such as an evaluation called from Python, print nothing.

    Args:
      timings: File that remembers the seconds that compiling takes, to say so the next time; None: they are forgotten.
      stream: A text stream; default: standard error.

    Example:
      >>> from tfflows import progress
      >>> with progress.shown(), progress.Task("evaluation", total=3) as task:
      ...     for number in range(3):  # too short to be shown
      ...         task.update(number + 1)
    """
    global _console
    before, _console = _console, _Console(stream, None if timings is None else pathlib.Path(timings))
    try:
        yield
    finally:
        _console = before


def is_shown() -> bool:
    """Whether a task that begins now would be shown."""
    return _console is not None


class Task:
    """Work of which one sees how far it is inside of `shown`, with the time left, once it has taken a few seconds.

    On a terminal it is a bar that goes when the task ends. Elsewhere it is a line after ten seconds and then every thirty.

    Args:
      description: What is done, such as 'evaluation'.
      total: How much there is to do, in any unit.
      compiles: Whether something is compiled before the first update.
      chief: Whether this process shows anything.
    """

    def __init__(self, description: str, total: int, compiles: bool = False, chief: bool = True) -> None:
        self._description, self._total = description, total
        self._compiles, self._chief = compiles, chief
        self._done, self._part = 0, 0.0
        self._counted: set[Hashable] = set()
        self._progress: Progress | None = None
        self._owner: _Console | None = None

    def __enter__(self) -> "Task":
        self._owner = _console
        if self._owner is not None:
            self._owner.tasks.append(self)
            stream = self._owner.stream if self._owner.stream is not None else sys.stderr
            self._progress = Progress(
                self._total,
                images_per_step=0,
                description=self._description,
                chief=self._chief,
                stream=stream,
                patience=_PATIENCE[stream.isatty()],
                stays=False,
                compiles=self._compiles,
            )
        return self

    def __exit__(self, *exception: Any) -> None:
        if self._owner is not None:
            self._owner.tasks.remove(self)
            self._progress.close()
        self._progress = None

    def update(self, done: int) -> None:
        """Says that so much is done."""
        self._done, self._part = done, 0.0
        self._show()

    def advance(self, number: int) -> None:
        """Says that so much more is done."""
        self.update(self._done + number)

    def count(self, keys: Iterable[Hashable]) -> None:
        """Says that these are done; what was counted before is not counted again."""
        self._counted.update(keys)
        self.update(len(self._counted))

    def part(self, fraction: float, size: int) -> None:
        """Says that `fraction` of the next `size` is done."""
        self._part = fraction * size
        self._show()

    def _show(self):
        if self._progress is not None:
            self._progress.update(self._done + self._part)


def innermost() -> Task | None:
    """The task that has begun last and goes on, if it is shown."""
    return _console.tasks[-1] if _console is not None and _console.tasks else None


def count(keys: Callable[[], Iterable[Hashable]]) -> None:
    """Counts what is done for the innermost task, if there is one that is shown.

    Args:
      keys: Gives what is done; called only if somebody sees it.
    """
    task = innermost()
    if task is not None:
        task.count(keys())


def _bar_type():
    try:
        return require("tqdm", "reproductions").tqdm
    except MissingExtraError:
        return None


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(max(seconds, 0.0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
