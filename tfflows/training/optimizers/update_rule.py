"""What the optimizers share: scalars once an update, then one kernel or few a variable."""

import keras
import tensorflow as tf

from tfflows.tracing.walk import as_variable

# Options of Keras' optimizers that multiply what is done for each variable, or belong elsewhere.
_REFUSED = ("weight_decay", "use_ema", "loss_scale_factor", "gradient_accumulation_steps")


class UpdateRule(keras.optimizers.Optimizer):
    """A Keras optimizer that takes little time to build and to trace over thousands of variables.

    A subclass names its slots, `slot_names`, and implements `scalars` and `update`. The slots lie in attributes of these
    names with an underscore before, lists in the order of the variables.

    Of Keras' options it takes `clipnorm`, `clipvalue` and `global_clipnorm`. Gradients are summed over the replicas first
    and clipped then (Keras' own optimizers clip each replica's part).
    """

    slot_names = ()

    def __init__(self, learning_rate, name, **kwargs):
        """Args: learning_rate: float or schedule; name: Python `str`; rest as in Keras."""
        refused = [option for option in _REFUSED if kwargs.get(option)]
        if refused:
            raise ValueError(f"{type(self).__name__} does not take {', '.join(refused)}.")
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)

    def scalars(self, step, learning_rate):
        """What the updates of all variables of a dtype share.

        Args:
          step: Scalar 1, 2, ... in that dtype.
          learning_rate: Scalar in that dtype.
        """
        raise TypeError(f"{type(self).__name__} does not say what its updates share.")

    def update(self, variable, gradient, slots, scalars):
        """Updates one variable in place.

        Args:
          variable: `tf.Variable`.
          gradient: `Tensor` of its shape and dtype, summed and clipped.
          slots: List of `tf.Variable`, in the order of `slot_names`.
          scalars: From `scalars`, in its dtype.
        """
        raise TypeError(f"{type(self).__name__} does not say how a variable is updated.")

    def build(self, variables):
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
    def apply(self, grads, trainable_variables=None):
        """Updates the variables, those it was built with if none are given.

        Inside a replica the gradients are summed over the replicas; outside, they are the sum.
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
    def apply_sums(self, gradients, variables, norm=None):
        """As `apply`, called inside a replica, of gradients that are summed over the replicas already.

        Args:
          gradients: Tensors.
          variables: Of the optimizer.
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
        # As Keras does it, by few kernels a gradient: its own operations take as long to trace as a deep network.
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
    """Adds a number to variables: one tensor a shape and number, shared by all variables of that shape."""

    def __init__(self, number):
        self._number = number
        self._filled = {}

    def add_to(self, variable):
        """Adds the number to each entry of this replica's copy."""
        key = tuple(variable.shape), variable.dtype
        if key not in self._filled:
            self._filled[key] = tf.fill(variable.shape, tf.constant(self._number, variable.dtype))
        tf.raw_ops.AssignAddVariableOp(resource=variable.handle, value=self._filled[key])


def global_norm(gradients):
    """Root of the sum of all squares, in the widest dtype of the gradients; one kernel a gradient."""
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
