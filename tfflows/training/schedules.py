"""Learning-rate schedules."""

import keras
import tensorflow as tf


class LinearWarmup(keras.optimizers.schedules.LearningRateSchedule):
    """`peak * min(1, step / warmup_steps)`, from exactly 0 at step 0; constant `peak` if `warmup_steps` is 0.

    Source: the released Glow code (10 nominal epochs).
    """

    def __init__(self, peak, warmup_steps):
        """Args: peak: Python `float`; warmup_steps: Python `int`."""
        super().__init__()
        self.peak = peak
        self.warmup_steps = warmup_steps

    def __call__(self, step):
        if not self.warmup_steps:
            return tf.constant(self.peak, tf.float32)
        progress = tf.cast(step, tf.float32) / float(self.warmup_steps)
        return self.peak * tf.minimum(1.0, progress)

    def get_config(self):
        return {"peak": self.peak, "warmup_steps": self.warmup_steps}
