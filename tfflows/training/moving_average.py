"""Exponential moving averages of parameters, which are evaluated in place of the parameters."""

import contextlib
from collections.abc import Iterator, Mapping

import tensorflow as tf

PREFIX = "average/"


def average_name(name: str) -> str:
    """The name in checkpoints of the average of the variable `name`."""
    return f"{PREFIX}{name}"


def evaluated_names(variables: Mapping[str, tf.Variable]) -> dict[str, tf.Variable]:
    """The names in checkpoints of what is evaluated: averages for the trained variables, the other variables as they are.

    Args:
      variables: Variables by their own names in checkpoints, such as `model/levels/0/...`.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.training.moving_average import evaluated_names
      >>> sorted(evaluated_names({"model/bias": tf.Variable(0.0), "model/done": tf.Variable(0, trainable=False)}))
      ['average/model/bias', 'model/done']
    """
    return {average_name(name) if variable.trainable else name: variable for name, variable in variables.items()}


class MovingAverage:
    """`average <- decay * average + (1 - decay) * parameter` once per step, with constant decay and starting at the parameter.

    There is one variable per parameter, of its shape and dtype: one more copy of all parameters. Each replica averages its own
    copy; as the parameters of all replicas are equal, so are the averages, without communication.

    The parameters are averaged after their update. The released code says nothing of the order within a step: there the averaging
    and the optimizer's update are operations of one group.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.training.moving_average import MovingAverage
      >>> weight = tf.Variable(0.0)
      >>> average = MovingAverage({"weight": weight}, decay=0.75)
      >>> _ = weight.assign(8.0)
      >>> average.update()
      >>> with average.exchanged():
      ...     print(weight.numpy().item())
      2.0
      >>> weight.numpy().item()
      8.0

    References:
      Ho et al. 2019, https://arxiv.org/abs/1902.00275; released code (aravindsrinivas/flowpp).
    """

    def __init__(self, variables: Mapping[str, tf.Variable], decay: float) -> None:
        """Creates the averages; must be called in the scope of the parameters' strategy.

        Args:
          variables: The parameters by unique names, such as `model/levels/0/...`.
          decay: Decay in [0, 1).

        Raises:
          ValueError: If the decay is outside.
        """
        if not 0 <= decay < 1:
            raise ValueError(f"The decay of a moving average must lie in [0, 1), got {decay}.")
        self._rate = 1 - decay
        self._names = list(variables)
        self._parameters = list(variables.values())
        self._averages = [tf.Variable(v.read_value(), trainable=False, name="average") for v in self._parameters]
        self._exchanged = False

    def variables(self) -> dict[str, tf.Variable]:
        """`{average/NAME: variable}` for the checkpoint."""
        return {average_name(name): average for name, average in zip(self._names, self._averages, strict=True)}

    def reset(self) -> None:
        """Makes the averages equal to the parameters, as after the data-dependent initialization."""
        for parameter, average in self._pairs():
            average.assign(parameter.read_value())

    def update(self) -> None:
        """Takes one step of averaging; must be called in a replica (`strategy.run`), after the update of the parameters."""
        rates = {dtype: tf.constant(self._rate, dtype) for dtype in {average.dtype for average in self._averages}}
        for parameter, average in self._pairs():
            difference = _read(average) - _read(parameter)
            # The kernel subtracts alpha * delta in place. In this form equal values stay equal bit for bit.
            tf.raw_ops.ResourceApplyGradientDescent(var=average.handle, alpha=rates[average.dtype], delta=difference)

    @contextlib.contextmanager
    def exchanged(self) -> Iterator[None]:
        """A context in which the parameters hold the averages and the averages the parameters; for evaluation.

        Afterwards, even after an exception, each holds its own values again. Nothing may be saved inside. The values are
        exchanged in place, one variable after the other, outside of replicas.

        Raises:
          RuntimeError: If they are exchanged already.
        """
        if self._exchanged:
            raise RuntimeError(
                "Parameters and averages are exchanged already; leave the context before entering it again."
            )
        self._exchanged = True
        done = []
        try:
            for pair in self._pairs():
                _exchange(*pair)
                done.append(pair)
            yield
        finally:
            for pair in done:
                _exchange(*pair)
            self._exchanged = False

    def _pairs(self):
        return zip(self._parameters, self._averages, strict=True)


def _read(variable):
    """The value in this replica, by one operation."""
    return tf.raw_ops.ReadVariableOp(resource=variable.handle, dtype=variable.dtype)


def _exchange(first, second):
    """Exchanges two values, or, if that fails, leaves both as they are."""
    values = first.read_value(), second.read_value()
    try:
        first.assign(values[1])
        second.assign(values[0])
    except BaseException:
        first.assign(values[0])
        second.assign(values[1])
        raise
