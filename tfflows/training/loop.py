"""The training loop: steps, logs, checkpoints and evaluations in their order."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf
from absl import logging

from tfflows.devices.any_worker import make_any_worker
from tfflows.devices.strategies import is_chief
from tfflows.evaluation.bits_per_dim import BitsPerDim
from tfflows.progress import Progress
from tfflows.training.logs import MetricLogger
from tfflows.training.run_checkpoints import RunCheckpoints
from tfflows.training.several_steps import make_several_steps, steps_before
from tfflows.training.signals import stop_on_sigterm
from tfflows.training.step_metrics import StepMetrics, TrainingState


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
      steps_per_execution: Number of steps taken without Python in between; calls are cut short where a checkpoint or an
        evaluation is due.
    """

    log_every: int = 50
    checkpoint_every: int = 1000
    evaluate_every: int = 0
    evaluation_batch_size: int = 100
    max_to_keep: int = 3
    keep_best: bool = False
    steps_per_execution: int = 1

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
    ) -> None:
        """Creates the loop.

        Args:
          strategy: Strategy of the model.
          train_step: From `make_train_step`.
          metric_names: Names of the metrics that `train_step` returns.
          learning_rate: Learning rate as a function of the step, for the log.
          settings: How the run is watched and saved.
        """
        self._strategy, self._settings = strategy, settings
        self._metric_names, self._learning_rate = metric_names, learning_rate
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

        Returns:
          The last line that was logged; empty if there was none.

        Raises:
          TrainingDiverged: If the loss is not finite; the message names the step. What is saved is from before it.
          CheckpointError: If no checkpoint can be written.
        """
        settings, chief = self._settings, is_chief(self._strategy)
        any_worker = make_any_worker(self._strategy)

        def save():
            logger.flush()
            checkpoints.save(state)

        with Progress(num_steps, state.step, batch_size, chief=chief) as progress, stop_on_sigterm() as stop:
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
                    settings.checkpoint_every,
                    settings.evaluate_every,
                )
                metrics.add(self._take_steps(iterator, count))
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
        return metrics.last_line


def _is_evaluated(step, last, settings):
    """The last step's evaluation is the caller's, unless it may turn out to be the best."""
    if last:
        return settings.keep_best
    return settings.evaluate_every > 0 and step % settings.evaluate_every == 0


def _evaluate(evaluation, state, logger, progress):
    result, split = evaluation.measure(), evaluation.split
    progress.write(f"step {state.step}: {split} bits/dim {result.mean:.4f} +- {result.standard_error:.4f}")
    name = f"{split}_bits_per_dim"
    logger.log(state.step, {name: result.mean, f"{name}_standard_error": result.standard_error})
    return result
