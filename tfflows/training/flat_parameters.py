"""All parameters end to end in one variable, for whatever treats each of their numbers alike."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from tfflows.training.moving_average import MovingAverage
from tfflows.training.optimizers import UpdateRule

_NAME = "flat_"


def build_flat(optimizer: keras.optimizers.Optimizer, variables: Mapping[str, tf.Variable]) -> "FlatParameters | None":
    """Builds a Keras optimizer, on flat parameters if its rule treats each number alike.

    Must be called in the scope of the variables' strategy.

    Args:
      optimizer: Not built yet.
      variables: The parameters by unique names.

    Returns:
      `FlatParameters`, or None if the optimizer is not an `UpdateRule` or clips each variable's gradient by its own norm.
    """
    flat = FlatParameters(variables) if isinstance(optimizer, UpdateRule) and not optimizer.clipnorm else None
    optimizer.build(list((variables if flat is None else flat.variables).values()))
    return flat


class FlatParameters:
    """A copy of a model's parameters, end to end in one variable per dtype, on which optimizer and averages work.

    An update rule, a moving average or a norm then takes a few kernels for a model of thousands of variables, where one or more
    kernels per variable take minutes to trace and to start. A training step flattens the gradients, updates the flat variables,
    and hands their parts to the model's (`spread`). It costs the memory of one more copy.

    In a checkpoint, whatever lies flat goes by the names of the parameters: see `named_parts`.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.training.flat_parameters import FlatParameters
      >>> flat = FlatParameters({"weight": tf.Variable([[1.0, 2.0]]), "bias": tf.Variable([3.0])})
      >>> flat.variables["flat_float32"].numpy().tolist()
      [1.0, 2.0, 3.0]
    """

    def __init__(self, variables: Mapping[str, tf.Variable]) -> None:
        """Copies the parameters; must be called in the scope of their strategy.

        Args:
          variables: The parameters by unique names.
        """
        groups: dict[tf.DType, dict[str, tf.Variable]] = {}
        for name, variable in variables.items():
            groups.setdefault(variable.dtype, {})[name] = variable
        self._groups = {f"{_NAME}{dtype.name}": group for dtype, group in groups.items()}
        self._positions = {variable.ref(): i for i, variable in enumerate(variables.values())}
        self._flat = {
            name: tf.Variable(_end_to_end(v.read_value() for v in group.values()), trainable=True, name=name)
            for name, group in self._groups.items()
        }

    @property
    def variables(self) -> dict[str, tf.Variable]:
        """The flat variables by names of their own, `[N]` each."""
        return dict(self._flat)

    def flatten(self, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Tensors in the order and the shapes of the parameters, laid end to end as these are."""
        return [
            _end_to_end(tf.convert_to_tensor(tensors[self._positions[v.ref()]], v.dtype) for v in group.values())
            for group in self._groups.values()
        ]

    def spread(self) -> None:
        """Gives the model's variables the values of the flat ones; must be called in a replica (`strategy.run`)."""
        for name, group in self._groups.items():
            flat = self._flat[name]
            value = tf.raw_ops.ReadVariableOp(resource=flat.handle, dtype=flat.dtype)
            sizes = [variable.shape.num_elements() for variable in group.values()]
            for variable, part in zip(group.values(), tf.split(value, sizes), strict=True):
                # One kernel to shape it, one to assign it; vectors have their shape already.
                shaped = part if variable.shape.rank == 1 else tf.raw_ops.Reshape(tensor=part, shape=variable.shape)
                tf.raw_ops.AssignVariableOp(resource=variable.handle, value=shaped)

    def gather(self) -> None:
        """Gives the flat variables the values of the model's, such as after initialization or from a checkpoint."""
        for name, group in self._groups.items():
            self._flat[name].assign(_end_to_end(variable.read_value() for variable in group.values()))

    @contextlib.contextmanager
    def exchanged(self, average: MovingAverage) -> Iterator[None]:
        """Like `average.exchanged()` for a `MovingAverage` of the flat variables, but for the model's variables too."""
        try:
            with average.exchanged():
                self._assign()
                yield
        finally:
            self._assign()

    def _assign(self):
        """Like `spread`, outside of replicas."""
        for name, group in self._groups.items():
            sizes = [variable.shape.num_elements() for variable in group.values()]
            parts = tf.split(self._flat[name].read_value(), sizes)
            for variable, part in zip(group.values(), parts, strict=True):
                variable.assign(tf.reshape(part, variable.shape))

    def named_parts(self, variables: Mapping[str, tf.Variable]) -> dict[str, "tf.Variable | Part"]:
        """Gives what lies flat the names that it has in a checkpoint.

        Args:
          variables: By name; `PREFIX/NAME`, with NAME that of a flat variable, is laid out like that variable.

        Returns:
          The same, but with each such entry replaced by its parts, `{PREFIX/PARAMETER: Part}`.
        """
        parts = {}
        for name, variable in variables.items():
            prefix, _, last = name.rpartition("/")
            if last in self._groups:
                start = 0
                for parameter, own in self._groups[last].items():
                    parts[f"{prefix}/{parameter}"] = Part(variable, start, own.shape)
                    start += own.shape.num_elements()
            else:
                parts[name] = variable
        return parts


class Part:
    """The part of a flat variable that belongs to one parameter, read and assigned outside of replicas as a variable is."""

    def __init__(self, flat: tf.Variable, start: int, shape: tf.TensorShape) -> None:
        self._flat, self._start = flat, start
        self._end = start + shape.num_elements()
        self.shape, self.dtype = shape, flat.dtype

    def read_value(self) -> tf.Tensor:
        """The value, in the shape of the parameter."""
        part = tf.slice(self._flat.read_value(), [self._start], [self._end - self._start])
        return part if self.shape.rank == 1 else tf.reshape(part, self.shape)

    def numpy(self) -> np.ndarray:
        """The value as a NumPy array."""
        return self.read_value().numpy()

    def assign(self, value: tf.Tensor) -> None:
        """Assigns a value to this part, in every replica."""
        value = tf.reshape(tf.convert_to_tensor(value, self.dtype), [-1])
        for component in getattr(self._flat, "values", (self._flat,)):  # of each replica
            component[self._start : self._end].assign(value)


def _end_to_end(tensors):
    return tf.concat([tensor if tensor.shape.rank == 1 else tf.reshape(tensor, [-1]) for tensor in tensors], axis=0)
