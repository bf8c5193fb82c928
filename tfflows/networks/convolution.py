"""The two convolutions of the released Glow: hidden, followed by actnorm, and last, zero at init."""

import keras
import tensorflow as tf

from tfflows.math import actnorm
from tfflows.math.convolution import convolution_with_border, deinterleave
from tfflows.math.random import derive_seed

PADDINGS = ("border", "zeros")


class _Conv2D(keras.layers.Layer):
    """Stride 1, SAME: the kernel and the two paddings.

    Under a mixed policy the variables, what is computed of them alone and the sums over images stay in the variables' dtype;
    the image and the kernel are cast, here and not by Keras, as a layer's variables may be stood in for by plain tensors.
    """

    def __init__(self, filters, kernel_size, padding, kernel_initializer, **kwargs):
        super().__init__(autocast=False, **kwargs)
        if padding not in PADDINGS:
            raise ValueError(f"padding must be one of {PADDINGS}, got {padding!r}.")
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}.")
        self.filters = filters
        self.kernel_size = kernel_size
        # A 1x1 kernel never sees the padding.
        self.has_border_channel = padding == "border" and kernel_size > 1
        self._kernel_initializer = kernel_initializer

    def _build_kernel(self, input_shape):
        channels = input_shape[-1] + int(self.has_border_channel)
        self.kernel = self.add_weight(
            shape=(self.kernel_size, self.kernel_size, channels, self.filters),
            initializer=self._kernel_initializer,
            name="kernel",
            autocast=False,
        )

    def _add_vector(self, name):
        return self.add_weight(shape=(self.filters,), initializer="zeros", name=name, autocast=False)

    def _convolve(self, x, kernel, bias, dtype):
        """Convolution plus a bias `[filters]`, of a dtype; what depends on position alone is added in one go.

        The convolution is of the compute dtype.
        """
        x = tf.cast(x, self.compute_dtype)
        if self.has_border_channel:
            inner, border = convolution_with_border(x, kernel, self.compute_dtype)
            return tf.cast(inner, dtype) + tf.cast(border + bias, dtype)
        inner = tf.nn.conv2d(x, tf.cast(kernel, self.compute_dtype), strides=1, padding="SAME")
        if tf.as_dtype(dtype) == bias.dtype:
            return tf.nn.bias_add(tf.cast(inner, dtype), bias)
        # On CPU the gradient of `bias_add` adds bfloat16 to bfloat16 until nothing is added any more; a plain sum's does not.
        return inner + tf.cast(bias, dtype)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)


class ActNormConv2D(_Conv2D):
    """`(conv(x) + bias) * exp(log_scale_factor * log_scale)`: a convolution whose bias is an actnorm.

    Kernel N(0, 0.05^2). `initialize(x)` sets bias and scale so that the outputs of a batch have zero mean and unit standard
    deviation per channel. With `padding='border'` the zero padding is joined with a channel that is 1 on it and 0 inside.

    Shapes: `[B, H, W, C] -> [B, H, W, filters]`, of the compute dtype. Source: the released Glow code (`conv2d`); padding
    `'zeros'`: the paper.
    """

    def __init__(
        self,
        filters,
        kernel_size=3,
        padding="border",
        use_actnorm=True,
        log_scale_factor=3.0,
        seed=0,
        **kwargs,
    ):
        """Args: use_actnorm: if False a plain bias takes actnorm's place; seed: Python `int` of the kernel; rest: as in Keras."""
        initializer = keras.initializers.RandomNormal(stddev=0.05, seed=derive_seed(seed, "kernel"))
        super().__init__(filters, kernel_size, padding, initializer, **kwargs)
        self.use_actnorm = use_actnorm
        self.log_scale_factor = log_scale_factor

    def build(self, input_shape):
        self._build_kernel(input_shape)
        self.bias = self._add_vector("bias")
        if self.use_actnorm:
            self.log_scale = self._add_vector("log_scale")
        self.built = True

    def call(self, x):
        kernel, bias = tf.convert_to_tensor(self.kernel), tf.convert_to_tensor(self.bias)
        if self.use_actnorm:
            # Scaling the kernel costs less than scaling the activations.
            scale = tf.exp(self.log_scale_factor * tf.convert_to_tensor(self.log_scale))
            kernel, bias = kernel * scale, bias * scale
        return self._convolve(x, kernel, bias, self.compute_dtype)

    def initialize(self, x):
        """Data-dependent init from a batch `[B, H, W, C]`; returns the layer's output on it."""
        if not self.use_actnorm:
            return self(x)
        kernel = tf.convert_to_tensor(self.kernel)
        raw = self._convolve(x, kernel, tf.zeros([self.filters], kernel.dtype), kernel.dtype)
        bias, log_scale = actnorm.data_dependent_shift_then_scale(raw, parameter_rank=1)
        self.bias.assign(bias)
        self.log_scale.assign(log_scale / self.log_scale_factor)
        # What the layer now gives, without a second convolution.
        return tf.cast(actnorm.shift_then_scale(raw, bias, log_scale), self.compute_dtype)


class ZeroConv2D(_Conv2D):
    """`(conv(x) + bias) * exp(log_scale_factor * log_scale)`, all of it zero at init.

    With `deinterleave` the even channels come first, then the odd ones: two halves of what the parameters hold interleaved.

    Shapes: `[B, H, W, C] -> [B, H, W, filters]`, of the variables' dtype under any policy: it is where a network ends.
    Source: Glow, section 3.3; gain and border: its code (`conv2d_zeros`).
    """

    def __init__(self, filters, kernel_size=3, padding="border", log_scale_factor=3.0, deinterleave=False, **kwargs):
        """Args: deinterleave: Python `bool`, needs an even number of filters; rest as for `ActNormConv2D`."""
        super().__init__(filters, kernel_size, padding, "zeros", **kwargs)
        if deinterleave and filters % 2:
            raise ValueError(f"deinterleave needs an even number of filters, got {filters}.")
        self.log_scale_factor = log_scale_factor
        self.deinterleave = deinterleave

    def build(self, input_shape):
        self._build_kernel(input_shape)
        self.bias = self._add_vector("bias")
        self.log_scale = self._add_vector("log_scale")
        self.built = True

    def call(self, x):
        scale = tf.exp(self.log_scale_factor * tf.convert_to_tensor(self.log_scale))
        kernel, bias = tf.convert_to_tensor(self.kernel) * scale, tf.convert_to_tensor(self.bias) * scale
        if self.deinterleave:  # parameters are few, activations many
            kernel, bias = deinterleave(kernel), deinterleave(bias)
        return self._convolve(x, kernel, bias, self.variable_dtype)
