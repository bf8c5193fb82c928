"""The networks of Glow: convolutions with actnorm, last layers that are zero at init, the coupling network, the top prior."""

import keras
import tensorflow as tf

from tfflows.math import actnorm
from tfflows.math.convolution import border_convolution, conv2d, convolution_with_border, deinterleave
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
        inner = conv2d(x, tf.cast(kernel, self.compute_dtype), strides=1, padding="SAME")
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
