"""Progress of the training of a cell, saved to disk regularly so that training can resume."""

import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from reproductions.vflow.toy.cells import Cell
from reproductions.vflow.toy.initial import initial_parameters
from reproductions.vflow.toy.training import BLOCK, State, initial_state
from tfflows.files import is_plain


class Progress:
    """State of the training of a cell, restored from its directory if it was saved there."""

    def __init__(self, cell: Cell, seeds: Sequence[int], num_iterations: int, directory: pathlib.Path) -> None:
        """Creates the state, or restores it.

        Args:
          cell: The cell.
          seeds: The seeds.
          num_iterations: Total number of iterations, for the size of the curve.
          directory: Directory of the saved state; created if necessary.

        Raises:
          ValueError: If the directory holds the state of different seeds or iterations, or its path is one that TensorFlow takes
            for a pattern.
        """
        if not is_plain(pathlib.Path(directory).absolute()):
            raise ValueError(f"{directory} has one of the characters []*?\\ in its path; give a different --workdir.")
        state = initial_state(initial_parameters(cell, seeds))
        self._variables = tf.nest.map_structure(tf.Variable, state._asdict())
        self._iteration = tf.Variable(0, dtype=tf.int64)
        self._seconds = tf.Variable(0.0, dtype=tf.float64)
        # Mean bound of the training samples, one row per block.
        self._curve = tf.Variable(tf.zeros([-(-num_iterations // BLOCK), len(seeds)]))
        checkpoint = tf.train.Checkpoint(
            **self._variables, iteration=self._iteration, seconds=self._seconds, curve=self._curve
        )
        self._manager = tf.train.CheckpointManager(checkpoint, directory, max_to_keep=1)
        if self._manager.latest_checkpoint:
            try:
                checkpoint.restore(self._manager.latest_checkpoint).assert_consumed()
            except (ValueError, AssertionError) as error:
                raise ValueError(
                    f"{directory} holds the training of other seeds or iterations; give a different --workdir."
                ) from error

    @property
    def state(self) -> State:
        """Parameters and moments as tensors."""
        return State(**tf.nest.map_structure(tf.convert_to_tensor, self._variables))

    @property
    def iteration(self) -> int:
        """Number of iterations done."""
        return int(self._iteration)

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of training."""
        return float(self._seconds)

    def curve(self, num_points: int = 20) -> list[tuple[int, float]]:
        """Returns the training curve in at most `num_points` points.

        Each point is `(iteration, mean bound in nats over the blocks since the previous point and over seeds)`.
        """
        means = np.asarray(self._curve, np.float64).mean(axis=1)[: -(-self.iteration // BLOCK)]
        parts = np.array_split(means, min(num_points, len(means)))
        ends = np.cumsum([len(part) for part in parts])
        return [
            (min(int(end) * BLOCK, self.iteration), float(part.mean())) for end, part in zip(ends, parts, strict=True)
        ]

    def advance(self, state: State, count: int, losses: np.ndarray, seconds: float) -> None:
        """Stores the result of a call of the compiled training function.

        Args:
          state: State after the call.
          count: Number of iterations of the call.
          losses: Mean loss of each seed in nats, `[S]`.
          seconds: Duration of the call in seconds.

        Raises:
          ArithmeticError: If a loss is not finite.
        """
        if not np.all(np.isfinite(losses)):
            raise ArithmeticError(
                f"The loss of a seed is not finite after iteration {self.iteration} ({losses}); train with fewer steps, "
                "or other seeds."
            )
        tf.nest.map_structure(lambda variable, value: variable.assign(value), self._variables, state._asdict())
        self._curve[self.iteration // BLOCK].assign(-losses)
        self._iteration.assign_add(count)
        self._seconds.assign_add(seconds)

    def save(self) -> None:
        """Saves the state to disk, replacing the previous one."""
        self._manager.save(checkpoint_number=self.iteration)
