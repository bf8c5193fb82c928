"""The network of Glow's coupling layers."""

import keras
import tensorflow as tf

from tfflows.math.random import derive_seed
from tfflows.networks.convolution import ActNormConv2D, ZeroConv2D


class CouplingNetwork(keras.layers.Layer):
    """relu(3x3), relu(1x1), zero 3x3: `[B, H, W, C] -> [B, H, W, filters]`, zero at init.

    Under the policy `mixed_bfloat16` the convolutions are computed in bfloat16, and what is returned is float32, as are all
    variables and their gradients.

    Source: Glow, section 3.3 (512 hidden channels); actnorm in the hidden layers, gains and border channel: its code.
    """

    def __init__(self, width, filters, padding="border", deinterleave=False, seed=0, **kwargs):
        """Creates the layers.

        Args:
          width: Python `int`, hidden channels.
          filters: Python `int`, output channels.
          padding: `'border'` (released code) or `'zeros'` (paper).
          deinterleave: Python `bool`, whether even output channels come first, then odd ones; see `ZeroConv2D`.
          seed: Python `int` of the kernels.
          **kwargs: As in Keras.
        """
        super().__init__(autocast=False, **kwargs)
        policy = {"dtype": self.dtype_policy}
        self.hidden1 = ActNormConv2D(width, 3, padding, seed=derive_seed(seed, 1), **policy)
        self.hidden2 = ActNormConv2D(width, 1, padding, seed=derive_seed(seed, 2), **policy)
        self.last = ZeroConv2D(filters, 3, padding, deinterleave=deinterleave, **policy)

    def build(self, input_shape):
        hidden_shape = self.hidden1.compute_output_shape(input_shape)
        self.hidden1.build(input_shape)
        self.hidden2.build(hidden_shape)
        self.last.build(hidden_shape)
        self.built = True

    def call(self, x):
        return self.last(tf.nn.relu(self.hidden2(tf.nn.relu(self.hidden1(x)))))

    def initialize(self, x):
        """Data-dependent init of the hidden layers, one after the other, from a batch; returns the output on it."""
        hidden = tf.nn.relu(self.hidden1.initialize(x))
        hidden = tf.nn.relu(self.hidden2.initialize(hidden))
        return self.last(hidden)

    def compute_output_shape(self, input_shape):
        return self.last.compute_output_shape(input_shape)
