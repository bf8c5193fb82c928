"""The linear layer of the released Glow that is zero at init."""

import keras
import tensorflow as tf


class ZeroDense(keras.layers.Layer):
    """`(x W + bias) * exp(log_scale_factor * log_scale)`, all of it zero at init.

    Shapes: `[B, C] -> [B, units]`. Source: the released Glow code (`linear_zeros`).
    """

    def __init__(self, units, log_scale_factor=3.0, **kwargs):
        """Args: units: Python `int`; log_scale_factor: Python `float`; rest as in Keras."""
        super().__init__(**kwargs)
        self.units = units
        self.log_scale_factor = log_scale_factor

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), initializer="zeros", name="kernel")
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")
        self.log_scale = self.add_weight(shape=(self.units,), initializer="zeros", name="log_scale")
        self.built = True

    def call(self, x):
        gain = tf.exp(self.log_scale_factor * tf.convert_to_tensor(self.log_scale))
        return (tf.matmul(x, tf.convert_to_tensor(self.kernel)) + tf.convert_to_tensor(self.bias)) * gain

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)
