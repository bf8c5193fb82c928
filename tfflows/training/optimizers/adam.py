"""Adam, and as the released PixelCNN++ code has it."""

import tensorflow as tf

from tfflows.training.optimizers.update_rule import Additions, UpdateRule


class Adam(UpdateRule):
    """Keras' Adam by one kernel a variable, with slots of the same names.

    With t = 1, 2, ...:
    `alpha = learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t)`;
    `m = beta_1 m + (1 - beta_1) g`; `v = beta_2 v + (1 - beta_2) g**2`; `theta = theta - alpha m / (sqrt(v) + epsilon)`.

    Source: Kingma & Ba 2015, end of section 2 (there `epsilon` is called "epsilon hat").
    """

    slot_names = ("momentums", "velocities")

    def __init__(self, learning_rate=1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-8, name="adam", **kwargs):
        """Args: learning_rate: float or schedule; beta_1, beta_2, epsilon: Python floats; rest as in `UpdateRule`."""
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def scalars(self, step, learning_rate):
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

    def update(self, variable, gradient, slots, scalars):
        momentum, velocity = slots
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle, m=momentum.handle, v=velocity.handle, grad=gradient, **scalars
        )

    def get_config(self):
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}


class PixelCNNAdam(UpdateRule):
    """Adam with epsilon inside the root.

    With t = 1, 2, ...: `m = beta_1 m + (1 - beta_1) g`; `v = beta_2 v + (1 - beta_2) g**2`;
    `theta = theta - learning_rate (m / (1 - beta_1**t)) / sqrt(v / (1 - beta_2**t) + epsilon)`.

    Source: the released PixelCNN++ code (`adam_updates`); Kingma & Ba 2015.
    """

    slot_names = ("momentums", "velocities")

    def __init__(self, learning_rate=1e-3, beta_1=0.95, beta_2=0.9995, epsilon=1e-8, name="pixelcnn_adam", **kwargs):
        """Args: learning_rate: float or schedule; beta_1, beta_2, epsilon: Python floats; rest as in `UpdateRule`."""
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def scalars(self, step, learning_rate):
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

    def update(self, variable, gradient, slots, scalars):
        momentum, velocity = slots
        # The kernel knows no epsilon within the root: the slot holds w = v + epsilon (1 - beta_2**t), which follows
        # w = beta_2 w + (1 - beta_2) (g**2 + epsilon).
        scalars["additions"].add_to(velocity)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle, m=momentum.handle, v=velocity.handle, grad=gradient, **scalars["kernel"]
        )

    def get_config(self):
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
