"""The optimizer of the released PixelCNN++ code."""

import tensorflow as tf

from tfflows.training.optimizers.slot_operations import read, subtract, write
from tfflows.training.optimizers.update_rule import UpdateRule


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
        first, second = (1 - tf.pow(tf.constant(beta, step.dtype), step) for beta in (self.beta_1, self.beta_2))
        return {"rate": learning_rate / first, "inverse_second": 1 / second}

    def update(self, variable, gradient, slots, scalars):
        momentum, velocity = slots
        m = write(momentum, self.beta_1 * read(momentum) + (1 - self.beta_1) * gradient)
        v = write(velocity, self.beta_2 * read(velocity) + (1 - self.beta_2) * tf.square(gradient))
        subtract(variable, scalars["rate"] * m * tf.math.rsqrt(v * scalars["inverse_second"] + self.epsilon))

    def get_config(self):
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
