"""From the features of a ladder to the mean of an image."""

import keras
import tensorflow as tf

from tfflows.networks.exponential_gain import RELEASED, ExponentialGainConv2D, ExponentialGainConv2DTranspose

_HALF_LEVEL = 1 / 512


class ImageHead(keras.layers.Layer):
    """`clip(conv5x5(elu(h)))` within `[-1/2 + 1/512, 1/2 - 1/512]`: `[B, H, W, width] -> [B, s H, s W, C]`, s = 2, 1 or 1/2.

    The convolution is transposed for s = 2, has stride 2 for s = 1/2. Float32 comes out under any policy.

    Source: Kingma et al. 2016, released code (s = 2). Sizes of auxiliary images: Lucas & Verbeek 2018, section 4.2.
    """

    def __init__(self, width, scale=2, channels=3, compatibility=RELEASED, seed=0, **kwargs):
        """Creates and builds the layer.

        Args:
          width: Python `int`, channels of the features.
          scale: 2, 1 or 0.5: how many times as wide as the features the image is.
          channels: Python `int`, of the image.
          compatibility: As for `ExponentialGainConv2D`.
          seed: Python `int` of the initial parameters.
          **kwargs: As in Keras.

        Raises:
          ValueError: if there is no such scale.
        """
        super().__init__(autocast=False, **kwargs)
        if scale not in (2, 1, 0.5):
            raise ValueError(f"An image is 2, 1 or 0.5 times as wide as the features, got {scale}.")
        self.scale = scale
        options = {"compatibility": compatibility, "seed": seed, "dtype": self.dtype_policy}
        if scale == 2:
            self.last = ExponentialGainConv2DTranspose(channels, 5, **options)
        else:
            self.last = ExponentialGainConv2D(channels, 5, strides=1 if scale == 1 else 2, **options)
        self.last.build([None, None, None, width])
        self.built = True

    def call(self, h):
        return self._clipped(self.last(tf.nn.elu(h)))

    def initialize(self, h):
        """Data-dependent init from a batch; returns the output on it."""
        return self._clipped(self.last.initialize(tf.nn.elu(h)))

    def _clipped(self, mean):
        mean = tf.cast(mean, self.variable_dtype)
        return tf.clip_by_value(mean, -0.5 + _HALF_LEVEL, 0.5 - _HALF_LEVEL)
