"""The metrics of the steps: refused if they are not finite, summed, and logged as means at regular intervals."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf

from tfflows.progress import Progress
from tfflows.training.logs import MetricLogger


class TrainingDiverged(RuntimeError):
    """The loss was not finite."""


@dataclasses.dataclass
class TrainingState:
    """What a checkpoint holds besides parameters and optimizer: enough to continue as if nothing had happened.

    Attributes:
      step: Number of steps done.
      seconds: Wall-clock time of all steps so far.
      window: Sums of the metrics since the last logged step, by name; empty right after it.
    """

    step: int = 0
    seconds: float = 0.0
    window: dict[str, float] = dataclasses.field(default_factory=dict)


class StepMetrics:
    """Updates a `TrainingState` with the metrics of the steps that were taken, and logs them.

    Apart from times, what it logs does not depend on how many steps are added at once.

    Args:
      state: Updated in place.
      logger: Where lines are logged.
      progress: Where the progress is shown.
      names: Names of the metrics; `bits_per_dim` is among them.
      learning_rate: Learning rate as a function of the step, for the log.
      images_per_step: Global batch size.
      num_steps: Step after which a line is logged in any case.
      log_every: Number of steps between lines.
    """

    def __init__(
        self,
        state: TrainingState,
        logger: MetricLogger,
        progress: Progress,
        names: Sequence[str],
        learning_rate: Callable[[int], float],
        images_per_step: int,
        num_steps: int,
        log_every: int,
    ) -> None:
        self._state = state
        self._logger = logger
        self._progress = progress
        self._names = list(names)
        self._learning_rate = learning_rate
        self._images_per_step = images_per_step
        self._num_steps = num_steps
        self._log_every = log_every
        self._added_at = time.monotonic()
        self._logged_step, self._logged_seconds = state.step, state.seconds
        # A run that ended between two lines has logged one there, so a longer one may begin with an empty window.
        self._window_steps = state.step % log_every if state.window else 0
        self.last_line: dict[str, float] = {}

    def add(self, metrics: tf.Tensor) -> None:
        """Accounts for the next steps; each is given an equal part of the time since the last call.

        Args:
          metrics: `[steps, len(names)]`, one row per step.

        Raises:
          TrainingDiverged: If a metric is not finite; the message names the step, and the state is then the one before it.
        """
        rows = metrics.numpy().tolist()  # waits for the device
        now = time.monotonic()
        seconds, self._added_at = (now - self._added_at) / len(rows), now
        for row in rows:
            self._add_step(dict(zip(self._names, row, strict=True)), seconds)
        self._progress.update(self._state.step, bits_per_dim=rows[-1][self._names.index("bits_per_dim")])

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """A context whose time does not count as time of steps."""
        started = time.monotonic()
        yield
        self._added_at += time.monotonic() - started

    def _add_step(self, metrics, seconds):
        state = self._state
        _check_finite(metrics, state.step + 1)
        state.step += 1
        state.seconds += seconds
        for name, value in metrics.items():
            state.window[name] = state.window.get(name, 0.0) + value
        self._window_steps += 1
        if state.step % self._log_every == 0 or state.step == self._num_steps:
            self._log()

    def _log(self):
        state = self._state
        images = (state.step - self._logged_step) * self._images_per_step
        self.last_line = {
            **{name: total / self._window_steps for name, total in state.window.items()},
            "learning_rate": self._learning_rate(state.step - 1),
            "seconds": state.seconds,
            "images_per_second": images / (state.seconds - self._logged_seconds),
        }
        self._logger.log(state.step, self.last_line)
        state.window, self._window_steps = {}, 0
        self._logged_step, self._logged_seconds = state.step, state.seconds


def _check_finite(metrics, step):
    bad = [name for name, value in metrics.items() if not math.isfinite(value)]
    if bad:
        raise TrainingDiverged(
            f"{', '.join(bad)} not finite at step {step}. All checkpoints are from earlier steps. A longer warm-up, a lower "
            "learning rate or another seed usually helps; give another workdir with changed settings."
        )
