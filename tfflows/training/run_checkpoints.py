"""The checkpoints of a run: its variables and the state of its loop together."""

import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfflows.training.checkpoints import Checkpoints
from tfflows.training.step_metrics import TrainingState


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

    def save(self, state: TrainingState) -> None:
        """Saves the variables as they are after `state.step`."""
        if self._checkpoints is not None:
            self._state_variables.store(state)
            self._checkpoints.save(state.step)

    def save_best(self, state: TrainingState, value: float) -> None:
        """Saves the variables as the best ones if `value` is the lowest so far."""
        if self._checkpoints is not None:
            self._checkpoints.save_best(state.step, value)
