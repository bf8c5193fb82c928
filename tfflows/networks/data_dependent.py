"""Convolutions whose outputs a first batch brings to zero mean and a given deviation."""

import keras
import tensorflow as tf

from tfflows.math.random import derive_seed

# Under the square root of the variance, and the least squared norm of a kernel (released Flow++).
_VARIANCE_EPSILON = 1e-8
_NORM_EPSILON = 1e-12


class DataDependentConv2D(keras.layers.Layer):
    """`conv(x) + bias`, stride 1, zeros as padding; with `weight_norm` the kernel is `g v / ||v||`, a norm an output channel.

    Kernel (or v) N(0, 0.05^2), g = 1, bias 0. `initialize(x)` scales the kernel (or g) and sets the bias so that the outputs of
    a batch have mean 0 and standard deviation `init_scale` in each channel.

    A kernel of 1x1 is a dense layer on the channels. Under the policy `mixed_bfloat16` the convolution is computed in
    bfloat16; variables and their gradients are float32.

    Shapes: `[B, H, W, C] -> [B, H, W, filters]`, of the compute dtype. Source: Salimans & Kingma 2016; released Flow++ code
    (without weight norm in the CIFAR-10 and 64x64 models).
    """

    def __init__(self, filters, kernel_size=3, init_scale=1.0, weight_norm=False, seed=0, **kwargs):
        """Args: filters, kernel_size: Python `int`s; init_scale: Python `float`; seed: of the kernel; rest: as in Keras."""
        super().__init__(autocast=False, **kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.init_scale = init_scale
        self.weight_norm = weight_norm
        self._initializer = keras.initializers.RandomNormal(stddev=0.05, seed=derive_seed(seed, "kernel"))

    def build(self, input_shape):
        size = self.kernel_size
        self.kernel = self.add_weight(
            shape=(size, size, input_shape[-1], self.filters),
            initializer=self._initializer,
            name="kernel",
            autocast=False,
        )
        if self.weight_norm:
            self.norm = self.add_weight(shape=(self.filters,), initializer="ones", name="norm", autocast=False)
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias", autocast=False)
        self.built = True

    def call(self, x):
        bias = tf.convert_to_tensor(self.bias)
        if self.compute_dtype == self.variable_dtype:
            return tf.nn.bias_add(self._convolve(x), bias)
        # On CPU the gradient of `bias_add` adds bfloat16 to bfloat16 until nothing is added any more; a plain sum's does not.
        return self._convolve(x) + tf.cast(bias, self.compute_dtype)

    def initialize(self, x):
        """Data-dependent init from a batch `[B, H, W, C]`; returns the layer's output on it."""
        before = tf.cast(self._convolve(x), self.variable_dtype)
        bias = tf.convert_to_tensor(self.bias) if self.weight_norm else tf.zeros([self.filters], before.dtype)
        mean, variance = tf.nn.moments(before + bias, axes=[0, 1, 2])
        scale = self.init_scale * tf.math.rsqrt(variance + _VARIANCE_EPSILON)
        scaled = self.norm if self.weight_norm else self.kernel
        scaled.assign(tf.convert_to_tensor(scaled) * scale)
        self.bias.assign(bias - mean * scale)
        # What the layer now gives, without a second convolution.
        return tf.cast(before * scale + tf.convert_to_tensor(self.bias), self.compute_dtype)

    def _convolve(self, x):
        kernel = tf.convert_to_tensor(self.kernel)
        if self.weight_norm:
            squared_norm = tf.reduce_sum(tf.square(kernel), axis=[0, 1, 2])
            kernel = kernel * (tf.convert_to_tensor(self.norm) * tf.math.rsqrt(tf.maximum(squared_norm, _NORM_EPSILON)))
        x, kernel = tf.cast(x, self.compute_dtype), tf.cast(kernel, self.compute_dtype)
        if self.kernel_size > 1:
            return tf.nn.conv2d(x, kernel, strides=1, padding="SAME")
        rows = tf.matmul(tf.reshape(x, [-1, kernel.shape[2]]), kernel[0, 0])
        out = tf.reshape(rows, tf.concat([tf.shape(x)[:-1], [self.filters]], axis=0))
        return tf.ensure_shape(out, [*x.shape[:-1], self.filters])

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)


def call_layer(layer, *inputs):
    """`layer(*inputs)`: one of the two ways to run a network, see `initialize_layer`."""
    return layer(*inputs)


def initialize_layer(layer, *inputs):
    """Data-dependent init of a layer that has it, else a plain call; returns the layer's output either way."""
    return getattr(layer, "initialize", layer)(*inputs)
