"""The training loop: steps, logs, checkpoints, evaluations, and what happens when one of them goes wrong."""

import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from absl import logging

from tfflows.devices.any_worker import make_any_worker
from tfflows.devices.inputs import distributed_training_batches
from tfflows.devices.strategies import is_chief
from tfflows.evaluation.bits_per_dim import BitsPerDim
from tfflows.progress import Progress
from tfflows.training.checkpoints import Checkpoints
from tfflows.training.logs import MetricLogger
from tfflows.training.several_steps import make_several_steps, steps_before
from tfflows.training.signals import stop_on_sigterm
from tfflows.training.step_metrics import StepMetrics, TrainingState


@dataclasses.dataclass(frozen=True)
class LoopSettings:
    """How a run is watched and saved; none of it changes what is computed.

    Attributes:
      log_every: Steps between lines of `metrics.jsonl`; each is the mean over the steps since the last.
      checkpoint_every: Steps between checkpoints.
      evaluate_every: Steps between evaluations; 0: never.
      max_to_keep: Checkpoints that stay.
      keep_best: Whether the checkpoint of the lowest evaluation is kept too.
      steps_per_call: Steps that are taken without Python in between; calls are cut short where a checkpoint or an
        evaluation is due.
    """

    log_every: int = 50
    checkpoint_every: int = 1000
    evaluate_every: int = 0
    max_to_keep: int = 3
    keep_best: bool = False
    steps_per_call: int = 1


class Saved:
    """The variables that carry a `TrainingState` through a checkpoint."""

    def __init__(self, metric_names):
        self._names = sorted(metric_names)
        self._step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._seconds = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self._window = tf.Variable(np.zeros([len(self._names)]), trainable=False)

    def variables(self):
        """`{name: variable}` for the checkpoint."""
        return {"loop/step": self._step, "loop/seconds": self._seconds, "loop/window": self._window}

    def store(self, state):
        """Puts `state` into the variables."""
        self._step.assign(state.step)
        self._seconds.assign(state.seconds)
        self._window.assign([state.window.get(name, 0.0) for name in self._names])

    def load(self):
        """The state that the variables hold."""
        window = dict(zip(self._names, self._window.numpy().tolist(), strict=True))
        return TrainingState(int(self._step.numpy()), float(self._seconds.numpy()), window)


def train(
    strategy,
    train_step,
    source,
    *,
    workdir,
    variables,
    num_steps,
    global_batch_size,
    seed,
    augmentation,
    learning_rate: Callable[[int], float],
    metric_names,
    settings: LoopSettings,
    initialize: Callable[[], None],
    evaluate: Callable[[], BitsPerDim],
    restored: Callable[[], None] = lambda: None,
    accumulate=1,
    evaluated_split="test",
) -> TrainingState:
    """Trains to `num_steps` or until SIGTERM, from the newest good checkpoint of `workdir` if it has one.

    Args:
      strategy: `tf.distribute.Strategy`.
      train_step: From `make_train_step`.
      source: `ImageSource` of the training images.
      workdir: Where logs and checkpoints lie.
      variables: `{unique name: tf.Variable}` of parameters and optimizer, for the checkpoint.
      num_steps: Total, those of earlier runs included.
      global_batch_size: Images a step.
      seed: Python `int` of the order of the images.
      augmentation: See `tfflows.data`.
      learning_rate: Of a step, for the log.
      metric_names: Names of what `train_step` returns.
      settings: See `LoopSettings`.
      initialize: Called once, before the first step of a fresh run.
      evaluate: Gives the bits/dim that `evaluate_every` logs.
      restored: Called once, before the first step of a run that goes on from a checkpoint.
      accumulate: Parts of a replica's batch.
      evaluated_split: What `evaluate` measures, for the names in the log: `test` or `validation`.

    Returns:
      The state at the end; `state.step < num_steps` after SIGTERM.

    Raises:
      TrainingDiverged: if the loss is not finite; names the step. What is saved is from before it.
      CheckpointError: if no checkpoint can be written or read.
    """
    workdir, chief = pathlib.Path(workdir), is_chief(strategy)
    with strategy.scope():
        saved = Saved(metric_names)
    checkpoints = Checkpoints(
        workdir / "checkpoints", {**variables, **saved.variables()}, settings.max_to_keep, chief=chief
    )
    restored_step = checkpoints.restore_latest()
    if restored_step is None:
        initialize()  # not saved: it would be the same again, and sooner done than written
        state = TrainingState()
    else:
        restored()
        state = saved.load()
        logging.info("Going on from step %d.", state.step)

    any_worker = make_any_worker(strategy)

    def save():
        logger.flush()
        saved.store(state)
        checkpoints.save(state.step)

    with (
        MetricLogger(workdir, restored_step, chief) as logger,
        Progress(num_steps, state.step, global_batch_size, chief=chief) as progress,
        stop_on_sigterm() as stop,
    ):
        batches = iter(
            distributed_training_batches(
                strategy,
                source,
                global_batch_size=global_batch_size,
                seed=seed,
                start_step=state.step,
                augmentation=augmentation,
                accumulate=accumulate,
            )
        )
        take_steps = make_several_steps(train_step, metric_names, settings.steps_per_call)
        metrics = StepMetrics(
            state, logger, progress, metric_names, learning_rate, global_batch_size, num_steps, settings.log_every
        )
        while state.step < num_steps and not any_worker(stop):
            count = steps_before(
                state.step, num_steps, settings.steps_per_call, settings.checkpoint_every, settings.evaluate_every
            )
            metrics.add(take_steps(batches, count))
            last = state.step == num_steps
            if _is_evaluated(state.step, last, settings):
                with metrics.paused():
                    kept = checkpoints if settings.keep_best else None
                    _evaluate(evaluate, state, logger, kept, progress, evaluated_split)
            if state.step % settings.checkpoint_every == 0 and not last:
                save()
        save()
        if state.step < num_steps:
            logging.warning("Stopped at step %d; the same command goes on from there.", state.step)
    return state


def _is_evaluated(step, last, settings):
    """The last step's evaluation is the caller's, unless it may turn out to be the best."""
    if last:
        return settings.keep_best
    return settings.evaluate_every > 0 and step % settings.evaluate_every == 0


def _evaluate(evaluate, state, logger, checkpoints, progress, split):
    result = evaluate()
    progress.write(f"step {state.step}: {split} bits/dim {result.mean:.4f} +- {result.standard_error:.4f}")
    name = f"{split}_bits_per_dim"
    logger.log(state.step, {name: result.mean, f"{name}_standard_error": result.standard_error})
    if checkpoints is not None:
        checkpoints.save_best(state.step, result.mean)
