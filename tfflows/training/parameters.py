"""The parameters of a run: initialized from data, as one flat variable per dtype, with their averages."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from tfflows.data import ImageSource, training_batches
from tfflows.devices.strategies import is_chief
from tfflows.distributions.image_model import ImageModel
from tfflows.math.random import fold_in, row_keys
from tfflows.progress import Task
from tfflows.tracing.finite import NotFiniteError
from tfflows.tracing.variables import named_variables
from tfflows.training.moving_average import MovingAverage
from tfflows.training.optimizers import UpdateRule, optimizer_variables

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
      >>> from tfflows.training.parameters import FlatParameters
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


def initialize_from_data(
    strategy: tf.distribute.Strategy,
    model: ImageModel,
    source: ImageSource,
    *,
    batch_size: int,
    seed: int,
    augmentation: str,
) -> None:
    """Sets what depends on data (actnorms) from one batch of training images, layer after layer.

    It runs eagerly outside `strategy.run`: inside, each replica would take other values from its own images. With several workers
    all of them then take the values of the first.

    Args:
      strategy: Strategy of the model.
      model: Its `initialize(images, labels, keys)` is called.
      source: Training images.
      batch_size: Number of images in the batch.
      seed: Integer in [0, 2**31).
      augmentation: As in training.

    Raises:
      NotFiniteError: If a layer gives values that are not finite from finite ones; the message names it.
    """
    batches = training_batches(source, global_batch_size=batch_size, seed=seed, augmentation=augmentation)
    batch = next(iter(batches))
    try:
        with Task("initialization", len(model.variables), chief=is_chief(strategy)):
            latents = model.initialize(batch["image"], batch["label"], fold_in(row_keys(seed), "initialize"))
    except NotFiniteError as error:
        error.locate(model)
        raise
    if not bool(tf.reduce_all(tf.math.is_finite(latents))):
        logging.warning("The data-dependent initialization gave latents that are not finite.")
    equalize_replicas(strategy, model.variables)


def equalize_replicas(strategy: tf.distribute.Strategy, variables: Sequence[tf.Variable]) -> None:
    """Gives all replicas of all workers the values of the first replica."""
    if strategy.num_replicas_in_sync == 1:
        return

    @tf.function(autograph=False)
    def values_of_first():
        def replica_values():
            context = tf.distribute.get_replica_context()
            first = tf.equal(context.replica_id_in_sync_group, 0)
            own = [tf.where(first, variable, tf.zeros_like(variable)) for variable in variables]
            return context.all_reduce(tf.distribute.ReduceOp.SUM, own)

        return [strategy.experimental_local_results(value)[0] for value in strategy.run(replica_values)]

    for variable, value in zip(variables, values_of_first(), strict=True):
        variable.assign(value)
