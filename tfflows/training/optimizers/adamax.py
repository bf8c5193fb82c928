"""Adamax as the released Glow and IAF code have it."""

import tensorflow as tf

from tfflows.training.optimizers.update_rule import Additions, UpdateRule


class GlowAdamax(UpdateRule):
    """Adamax with Adam's bias correction, which differs from the textbook's (and Keras') Adamax.

    With t = 1, 2, ...:
    `alpha = learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t)`;
    `m = beta_1 m + (1 - beta_1) g`; `u = max(beta_2 u, |g|)`; `theta = theta - alpha m / (u + epsilon)`.
    Adamax has no factor `sqrt(1 - beta_2**t)`: with beta_2 = 0.9898 the first step here is a tenth of its.

    Source: the released Glow code (`optim.adamax`); Kingma & Ba 2015, section 7.1.
    """

    slot_names = ("momentums", "norms")

    def __init__(self, learning_rate=1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-8, name="glow_adamax", **kwargs):
        """Args: learning_rate: float or schedule; beta_1, beta_2, epsilon: Python floats; rest as in `UpdateRule`."""
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def scalars(self, step, learning_rate):
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

    def update(self, variable, gradient, slots, scalars):
        momentum, norm = slots
        tf.raw_ops.ResourceApplyAdaMax(var=variable.handle, m=momentum.handle, v=norm.handle, grad=gradient, **scalars)

    def get_config(self):
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}


class IAFAdamax(UpdateRule):
    """Adamax without correction of the bias, whose epsilon is added to the norm at each step.

    `m = beta_1 m + (1 - beta_1) g`; `u = max(beta_2 u + epsilon, |g|)`; `theta = theta - learning_rate m / u`. Without a gradient
    u falls to `epsilon / (1 - beta_2)`, not to 0.

    Source: the released IAF code (`AdamaxOptimizer`); Kingma & Ba 2015, section 7.1.
    """

    slot_names = ("momentums", "norms")

    def __init__(self, learning_rate=2e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-8, name="iaf_adamax", **kwargs):
        """Args: learning_rate: float or schedule; beta_1, beta_2, epsilon: Python floats; rest as in `UpdateRule`."""
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def scalars(self, step, learning_rate):
        dtype = step.dtype
        kernel = {
            "beta1_power": tf.constant(0.0, dtype),  # no bias is corrected
            "lr": learning_rate,
            "beta1": tf.constant(self.beta_1, dtype),
            "beta2": tf.constant(self.beta_2, dtype),
            "epsilon": tf.constant(0.0, dtype),
        }
        return {"kernel": kernel, "additions": Additions(self.epsilon / self.beta_2)}

    def update(self, variable, gradient, slots, scalars):
        momentum, norm = slots
        # Before the kernel multiplies it by beta_2: the norm's epsilon, by one operation more.
        scalars["additions"].add_to(norm)
        tf.raw_ops.ResourceApplyAdaMax(
            var=variable.handle, m=momentum.handle, v=norm.handle, grad=gradient, **scalars["kernel"]
        )

    def get_config(self):
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
