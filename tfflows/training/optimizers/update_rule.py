"""The common part of the optimizers: scalars once per update, then one or a few kernels per variable."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfflows.tracing.variables import as_variable

# Options of Keras' optimizers that multiply what is done for each variable, or belong elsewhere.
_REFUSED = ("weight_decay", "use_ema", "loss_scale_factor", "gradient_accumulation_steps")


class UpdateRule(keras.optimizers.Optimizer):
    """A Keras optimizer that takes little time to build and to trace over thousands of variables.

    A subclass names its slots in `slot_names`, and implements `scalars` and `update`. The slots lie in attributes of these
    names with a leading underscore, as lists in the order of the variables.

    Of Keras' options it takes `clipnorm`, `clipvalue` and `global_clipnorm`. Gradients are summed over the replicas first and
    then clipped (Keras' own optimizers clip each replica's part).

    Attributes:
      slot_names: Names of the slots that each variable has.
    """

    slot_names = ()

    def __init__(
        self, learning_rate: float | keras.optimizers.schedules.LearningRateSchedule, name: str, **kwargs: Any
    ) -> None:
        """Creates the optimizer.

        Args:
          learning_rate: A number or a schedule.
          name: Name of the optimizer.
          **kwargs: As for `keras.optimizers.Optimizer`.

        Raises:
          ValueError: If an option is given that update rules do not take, such as `weight_decay`.
        """
        refused = [option for option in _REFUSED if kwargs.get(option)]
        if refused:
            raise ValueError(f"{type(self).__name__} does not take {', '.join(refused)}.")
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)

    def scalars(self, step: tf.Tensor, learning_rate: tf.Tensor) -> dict[str, Any]:
        """What the updates of all variables of a dtype share.

        Args:
          step: Scalar 1, 2, ... in that dtype.
          learning_rate: Scalar in that dtype.
        """
        raise TypeError(f"{type(self).__name__} does not say what its updates share.")

    def update(
        self, variable: tf.Variable, gradient: tf.Tensor, slots: Sequence[tf.Variable], scalars: dict[str, Any]
    ) -> None:
        """Updates one variable in place.

        Args:
          variable: The variable.
          gradient: In its shape and dtype, summed and clipped.
          slots: Its slots, in the order of `slot_names`.
          scalars: From `scalars`, in its dtype.
        """
        raise TypeError(f"{type(self).__name__} does not say how a variable is updated.")

    def build(self, variables: Sequence[tf.Variable]) -> None:
        """Creates the slots of the variables; a second call does nothing."""
        if self.built:
            return
        super().build(variables)
        slots = {name: [] for name in self.slot_names}
        zeros = _SharedZeros()
        for variable in map(as_variable, variables):
            with self._distribution_strategy.extended.colocate_vars_with(variable):
                for name in self.slot_names:
                    # Not named after the variable: TensorFlow makes a kernel for each new name.
                    slots[name].append(
                        self.add_variable(variable.shape, initializer=zeros, dtype=variable.dtype.name, name=name)
                    )
        for name in self.slot_names:
            setattr(self, f"_{name}", slots[name])

    @tf.autograph.experimental.do_not_convert
    def apply(
        self, grads: Sequence[tf.Tensor | None], trainable_variables: Sequence[tf.Variable] | None = None
    ) -> None:
        """Updates the variables, by default those that it was built with.

        Inside a replica the gradients are summed over the replicas; outside, they are the sum already.
        """
        variables = self._trainable_variables if trainable_variables is None else list(trainable_variables)
        if not self.built:
            self.build(variables)
        grads, variables = self._filter_empty_gradients(grads, variables)
        if not grads:
            return
        strategy = self._distribution_strategy
        if tf.distribute.in_cross_replica_context() or not tf.distribute.has_strategy():
            strategy.run(lambda *sums: self.apply_sums(sums, variables), args=tuple(grads))
        else:
            context = tf.distribute.get_replica_context()
            if context.num_replicas_in_sync > 1:
                grads = context.all_reduce(tf.distribute.ReduceOp.SUM, list(grads))
            self.apply_sums(grads, variables)

    @tf.autograph.experimental.do_not_convert
    def apply_sums(
        self, gradients: Sequence[tf.Tensor], variables: Sequence[tf.Variable], norm: tf.Tensor | None = None
    ) -> None:
        """Like `apply`, called inside a replica with gradients that are summed over the replicas already.

        Args:
          gradients: The sums, one per variable.
          variables: Variables of the optimizer.
          norm: `global_norm(gradients)`, if it is known.
        """
        variables = [as_variable(variable) for variable in variables]
        with tf.name_scope(self.name):
            gradients = self._clipped(list(gradients), norm)
            scalars = {dtype: self._scalars_in(dtype) for dtype in {variable.dtype for variable in variables}}
            slots = [getattr(self, f"_{name}") for name in self.slot_names]
            for gradient, variable in zip(gradients, variables, strict=True):
                index = self._get_variable_index(variable)
                own = [as_variable(slot[index]) for slot in slots]
                gradient = tf.cast(tf.convert_to_tensor(gradient), variable.dtype)
                self.update(variable, gradient, own, scalars[variable.dtype])
            # Each replica counts in its own copy.
            iterations = as_variable(self._iterations)
            tf.raw_ops.AssignAddVariableOp(resource=iterations.handle, value=tf.constant(1, iterations.dtype))

    def _clipped(self, gradients, norm):
        if not self.global_clipnorm:
            return self._clip_gradients(gradients)
        # As Keras does it, but with few kernels per gradient: its own operations take as long to trace as a deep network.
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        norm = global_norm(gradients) if norm is None else norm
        # NaN where the norm is not finite, so that it is noticed.
        scale = self.global_clipnorm * tf.minimum(1 / norm, 1 / self.global_clipnorm) + (norm - norm)
        scales = {dtype: tf.cast(scale, dtype) for dtype in {gradient.dtype for gradient in gradients}}
        return [tf.raw_ops.Mul(x=gradient, y=scales[gradient.dtype]) for gradient in gradients]

    def _scalars_in(self, dtype):
        step = tf.cast(tf.convert_to_tensor(self.iterations) + 1, dtype)
        return self.scalars(step, tf.cast(self.learning_rate, dtype))


class Additions:
    """Adds a number to variables: one tensor per shape, shared by all variables of that shape."""

    def __init__(self, number: float) -> None:
        self._number = number
        self._filled = {}

    def add_to(self, variable: tf.Variable) -> None:
        """Adds the number to each entry of this replica's copy."""
        key = tuple(variable.shape), variable.dtype
        if key not in self._filled:
            self._filled[key] = tf.fill(variable.shape, tf.constant(self._number, variable.dtype))
        tf.raw_ops.AssignAddVariableOp(resource=variable.handle, value=self._filled[key])


def global_norm(gradients: Sequence[tf.Tensor]) -> tf.Tensor:
    """Root of the sum of all squares, in the widest dtype of the gradients; one kernel per gradient.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.training.optimizers.update_rule import global_norm
      >>> global_norm([tf.constant([3.0]), tf.constant([4.0])]).numpy().item()
      5.0
    """
    halves = [tf.raw_ops.L2Loss(t=tf.convert_to_tensor(gradient)) for gradient in gradients]
    dtype = max((half.dtype for half in halves), key=lambda dtype: dtype.size)
    return tf.sqrt(2 * tf.add_n([half if half.dtype == dtype else tf.cast(half, dtype) for half in halves]))


class _SharedZeros:
    """An initializer that gives equal zeros as one tensor: a variable copies it when it is first updated."""

    def __init__(self):
        self._tensors = {}

    def __call__(self, shape, dtype=None):
        key = (tuple(shape), dtype)
        if key not in self._tensors:
            self._tensors[key] = tf.zeros(shape, dtype)
        return self._tensors[key]


def optimizer_variables(optimizer: keras.optimizers.Optimizer, names: Sequence[str]) -> dict[str, tf.Variable]:
    """`{optimizer/SLOT/NAME: tf.Variable}` of a built optimizer, and `optimizer/iterations`.

    Args:
      optimizer: Built, with as many variables as there are names.
      names: Names of these variables, in the order of `build`.

    Raises:
      ValueError: If one of the optimizer's variables is not a slot of any of them.
    """
    named, seen = {}, set()

    def add(name, variable):
        named[f"optimizer/{name}"] = variable.value
        seen.add(id(variable))

    add("iterations", optimizer.iterations)
    for attribute, slots in vars(optimizer).items():
        if not _is_slot_list(slots, optimizer, len(names)):
            continue
        for name, variable in zip(names, slots, strict=True):
            if id(variable) not in seen:
                add(f"{attribute.strip('_')}/{name}", variable)
    for variable in optimizer.variables:
        if id(variable) not in seen and variable.name == "learning_rate":
            add("learning_rate", variable)
    missing = [variable.path for variable in optimizer.variables if id(variable) not in seen]
    if missing:
        raise ValueError(f"{type(optimizer).__name__} has variables that belong to no parameter: {missing[:5]}.")
    return named


def _is_slot_list(slots, optimizer, length):
    own = {id(variable) for variable in optimizer.variables}
    return (
        isinstance(slots, (list, tuple))
        and len(slots) == length
        and all(isinstance(slot, keras.Variable) and id(slot) in own for slot in slots)
    )
