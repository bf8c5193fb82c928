"""Adam, and the variant of the released PixelCNN++ code."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfflows.training.optimizers.update_rule import Additions, UpdateRule


class Adam(UpdateRule):
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
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

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

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}


class PixelCNNAdam(UpdateRule):
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
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

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
        return {"kernel": kernel, "additions": Additions((1 - self.beta_2) / self.beta_2 * self.epsilon)}

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

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
