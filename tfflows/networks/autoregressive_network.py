"""The network of an inverse autoregressive flow."""

import keras
import tensorflow as tf

from tfflows.math.random import derive_seed
from tfflows.networks.data_dependent import call_layer, initialize_layer
from tfflows.networks.exponential_gain import RELEASED, AutoregressiveConv2D

# Of what the last layers give (released code).
_OUTPUT_SCALE = 0.1


class AutoregressiveNetwork(keras.layers.Layer):
    """Shifts and log-scales of each number given those before it: `[B, H, W, C] -> [B, H, W, 2 C]`; float32 under any policy.

    ELU(masked 3x3 + context), ELU(masked 3x3), and a strictly masked 3x3 convolution for each of the two, times 0.1. Called with
    `(z, condition)`: None, a context `[B, H, W, width]`, or a dictionary that holds it as `context`.

    Source: Kingma et al. 2016; released code (`ar_multiconv2d`).
    """

    def __init__(self, channels, width, compatibility=RELEASED, seed=0, **kwargs):
        """Creates and builds the layers.

        Args:
          channels: Python `int` C.
          width: Python `int`, hidden channels: a multiple of C, or a divisor of it.
          compatibility: As for `ExponentialGainConv2D`.
          seed: Python `int` of the initial parameters.
          **kwargs: As in Keras.

        Raises:
          ValueError: if of width and channels neither divides the other.
        """
        super().__init__(autocast=False, **kwargs)
        self.channels = channels
        self.width = width

        def layer(name, filters, strict, in_channels):
            own_seed = derive_seed(seed, name)
            made = AutoregressiveConv2D(
                filters, strict, compatibility=compatibility, seed=own_seed, dtype=self.dtype_policy
            )
            made.build([None, None, None, in_channels])
            return made

        self.hidden1 = layer("hidden1", width, False, channels)
        self.hidden2 = layer("hidden2", width, False, width)
        self.shift = layer("shift", channels, True, width)
        self.log_scale = layer("log_scale", channels, True, width)
        self.built = True

    def call(self, z, condition=None):
        return self._run(call_layer, z, condition)

    def initialize(self, z, condition=None):
        """Data-dependent init, layer after layer, from a batch; returns the output on it."""
        return self._run(initialize_layer, z, condition)

    def _run(self, run, z, condition):
        context = condition.get("context") if isinstance(condition, dict) else condition
        hidden = run(self.hidden1, z)
        if context is not None:
            hidden += tf.cast(context, hidden.dtype)
        hidden = tf.nn.elu(run(self.hidden2, tf.nn.elu(hidden)))
        out = tf.concat([run(self.shift, hidden), run(self.log_scale, hidden)], axis=-1)
        return _OUTPUT_SCALE * tf.cast(out, self.variable_dtype)

    def compute_output_shape(self, input_shape, *rest):
        return (*input_shape[:-1], 2 * self.channels)
