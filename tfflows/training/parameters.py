"""The variables of a training run: a model's, the optimizer's, and the averages of parameters."""

import contextlib

import keras
import tensorflow as tf

from tfflows.tracing.named_variables import named_variables
from tfflows.training.flat_parameters import build_flat
from tfflows.training.moving_average import MovingAverage
from tfflows.training.optimizers.slots import optimizer_variables


class TrainedParameters:
    """A model's parameters with what trains them, built for each other.

    Attributes:
      strategy: Strategy of all variables.
      optimizer: The optimizer, built.
      trained: `{model/...: variable}`, the trained variables of the model.
      variables: The content of a checkpoint: `{model/..., optimizer/..., average/...: variable or part of one}`.
      flat: None, or the `FlatParameters` on which optimizer and averages work.
      average: None, or the `MovingAverage`.
    """

    def __init__(
        self,
        model: tf.Module,
        optimizer: keras.optimizers.Optimizer,
        strategy: tf.distribute.Strategy | None = None,
        ema_decay: float = 0.0,
    ) -> None:
        """Builds the optimizer.

        Args:
          model: Its variables exist already.
          optimizer: Not built yet.
          strategy: The strategy in whose scope model and optimizer were made; default: that of the model.
          ema_decay: Decay of the averages; 0: there are none.

        Raises:
          TypeError: If the optimizer is not one of Keras 3.
          ValueError: If it is built already, there is nothing to train, or a variable was not made in the strategy's scope.
        """
        if not isinstance(optimizer, keras.optimizers.Optimizer):
            raise TypeError(f"The optimizer must be one of Keras 3, got {type(optimizer).__name__}.")
        if optimizer.built:
            raise ValueError("The optimizer has been built for other variables already: give a new one.")
        own = {f"model/{name}": variable for name, variable in named_variables(model).items()}
        self.trained = {name: variable for name, variable in own.items() if variable.trainable}
        if not self.trained:
            raise ValueError(f"{type(model).__name__} has no variables to train.")
        first = next(iter(self.trained.values()))
        self.strategy = strategy or getattr(first, "distribute_strategy", None) or tf.distribute.get_strategy()
        self._check_scope("model", first)
        self._check_scope("optimizer", optimizer.iterations.value)
        self.optimizer = optimizer
        with self.strategy.scope():
            self.flat = build_flat(optimizer, self.trained)
            updated = self.trained if self.flat is None else self.flat.variables
            self.average = MovingAverage(updated, ema_decay) if ema_decay else None
        beside = {
            **optimizer_variables(optimizer, list(updated)),
            **({} if self.average is None else self.average.variables()),
        }
        self.variables = {**own, **(beside if self.flat is None else self.flat.named_parts(beside))}

    def assigned(self) -> None:
        """Must be called after values were assigned to the model's variables: optimizer and averages take them over."""
        if self.flat is not None:
            self.flat.gather()

    def restart_average(self) -> None:
        """Makes the averages equal to the parameters."""
        if self.average is not None:
            self.average.reset()

    def exchanged(self) -> contextlib.AbstractContextManager:
        """A context in which the model's variables hold the averages; if there are none, nothing changes."""
        if self.average is None:
            return contextlib.nullcontext()
        return self.average.exchanged() if self.flat is None else self.flat.exchanged(self.average)

    def _check_scope(self, what, variable):
        replicated = self.strategy.num_replicas_in_sync > 1
        if replicated and not self.strategy.extended.variable_created_in_scope(variable):
            raise ValueError(f"The {what} was not made for this strategy: make it inside `with strategy.scope():`.")
