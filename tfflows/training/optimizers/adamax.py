"""Adamax, as in the released Glow and IAF code."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfflows.training.optimizers.update_rule import Additions, UpdateRule


class GlowAdamax(UpdateRule):
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
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

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

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}


class IAFAdamax(UpdateRule):
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
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

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
        return {"kernel": kernel, "additions": Additions(self.epsilon / self.beta_2)}

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

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
