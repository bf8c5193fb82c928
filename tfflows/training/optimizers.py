"""The papers' own update rules, as Keras optimizers: Adam, Adamax, and their variants in released code.

What they share is in `UpdateRule`: scalars once per update, then one or a few kernels per variable.
"""

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
        if tf.distribute.in_cross_replica_context() or strategy is not tf.distribute.get_strategy():
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


class _TwoMoments(UpdateRule):
    """The constructor of the rules below, which all keep two statistics of the gradients, each with its decay."""

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
        beta_1: float,
        beta_2: float,
        epsilon: float,
        name: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}


class Adam(_TwoMoments):
    """Keras' Adam with one kernel per variable, and with slots of the same names.

    With t = 1, 2, ...:
    `alpha = learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t)`;
    `m = beta_1 m + (1 - beta_1) g`; `v = beta_2 v + (1 - beta_2) g**2`; `theta = theta - alpha m / (sqrt(v) + epsilon)`.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.training.optimizers import Adam
      >>> weight = tf.Variable([1.0, -2.0])
      >>> Adam(0.1).apply([tf.constant([5.0, -0.5])], [weight])
      >>> print(weight.numpy().round(4))  # the first step is the learning rate, against the sign of the gradient
      [ 0.9 -1.9]

    References:
      Kingma & Ba 2015, end of section 2 (there `epsilon` is called "epsilon hat"), https://arxiv.org/abs/1412.6980.
    """

    slot_names = ("momentums", "velocities")

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 1e-3,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        name: str = "adam",
        **kwargs: Any,
    ) -> None:
        """Creates the optimizer.

        Args:
          learning_rate: A number or a schedule.
          beta_1: Decay of the mean of the gradients, in [0, 1).
          beta_2: Decay of the mean of their squares, in [0, 1).
          epsilon: Added to the root.
          name: Name of the optimizer.
          **kwargs: As for `UpdateRule`.
        """
        super().__init__(learning_rate, beta_1, beta_2, epsilon, name, **kwargs)

    def scalars(self, step: tf.Tensor, learning_rate: tf.Tensor) -> dict[str, Any]:
        """See `UpdateRule.scalars`."""
        beta_1, beta_2 = tf.constant(self.beta_1, step.dtype), tf.constant(self.beta_2, step.dtype)
        # The kernel multiplies the learning rate by the two corrections.
        return {
            "beta1_power": tf.pow(beta_1, step),
            "beta2_power": tf.pow(beta_2, step),
            "lr": learning_rate,
            "beta1": beta_1,
            "beta2": beta_2,
            "epsilon": tf.constant(self.epsilon, step.dtype),
        }

    def update(
        self, variable: tf.Variable, gradient: tf.Tensor, slots: Sequence[tf.Variable], scalars: dict[str, Any]
    ) -> None:
        """See `UpdateRule.update`."""
        momentum, velocity = slots
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle, m=momentum.handle, v=velocity.handle, grad=gradient, **scalars
        )


class PixelCNNAdam(_TwoMoments):
    """Adam with epsilon inside the root.

    With t = 1, 2, ...: `m = beta_1 m + (1 - beta_1) g`; `v = beta_2 v + (1 - beta_2) g**2`;
    `theta = theta - learning_rate (m / (1 - beta_1**t)) / sqrt(v / (1 - beta_2**t) + epsilon)`.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.training.optimizers import PixelCNNAdam
      >>> weight = tf.Variable([1.0])
      >>> PixelCNNAdam(0.1, epsilon=3.0).apply([tf.constant([1.0])], [weight])
      >>> print(weight.numpy().round(4))  # 1 - 0.1 * 1 / sqrt(1 + 3)
      [0.95]

    References:
      The released PixelCNN++ code (`adam_updates` in openai/pixel-cnn); Kingma & Ba 2015, https://arxiv.org/abs/1412.6980.
    """

    slot_names = ("momentums", "velocities")

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 1e-3,
        beta_1: float = 0.95,
        beta_2: float = 0.9995,
        epsilon: float = 1e-8,
        name: str = "pixelcnn_adam",
        **kwargs: Any,
    ) -> None:
        """Creates the optimizer.

        Args:
          learning_rate: A number or a schedule.
          beta_1: Decay of the mean of the gradients, in [0, 1).
          beta_2: Decay of the mean of their squares, in (0, 1).
          epsilon: Added inside the root.
          name: Name of the optimizer.
          **kwargs: As for `UpdateRule`.
        """
        super().__init__(learning_rate, beta_1, beta_2, epsilon, name, **kwargs)

    def scalars(self, step: tf.Tensor, learning_rate: tf.Tensor) -> dict[str, Any]:
        """See `UpdateRule.scalars`."""
        beta_1, beta_2 = tf.constant(self.beta_1, step.dtype), tf.constant(self.beta_2, step.dtype)
        kernel = {
            "beta1_power": tf.pow(beta_1, step),
            "beta2_power": tf.pow(beta_2, step),
            "lr": learning_rate,
            "beta1": beta_1,
            "beta2": beta_2,
            "epsilon": tf.constant(0.0, step.dtype),
        }
        return {"kernel": kernel, "additions": _Additions((1 - self.beta_2) / self.beta_2 * self.epsilon)}

    def update(
        self, variable: tf.Variable, gradient: tf.Tensor, slots: Sequence[tf.Variable], scalars: dict[str, Any]
    ) -> None:
        """See `UpdateRule.update`."""
        momentum, velocity = slots
        # The kernel knows no epsilon within the root: the slot holds w = v + epsilon (1 - beta_2**t), which follows
        # w = beta_2 w + (1 - beta_2) (g**2 + epsilon).
        scalars["additions"].add_to(velocity)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle, m=momentum.handle, v=velocity.handle, grad=gradient, **scalars["kernel"]
        )


class GlowAdamax(_TwoMoments):
    """Adamax with Adam's bias correction, which differs from the Adamax of the literature and of Keras.

    With t = 1, 2, ...:
    `alpha = learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t)`;
    `m = beta_1 m + (1 - beta_1) g`; `u = max(beta_2 u, |g|)`; `theta = theta - alpha m / (u + epsilon)`.
    Adamax has no factor `sqrt(1 - beta_2**t)`: with beta_2 = 0.99 the first step here is a tenth of its first step.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.training.optimizers import GlowAdamax
      >>> weight = tf.Variable([1.0])
      >>> GlowAdamax(0.1, beta_2=0.99).apply([tf.constant([5.0])], [weight])
      >>> print(weight.numpy().round(4))  # 1 - 0.1 sqrt(1 - 0.99)
      [0.99]

    References:
      The released Glow code (`optim.adamax` in openai/glow); Kingma & Ba 2015, section 7.1, https://arxiv.org/abs/1412.6980.
    """

    slot_names = ("momentums", "norms")

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 1e-3,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        name: str = "glow_adamax",
        **kwargs: Any,
    ) -> None:
        """Creates the optimizer.

        Args:
          learning_rate: A number or a schedule.
          beta_1: Decay of the mean of the gradients, in [0, 1).
          beta_2: Decay of the norm, in [0, 1).
          epsilon: Added to the norm.
          name: Name of the optimizer.
          **kwargs: As for `UpdateRule`.
        """
        super().__init__(learning_rate, beta_1, beta_2, epsilon, name, **kwargs)

    def scalars(self, step: tf.Tensor, learning_rate: tf.Tensor) -> dict[str, Any]:
        """See `UpdateRule.scalars`."""
        beta_1, beta_2 = tf.constant(self.beta_1, step.dtype), tf.constant(self.beta_2, step.dtype)
        correction = tf.sqrt(1 - tf.pow(beta_2, step))
        # The kernel divides the learning rate by 1 - beta_1**t.
        return {
            "beta1_power": tf.pow(beta_1, step),
            "lr": learning_rate * correction,
            "beta1": beta_1,
            "beta2": beta_2,
            "epsilon": tf.constant(self.epsilon, step.dtype),
        }

    def update(
        self, variable: tf.Variable, gradient: tf.Tensor, slots: Sequence[tf.Variable], scalars: dict[str, Any]
    ) -> None:
        """See `UpdateRule.update`."""
        momentum, norm = slots
        tf.raw_ops.ResourceApplyAdaMax(var=variable.handle, m=momentum.handle, v=norm.handle, grad=gradient, **scalars)


class IAFAdamax(_TwoMoments):
    """Adamax without bias correction, with epsilon added to the norm at each step.

    `m = beta_1 m + (1 - beta_1) g`; `u = max(beta_2 u + epsilon, |g|)`; `theta = theta - learning_rate m / u`. Without a
    gradient u falls to `epsilon / (1 - beta_2)`, not to 0.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.training.optimizers import IAFAdamax
      >>> weight = tf.Variable([1.0])
      >>> IAFAdamax(0.1).apply([tf.constant([5.0])], [weight])
      >>> print(weight.numpy().round(4))  # 1 - 0.1 (1 - beta_1) 5 / 5
      [0.99]

    References:
      The released IAF code (`AdamaxOptimizer` in openai/iaf); Kingma & Ba 2015, section 7.1, https://arxiv.org/abs/1412.6980.
    """

    slot_names = ("momentums", "norms")

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 2e-3,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        name: str = "iaf_adamax",
        **kwargs: Any,
    ) -> None:
        """Creates the optimizer.

        Args:
          learning_rate: A number or a schedule.
          beta_1: Decay of the mean of the gradients, in [0, 1).
          beta_2: Decay of the norm, in (0, 1).
          epsilon: Added to the norm at each step.
          name: Name of the optimizer.
          **kwargs: As for `UpdateRule`.
        """
        super().__init__(learning_rate, beta_1, beta_2, epsilon, name, **kwargs)

    def scalars(self, step: tf.Tensor, learning_rate: tf.Tensor) -> dict[str, Any]:
        """See `UpdateRule.scalars`."""
        dtype = step.dtype
        kernel = {
            "beta1_power": tf.constant(0.0, dtype),  # no bias is corrected
            "lr": learning_rate,
            "beta1": tf.constant(self.beta_1, dtype),
            "beta2": tf.constant(self.beta_2, dtype),
            "epsilon": tf.constant(0.0, dtype),
        }
        return {"kernel": kernel, "additions": _Additions(self.epsilon / self.beta_2)}

    def update(
        self, variable: tf.Variable, gradient: tf.Tensor, slots: Sequence[tf.Variable], scalars: dict[str, Any]
    ) -> None:
        """See `UpdateRule.update`."""
        momentum, norm = slots
        # Before the kernel multiplies it by beta_2: the norm's epsilon, by one operation more.
        scalars["additions"].add_to(norm)
        tf.raw_ops.ResourceApplyAdaMax(
            var=variable.handle, m=momentum.handle, v=norm.handle, grad=gradient, **scalars["kernel"]
        )


class _Additions:
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
      >>> from tfflows.training.optimizers import global_norm
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
