"""The progress of a run: a bar on a terminal, an occasional line elsewhere."""

import sys
import time
from typing import Any, TextIO

from tfflows.extras import MissingExtraError, require


class Progress:
    """Shows the step, bits/dim, images per second and the time left.

    On a terminal it is a bar, if tqdm is installed; elsewhere a line every `seconds_between_lines`; on workers other than the
    chief nothing. Everything goes to standard error by default.

    Args:
      total: Step at which the run ends.
      initial: Step at which it starts or continues.
      images_per_step: Global batch size, for images per second.
      description: Text in front, such as 'train'.
      chief: Whether this process shows anything.
      seconds_between_lines: Seconds between two lines where there is no terminal.
      stream: A text stream; default: standard error.

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
    ) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._total, self._initial = total, initial
        self._images_per_step = images_per_step
        self._description = description
        self._seconds_between_lines = seconds_between_lines
        self._chief = chief
        self._step = initial
        self._scalars: dict[str, float] = {}
        now = time.monotonic()
        self._last_line = now
        self._rate: float | None = None  # steps per second, smoothed
        self._rate_mark: tuple[float, int] | None = None
        self._bar = None
        bar = _bar_type() if chief and self._stream.isatty() else None
        if bar is not None:
            self._bar = bar(
                total=total,
                initial=initial,
                desc=description,
                file=self._stream,
                dynamic_ncols=True,
                bar_format="{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{postfix}",
            )
            self._bar.set_postfix_str(self._summary(), refresh=False)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def update(self, step: int, **scalars: float) -> None:
        """Moves to `step`; the scalars given (say `bits_per_dim=3.51`) replace those shown before.

        Cheap when called without scalars; reading a scalar from a device is at the caller's cost.
        """
        if not self._chief:
            return
        self._scalars.update(scalars)
        now = time.monotonic()
        self._measure(now, step)
        advanced, self._step = step - self._step, step
        if self._bar is not None:
            self._bar.set_postfix_str(self._summary(), refresh=False)
            self._bar.update(advanced)
        elif now - self._last_line >= self._seconds_between_lines:
            self._write_line(now)

    def write(self, text: str) -> None:
        """Writes a line of text without breaking the bar."""
        if not self._chief:
            return
        if self._bar is not None:
            self._bar.write(text, file=self._stream)
        else:
            print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """Closes the bar, or writes a last line."""
        if self._bar is not None:
            self._bar.refresh()
            self._bar.close()
        elif self._chief and self._step > self._initial:
            self._write_line(time.monotonic())
        self._chief = False
        self._bar = None

    def images_per_second(self) -> float | None:
        """The smoothed speed, without the first step, which traces; None before the second update."""
        return None if self._rate is None else self._rate * self._images_per_step

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
        parts = []
        for name, value in self._scalars.items():
            label = "bits/dim" if name == "bits_per_dim" else name
            parts.append(f"{label} {float(value):.4g}")
        if self._rate is not None:
            parts.append(f"{self.images_per_second():.4g} images/s")
            parts.append(f"ETA {_duration((self._total - self._step) / self._rate)}")
        return ", ".join(parts)

    def _write_line(self, now):
        self._last_line = now
        summary = self._summary()
        line = f"{self._description} {self._step}/{self._total}" + (summary and f", {summary}")
        print(line, file=self._stream, flush=True)


def _bar_type():
    try:
        return require("tqdm", "reproductions").tqdm
    except MissingExtraError:
        return None


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(max(seconds, 0.0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
