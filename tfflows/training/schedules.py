"""Learning-rate schedules."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import tensorflow as tf


def learning_rate_of(optimizer: keras.optimizers.Optimizer) -> Callable[[int], float]:
    """The optimizer's learning rate as a function of the step 0, 1, ..., for the log.

    Example:
      >>> from tfflows.training.optimizers import Adam
      >>> from tfflows.training.schedules import LinearWarmup, learning_rate_of
      >>> rate = learning_rate_of(Adam(LinearWarmup(peak=1.0, warmup_steps=4)))
      >>> [rate(step) for step in range(6)]
      [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    """
    schedule = optimizer._learning_rate  # the public property gives its value at the current step alone
    if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        return lambda step: float(schedule(tf.constant(step)))
    return lambda step: float(keras.ops.convert_to_numpy(optimizer.learning_rate))


class LinearWarmup(keras.optimizers.schedules.LearningRateSchedule):
    """`peak * min(1, step / warmup_steps)`, from exactly 0 at step 0; constant `peak` if `warmup_steps` is 0.

    References:
      Kingma & Dhariwal 2018, https://arxiv.org/abs/1807.03039; the released Glow code (10 nominal epochs).
    """

    def __init__(self, peak: float, warmup_steps: int) -> None:
        """Creates the schedule.

        Args:
          peak: Learning rate after the warm-up.
          warmup_steps: Number of steps of the warm-up, at least 0.
        """
        super().__init__()
        self.peak = peak
        self.warmup_steps = warmup_steps

    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
        """The learning rate at `step`, float32 scalar."""
        if not self.warmup_steps:
            return tf.constant(self.peak, tf.float32)
        progress = tf.cast(step, tf.float32) / float(self.warmup_steps)
        return self.peak * tf.minimum(1.0, progress)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {"peak": self.peak, "warmup_steps": self.warmup_steps}


@dataclasses.dataclass(frozen=True)
class Linear:
    """From `start` at the piece's first step, in equal steps towards `end` at step `until`, which belongs to the next piece."""

    until: int
    start: float
    end: float

    def rate(self, steps: tf.Tensor, length: float | None) -> tf.Tensor:
        """The rate `steps` after the piece's first step (float64, 0 to `length`), as float64."""
        return self.start + (self.end - self.start) * (steps / length)


@dataclasses.dataclass(frozen=True)
class Constant:
    """`value` before step `until`; for ever if that is None."""

    until: int | None
    value: float

    def rate(self, steps: tf.Tensor, length: float | None) -> tf.Tensor:
        """The rate `steps` after the piece's first step (float64), as float64."""
        del length
        return self.value * tf.ones_like(steps)


@dataclasses.dataclass(frozen=True)
class GeometricDecay:
    """`start * factor**n`, n steps after the piece's first, before step `until` (None: for ever).

    It stays at the first value that is not above `floor`: at n = ceil(log(floor / start) / log(factor)).
    """

    until: int | None
    start: float
    factor: float
    floor: float = 0.0

    def __post_init__(self):
        if not 0 < self.factor < 1 or not 0 <= self.floor < self.start:
            raise ValueError(
                f"A decay needs a factor in (0, 1) and a floor from 0 to below its start, got factor={self.factor}, "
                f"floor={self.floor}, start={self.start}."
            )

    @property
    def steps_to_floor(self) -> float:
        """Steps from the start to the first value that is not above the floor; infinite without a floor."""
        return math.ceil(math.log(self.floor / self.start) / math.log(self.factor)) if self.floor else math.inf

    def rate(self, steps: tf.Tensor, length: float | None) -> tf.Tensor:
        """The rate `steps` after the piece's first step (float64), as float64."""
        del length
        steps = tf.minimum(steps, tf.constant(self.steps_to_floor, tf.float64))
        return self.start * tf.exp(steps * math.log(self.factor))


PIECES = (Linear, Constant, GeometricDecay)


class Piecewise(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule made of pieces, each of which begins where the one before it ends.

    With t_0 = 0 and t_k the `until` of piece k, piece k gives the rate of the steps t_{k-1} <= step < t_k: a boundary belongs
    to the piece that begins there. It is computed in float64 and given as float32.

    Example:
      >>> from tfflows.training.schedules import Constant, GeometricDecay, Linear, Piecewise
      >>> schedule = Piecewise([Linear(2, 0.0, 1.0), Constant(4, 1.0), GeometricDecay(None, 1.0, 0.5)])
      >>> [float(schedule(step)) for step in range(7)]
      [0.0, 0.5, 1.0, 1.0, 1.0, 0.5, 0.25]
    """

    def __init__(self, pieces: Iterable[Linear | Constant | GeometricDecay]) -> None:
        """Creates the schedule.

        Args:
          pieces: All but the last have an end; the last has none and is not `Linear`.

        Raises:
          ValueError: If there is no piece, one does not end after the one before, or the last ends.
        """
        super().__init__()
        self.pieces = tuple(pieces)
        self._begins = (0, *(piece.until for piece in self.pieces[:-1]))
        if not self.pieces or self.pieces[-1].until is not None:
            raise ValueError(f"The last piece must be without end, until=None; got {self.pieces[-1:]}.")
        if isinstance(self.pieces[-1], Linear):
            raise ValueError(f"A Linear piece must end, got {self.pieces[-1]}.")
        for piece, begin in zip(self.pieces[:-1], self._begins, strict=False):
            if piece.until is None or piece.until <= begin:
                raise ValueError(f"A piece that begins at step {begin} must end after it, got {piece}.")

    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
        """The learning rate at `step`, float32 scalar."""
        step = tf.cast(step, tf.float64)
        rate = None
        for piece, begin in zip(self.pieces, self._begins, strict=True):
            length = None if piece.until is None else float(piece.until - begin)
            # Not beyond the piece, so that what is not selected stays finite.
            steps = tf.maximum(step - begin, 0.0)
            steps = steps if length is None else tf.minimum(steps, length)
            own = piece.rate(steps, length)
            rate = own if rate is None else tf.where(step >= begin, own, rate)
        return tf.cast(rate, tf.float32)

    def get_config(self) -> dict[str, Any]:
        """The pieces as JSON values, each with its `kind`."""
        return {"pieces": [{"kind": type(piece).__name__, **dataclasses.asdict(piece)} for piece in self.pieces]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Piecewise":
        """Creates the schedule from what `get_config` gives."""
        kinds = {kind.__name__: kind for kind in PIECES}
        settings = [dict(piece) for piece in config["pieces"]]
        return cls([kinds[piece.pop("kind")](**piece) for piece in settings])


class StepFactors(keras.optimizers.schedules.LearningRateSchedule):
    """Another schedule, times a factor from given steps on.

    Example:
      >>> from tfflows.training.schedules import LinearWarmup, StepFactors
      >>> schedule = StepFactors(LinearWarmup(1.0, 0), [(2, 0.5), (3, 0.25)])
      >>> [float(schedule(step)) for step in range(4)]
      [1.0, 1.0, 0.5, 0.25]
    """

    def __init__(
        self, schedule: keras.optimizers.schedules.LearningRateSchedule, factors: Sequence[tuple[int, float]]
    ) -> None:
        """Creates the schedule.

        Args:
          schedule: Learning rate as a function of the step.
          factors: Pairs `(step, factor)` with increasing steps; the last one at or before a step holds.
        """
        super().__init__()
        self.schedule = schedule
        self.factors = tuple(factors)

    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
        """The learning rate at `step`, float32 scalar."""
        factor = tf.constant(1.0)
        for first, later in self.factors:
            factor = tf.where(tf.cast(step, tf.int64) >= first, later, factor)
        return factor * self.schedule(step)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {"schedule": self.schedule, "factors": self.factors}


def warmup_constant_cooldown(peak: float, warmup_steps: int, cooldown_steps: int, num_steps: int) -> Piecewise:
    """The `Piecewise` of linear warm-up from 0, constant `peak`, and linear decay to 0 over the last steps.

    `peak * min(1, step / warmup_steps, (num_steps - step) / cooldown_steps)`: 0 at step 0 (without warm-up `peak`), and
    `peak / cooldown_steps` at the last step, `num_steps - 1`; 0 from step `num_steps` on.

    Args:
      peak: Learning rate between warm-up and decay.
      warmup_steps: Number of steps of the warm-up, at least 0.
      cooldown_steps: Number of steps of the decay, at least 1.
      num_steps: Total number of steps, at least `warmup_steps + cooldown_steps`.

    Raises:
      ValueError: If warm-up and decay do not fit.

    Example:
      >>> from tfflows.training.schedules import warmup_constant_cooldown
      >>> schedule = warmup_constant_cooldown(1.0, warmup_steps=2, cooldown_steps=4, num_steps=7)
      >>> [float(schedule(step)) for step in range(7)]
      [0.0, 0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    begin = num_steps - cooldown_steps
    if warmup_steps < 0 or cooldown_steps < 1 or begin < warmup_steps:
        raise ValueError(
            f"A warm-up of {warmup_steps} and a decay over {cooldown_steps} steps do not fit in {num_steps} steps."
        )
    pieces = [Linear(warmup_steps, 0.0, peak)] if warmup_steps else []
    pieces += [Constant(begin, peak)] if begin > warmup_steps else []
    return Piecewise([*pieces, Linear(num_steps, peak, 0.0), Constant(None, 0.0)])
