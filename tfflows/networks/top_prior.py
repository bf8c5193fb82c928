"""Mean and log-scale of the learned prior over the last level."""

import keras
import tensorflow as tf

from tfflows.math.convolution import border_convolution
from tfflows.networks.dense import ZeroDense


class TopPrior(keras.layers.Layer):
    """`[B or 1, H, W, 2 n]`: means in the first n channels, log-scales in the last n; zero at init.

    The sum of a zero convolution of a zero image (so only its border channel, bias and gain act; `learn=True`) and, with
    `num_classes`, of a zero linear map of the one-hot label, equal over space.

    Call without arguments, or with integer labels `[B]` if `num_classes` is positive.

    Source: the released Glow code (`prior`; options learntop and ycond).
    """

    def __init__(self, latent_shape, learn=True, num_classes=0, log_scale_factor=3.0, **kwargs):
        """Creates the prior.

        Args:
          latent_shape: Integers `[H, W, n]`.
          learn: Python `bool`, whether the convolution is there.
          num_classes: Python `int`, 0 for an unconditional prior.
          log_scale_factor: Python `float`, of the gains.
          **kwargs: As in Keras.
        """
        super().__init__(**kwargs)
        self.height, self.width, channels = tf.TensorShape(latent_shape).as_list()
        self.parameter_channels = 2 * channels
        self.learn = learn
        self.num_classes = num_classes
        self.log_scale_factor = log_scale_factor
        if num_classes:
            self.label_embedding = ZeroDense(self.parameter_channels, log_scale_factor, dtype=self.dtype_policy)

    def build(self, input_shape=None):
        if self.learn:
            # The input channels see only zeros: they are dead weight that the released checkpoints hold.
            shape = (3, 3, self.parameter_channels + 1, self.parameter_channels)
            self.kernel = self.add_weight(shape=shape, initializer="zeros", name="kernel")
            self.bias = self.add_weight(shape=(self.parameter_channels,), initializer="zeros", name="bias")
            self.log_scale = self.add_weight(shape=(self.parameter_channels,), initializer="zeros", name="log_scale")
        if self.num_classes:
            self.label_embedding.build((None, self.num_classes))
        self.built = True

    def call(self, labels=None):
        parameters = tf.zeros([1, self.height, self.width, self.parameter_channels], self.compute_dtype)
        if self.learn:
            scale = tf.exp(self.log_scale_factor * tf.convert_to_tensor(self.log_scale))
            border_kernel = tf.convert_to_tensor(self.kernel)[:, :, self.parameter_channels :]
            border = border_convolution(self.height, self.width, border_kernel)
            parameters += (border + tf.convert_to_tensor(self.bias)) * scale
        if self.num_classes:
            one_hot = tf.one_hot(labels, self.num_classes, dtype=self.compute_dtype)
            parameters += self.label_embedding(one_hot)[:, tf.newaxis, tf.newaxis, :]
        return parameters
