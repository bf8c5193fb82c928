"""The training loop: steps, what they are logged with, checkpoints, evaluations, and what happens when one of them goes wrong."""

import contextlib
import dataclasses
import math
import os
import pathlib
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from tfflows.devices.stopping import make_any_worker, stop_on_sigterm
from tfflows.devices.strategies import default_steps_per_execution, is_chief
from tfflows.evaluation.bits_per_dim import BitsPerDim
from tfflows.progress import Progress
from tfflows.tracing.finite import SINGULAR
from tfflows.training.checkpoints import Checkpoints
from tfflows.training.logs import MetricLogger
from tfflows.training.train_step import make_several_steps, steps_before


class TrainingDiverged(RuntimeError):
    """The loss was not finite, or a matrix that a step needs the inverse of was singular."""


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
            f"{', '.join(bad)} not finite at step {step}. A longer warm-up, a lower learning rate or another seed usually helps."
        )


class StateVariables:
    """The variables that carry a `TrainingState` through a checkpoint."""

    def __init__(self, metric_names: Sequence[str]) -> None:
        """Creates the variables; must be called in the scope of the strategy.

        Args:
          metric_names: Names of the metrics of a step.
        """
        self._names = sorted(metric_names)
        self._step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._seconds = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self._window = tf.Variable(np.zeros([len(self._names)]), trainable=False)

    def variables(self) -> dict[str, tf.Variable]:
        """`{name: variable}` for the checkpoint."""
        return {"loop/step": self._step, "loop/seconds": self._seconds, "loop/window": self._window}

    def store(self, state: TrainingState) -> None:
        """Puts `state` into the variables."""
        self._step.assign(state.step)
        self._seconds.assign(state.seconds)
        self._window.assign([state.window.get(name, 0.0) for name in self._names])

    def load(self) -> TrainingState:
        """The state that the variables hold."""
        sums = self._window.numpy().tolist()
        window = dict(zip(self._names, sums, strict=True)) if any(sums) else {}
        return TrainingState(int(self._step.numpy()), float(self._seconds.numpy()), window)


class RunCheckpoints:
    """The checkpoints of a run, which hold its `TrainingState` with its variables; none without a workdir."""

    def __init__(
        self,
        workdir: str | os.PathLike | None,
        variables: Mapping[str, tf.Variable],
        state_variables: StateVariables,
        max_to_keep: int = 3,
        chief: bool = True,
    ) -> None:
        """Creates `Checkpoints` in `workdir/checkpoints`.

        Args:
          workdir: The working directory; None: nothing is saved or restored.
          variables: The variables by unique names.
          state_variables: Made in the scope of the variables' strategy.
          max_to_keep: Number of newest checkpoints that stay.
          chief: Whether this process writes.
        """
        self._state_variables, self._checkpoints = state_variables, None
        if workdir is not None:
            named = {**variables, **state_variables.variables()}
            self._checkpoints = Checkpoints(pathlib.Path(workdir) / "checkpoints", named, max_to_keep, chief=chief)

    def fingerprints(self) -> dict[str, str]:
        """As for `Checkpoints.fingerprints`."""
        return {} if self._checkpoints is None else self._checkpoints.fingerprints()

    def restore(self) -> TrainingState | None:
        """Restores the newest checkpoint that is whole; None if there is none.

        Raises:
          CheckpointError: As for `Checkpoints.restore_latest`.
        """
        if self._checkpoints is None or self._checkpoints.restore_latest() is None:
            return None
        return self._state_variables.load()

    def restore_best(self) -> int | None:
        """Restores the best checkpoint and returns its step; None if there is none."""
        return None if self._checkpoints is None else self._checkpoints.restore_best()

    def where_to_go_on(self) -> str:
        """A sentence that names the newest checkpoint, or says that there is none."""
        if self._checkpoints is None:
            return "Without a workdir there is no checkpoint to go on from."
        if not self._checkpoints.steps:
            return "There is no checkpoint yet: start again with changed settings."
        step = self._checkpoints.steps[-1]
        return f"The newest checkpoint is from step {step}, {self._checkpoints.path_of(step)}."

    def save(self, state: TrainingState) -> None:
        """Saves the variables as they are after `state.step`."""
        if self._checkpoints is not None:
            self._state_variables.store(state)
            self._checkpoints.save(state.step)

    def save_best(self, state: TrainingState, value: float) -> None:
        """Saves the variables as the best ones if `value` is the lowest so far."""
        if self._checkpoints is not None:
            self._checkpoints.save_best(state.step, value)


@dataclasses.dataclass(frozen=True)
class LoopSettings:
    """How a run is watched and saved; nothing here changes what is computed.

    Attributes:
      log_every: Number of steps between lines of `metrics.jsonl`; each line is the mean over the steps since the last.
      checkpoint_every: Number of steps between checkpoints.
      evaluate_every: Number of steps between evaluations; 0: never.
      evaluation_batch_size: Images per batch of an evaluation, over all replicas.
      max_to_keep: Number of checkpoints that stay.
      keep_best: Whether the checkpoint of the lowest evaluation is kept too.
      steps_per_execution: Number of steps taken without Python in between; calls are cut short where a line, a checkpoint or
        an evaluation is due. Default: 20 if there is a GPU, otherwise 1.
    """

    log_every: int = 50
    checkpoint_every: int = 1000
    evaluate_every: int = 0
    evaluation_batch_size: int = 100
    max_to_keep: int = 3
    keep_best: bool = False
    steps_per_execution: int = dataclasses.field(default_factory=default_steps_per_execution)

    def __post_init__(self):
        for name in ("log_every", "checkpoint_every", "evaluation_batch_size", "max_to_keep", "steps_per_execution"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.evaluate_every < 0:
            raise ValueError(f"evaluate_every must be at least 0, got {self.evaluate_every}.")


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """A measurement during training.

    Attributes:
      split: What it measures, for the names in the log: `test` or `validation`.
      measure: Gives its bits/dim.
    """

    split: str
    measure: Callable[[], BitsPerDim]


class Loop:
    """Takes training steps, starting from any state; traces once for any number of runs."""

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        train_step: Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]],
        metric_names: Sequence[str],
        learning_rate: Callable[[int], float],
        settings: LoopSettings,
        describe_not_finite: Callable[[Mapping], str] | None = None,
    ) -> None:
        """Creates the loop.

        Args:
          strategy: Strategy of the model.
          train_step: From `make_train_step`.
          metric_names: Names of the metrics that `train_step` returns.
          learning_rate: Learning rate as a function of the step, for the log.
          settings: How the run is watched and saved.
          describe_not_finite: Function of the batch of a step that was not finite; gives a sentence for the error.
        """
        self._strategy, self._settings = strategy, settings
        self._describe_not_finite = describe_not_finite
        self._metric_names, self._learning_rate = metric_names, learning_rate
        self._is_compiled = False
        self._take_steps = make_several_steps(train_step, metric_names, settings.steps_per_execution)

    def run(
        self,
        state: TrainingState,
        batches: Callable[[], Iterator],
        num_steps: int,
        *,
        batch_size: int,
        logger: MetricLogger,
        checkpoints: RunCheckpoints,
        evaluation: Evaluation | None = None,
        histograms: Callable[[], Mapping[str, np.ndarray]] = dict,
    ) -> dict[str, float]:
        """Takes steps until `num_steps` or until SIGTERM, and saves.

        Args:
          state: State of the variables; updated in place. After SIGTERM, `state.step < num_steps`.
          batches: Gives the distributed training batches from `state.step` on.
          num_steps: Total number of steps, including those of earlier runs.
          batch_size: Images per step, over all replicas.
          logger: Open, continued at `state.step`.
          checkpoints: Where to save.
          evaluation: What `settings.evaluate_every` and `settings.keep_best` measure.
          histograms: Gives arrays by name, whose histograms TensorBoard shows of each checkpoint.

        Returns:
          The last line that was logged; empty if there was none.

        Raises:
          TrainingDiverged: If the loss is not finite; the message names the step and the layer. What is saved is from before it.
          CheckpointError: If no checkpoint can be written.
        """
        settings, chief = self._settings, is_chief(self._strategy)
        any_worker = make_any_worker(self._strategy)

        last_histograms = state.step

        def save():
            nonlocal last_histograms
            # Not where a run was stopped in between: one that goes on has no more of them than one that was not stopped.
            is_due = state.step % settings.checkpoint_every == 0 or state.step == num_steps
            if is_due and state.step != last_histograms:
                logger.log_histograms(state.step, histograms)
                last_histograms = state.step
            logger.flush()
            checkpoints.save(state)

        compiles, self._is_compiled = not self._is_compiled and state.step < num_steps, True
        with (
            Progress(num_steps, state.step, batch_size, chief=chief, compiles=compiles) as progress,
            stop_on_sigterm() as stop,
        ):
            iterator = batches()
            metrics = StepMetrics(
                state,
                logger,
                progress,
                self._metric_names,
                self._learning_rate,
                batch_size,
                num_steps,
                settings.log_every,
            )
            while state.step < num_steps and not any_worker(stop):
                count = steps_before(
                    state.step,
                    num_steps,
                    settings.steps_per_execution,
                    settings.log_every,
                    settings.checkpoint_every,
                    settings.evaluate_every,
                )
                try:
                    metrics.add(self._take_steps(iterator, count))
                except (TrainingDiverged, tf.errors.InvalidArgumentError) as error:
                    message = str(error)
                    if not isinstance(error, TrainingDiverged):
                        if SINGULAR not in message:
                            raise
                        message = f"After step {state.step}, a matrix became singular."
                    sentences = [message, self._where_not_finite(batches), checkpoints.where_to_go_on()]
                    raise TrainingDiverged(" ".join(filter(None, sentences))) from None
                last = state.step == num_steps
                if evaluation is not None and _is_evaluated(state.step, last, settings):
                    with metrics.paused():
                        result = _evaluate(evaluation, state, logger, progress)
                        if settings.keep_best:
                            checkpoints.save_best(state, result.mean)
                if state.step % settings.checkpoint_every == 0 and not last:
                    save()
            save()
            if state.step < num_steps:
                logging.warning("Stopped at step %d; training again goes on from there.", state.step)
        ended_anyway = state.step == num_steps and stop.signal_number == signal.SIGTERM
        if ended_anyway and callable(signal.getsignal(signal.SIGTERM)):
            signal.raise_signal(signal.SIGTERM)  # a command that has more to do is not to begin it
        return metrics.last_line

    def _where_not_finite(self, batches):
        return None if self._describe_not_finite is None else self._describe_not_finite(next(batches()))


def _is_evaluated(step, last, settings):
    """The last step's evaluation is the caller's, unless it may turn out to be the best."""
    if last:
        return settings.keep_best
    return settings.evaluate_every > 0 and step % settings.evaluate_every == 0


def _evaluate(evaluation, state, logger, progress):
    result, split = evaluation.measure(), evaluation.split
    error = f" +- {result.standard_error:.4f}" if len(result.per_image) > 1 else ""
    progress.write(f"step {state.step}: {split} bits/dim {result.mean:.4f}{error}")
    name = f"{split}_bits_per_dim"
    logger.log(state.step, {name: result.mean, f"{name}_standard_error": result.standard_error})
    return result
