"""The optimizer of the released Glow code."""

import keras
import tensorflow as tf


class GlowAdamax(keras.optimizers.Optimizer):
    """Adamax with Adam's bias correction, which differs from the textbook's (and Keras') Adamax.

    With t = 1, 2, ...:
    `alpha = learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t)`;
    `m = beta_1 m + (1 - beta_1) g`; `u = max(beta_2 u, |g|)`; `theta = theta - alpha m / (u + epsilon)`.
    Adamax has no factor `sqrt(1 - beta_2**t)`: with beta_2 = 0.9898 the first step here is a tenth of its.

    Source: the released Glow code (`optim.adamax`); Kingma & Ba 2015, section 7.1.
    """

    def __init__(self, learning_rate=1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-8, name="glow_adamax", **kwargs):
        """Args: learning_rate: float or schedule; beta_1, beta_2, epsilon: Python floats; rest as in Keras."""
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._momentums, self._norms = self.add_optimizer_variables(variables, ["momentum", "norm"])

    def update_step(self, gradient, variable, learning_rate):
        dtype = variable.dtype
        index = self._get_variable_index(variable)
        beta_1, beta_2 = tf.cast(self.beta_1, dtype), tf.cast(self.beta_2, dtype)
        t = tf.cast(tf.convert_to_tensor(self.iterations) + 1, dtype)
        correction = tf.sqrt(1 - tf.pow(beta_2, t))
        # One kernel a variable; it divides the learning rate by 1 - beta_1**t.
        tf.raw_ops.ResourceApplyAdaMax(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._norms[index].value.handle,
            beta1_power=tf.pow(beta_1, t),
            lr=tf.cast(learning_rate, dtype) * correction,
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.cast(self.epsilon, dtype),
            grad=tf.cast(gradient, dtype),
        )

    def get_config(self):
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
