"""Networks of Glow: convolutions with actnorm, last layers that are zero at init, the coupling network, the top prior."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfflows.math import actnorm
from tfflows.math.convolution import border_convolution, conv2d, convolution_with_border, deinterleave
from tfflows.math.random import derive_seed
from tfflows.networks.layers import TakesLabels
from tfflows.tracing.variables import check_built

PADDINGS = ("border", "zeros")


class _Conv2D(keras.layers.Layer):
    """Convolution of stride 1 with padding SAME: the kernel and the two kinds of padding.

    Under a mixed policy the variables, whatever is computed from them alone and the sums over images stay in the variables'
    dtype. The image and the kernel are cast here and not by Keras, because plain tensors may take the place of a layer's
    variables.
    """

    def __init__(self, filters: int, kernel_size: int, padding: str, kernel_initializer: Any, **kwargs: Any) -> None:
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
        """Convolution plus a bias `[filters]`, in `dtype`; terms that depend on the position alone are added at once.

        The convolution is computed in the compute dtype.
        """
        x = tf.cast(x, self.compute_dtype)
        if self.has_border_channel:
            inner, border = convolution_with_border(x, kernel, self.compute_dtype)
            return tf.cast(inner, dtype) + tf.cast(border + bias, dtype)
        inner = conv2d(x, tf.cast(kernel, self.compute_dtype), strides=1, padding="SAME")
        if tf.as_dtype(dtype) == bias.dtype:
            return tf.nn.bias_add(tf.cast(inner, dtype), bias)
        # On CPU the gradient of `bias_add` sums in bfloat16 until further terms round to nothing; that of a plain sum does not.
        return inner + tf.cast(bias, dtype)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Returns the shape of the output for inputs of `input_shape`."""
        return (*input_shape[:-1], self.filters)


class ActNormConv2D(_Conv2D):
    """Convolution followed by an actnorm: `(conv(x) + bias) * exp(log_scale_factor * log_scale)`.

    The kernel is drawn from N(0, 0.05^2). `initialize(x)` sets bias and scale so that the outputs for a batch have mean 0 and
    standard deviation 1 in each channel. With `padding='border'` the zero-padded input gets one more channel, which is 1 on the
    padding and 0 inside.

    Shapes: `[B, H, W, C] -> [B, H, W, filters]`; the output has the compute dtype.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.networks import ActNormConv2D
      >>> x = tf.random.stateless_normal([4, 8, 8, 3], seed=[0, 0])
      >>> layer = ActNormConv2D(filters=2)
      >>> layer.build(x.shape)
      >>> out = layer.initialize(x)
      >>> tf.math.reduce_std(out, axis=[0, 1, 2]).numpy().round(3)
      array([1., 1.], dtype=float32)
      >>> layer.kernel.shape  # the border adds an input channel
      TensorShape([3, 3, 4, 2])

    References:
      Kingma & Dhariwal 2018, section 3.1, https://arxiv.org/abs/1807.03039 (padding `'zeros'`); released code (openai/glow,
      `conv2d`; padding `'border'`).
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        padding: str = "border",
        use_actnorm: bool = True,
        log_scale_factor: float = 3.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Creates the layer.

        Args:
          filters: Number of output channels.
          kernel_size: Side of the kernel, odd.
          padding: `'border'` (released code) or `'zeros'` (paper).
          use_actnorm: If False, a plain bias takes the place of the actnorm.
          log_scale_factor: Factor of the log-scales.
          seed: Seed of the kernel.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).

        Raises:
          ValueError: If `padding` is unknown or `kernel_size` even.
        """
        initializer = keras.initializers.RandomNormal(stddev=0.05, seed=derive_seed(seed, "kernel"))
        super().__init__(filters, kernel_size, padding, initializer, **kwargs)
        self.use_actnorm = use_actnorm
        self.log_scale_factor = log_scale_factor

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Creates the variables for inputs of `input_shape`."""
        self._build_kernel(input_shape)
        self.bias = self._add_vector("bias")
        if self.use_actnorm:
            self.log_scale = self._add_vector("log_scale")
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Computes the output that the class describes."""
        kernel, bias = tf.convert_to_tensor(self.kernel), tf.convert_to_tensor(self.bias)
        if self.use_actnorm:
            # Scaling the kernel costs less than scaling the activations.
            scale = tf.exp(self.log_scale_factor * tf.convert_to_tensor(self.log_scale))
            kernel, bias = kernel * scale, bias * scale
        return self._convolve(x, kernel, bias, self.compute_dtype)

    def initialize(self, x: tf.Tensor) -> tf.Tensor:
        """Initializes the actnorm from a batch `[B, H, W, C]` and returns the layer's output for it."""
        if not self.use_actnorm:
            return self(x)
        check_built(self, "its initialize")
        kernel = tf.convert_to_tensor(self.kernel)
        raw = self._convolve(x, kernel, tf.zeros([self.filters], kernel.dtype), kernel.dtype)
        bias, log_scale = actnorm.data_dependent_shift_then_scale(raw, parameter_rank=1)
        self.bias.assign(bias)
        self.log_scale.assign(log_scale / self.log_scale_factor)
        # The layer's output from now on, without a second convolution.
        return tf.cast(actnorm.shift_then_scale(raw, bias, log_scale), self.compute_dtype)


class ZeroConv2D(_Conv2D):
    """Convolution that is zero at init: `(conv(x) + bias) * exp(log_scale_factor * log_scale)`, all variables 0.

    With `deinterleave` the even output channels come first, then the odd ones: the parameters hold the two halves interleaved.

    Shapes: `[B, H, W, C] -> [B, H, W, filters]`. The output has the variables' dtype under any policy, because this is the last
    layer of a network.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.networks import ZeroConv2D
      >>> layer = ZeroConv2D(filters=4, deinterleave=True)
      >>> out = layer(tf.ones([1, 2, 2, 3]))
      >>> float(tf.reduce_max(tf.abs(out)))
      0.0
      >>> _ = layer.bias.assign([0.0, 1.0, 2.0, 3.0])
      >>> layer(tf.ones([1, 2, 2, 3]))[0, 0, 0].numpy()
      array([0., 2., 1., 3.], dtype=float32)

    References:
      Kingma & Dhariwal 2018, section 3.3, https://arxiv.org/abs/1807.03039; gain and border from the released code (openai/glow,
      `conv2d_zeros`).
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        padding: str = "border",
        log_scale_factor: float = 3.0,
        deinterleave: bool = False,
        **kwargs: Any,
    ) -> None:
        """Creates the layer.

        Args:
          filters: Number of output channels.
          kernel_size: Side of the kernel, odd.
          padding: `'border'` (released code) or `'zeros'` (paper).
          log_scale_factor: Factor of the log-scales.
          deinterleave: Whether the even output channels come first, then the odd ones; needs an even number of filters.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).

        Raises:
          ValueError: If `padding` is unknown, `kernel_size` even, or `filters` odd with `deinterleave`.
        """
        super().__init__(filters, kernel_size, padding, "zeros", **kwargs)
        if deinterleave and filters % 2:
            raise ValueError(f"deinterleave needs an even number of filters, got {filters}.")
        self.log_scale_factor = log_scale_factor
        self.deinterleave = deinterleave

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Creates the variables for inputs of `input_shape`."""
        self._build_kernel(input_shape)
        self.bias = self._add_vector("bias")
        self.log_scale = self._add_vector("log_scale")
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Computes the output that the class describes."""
        scale = tf.exp(self.log_scale_factor * tf.convert_to_tensor(self.log_scale))
        kernel, bias = tf.convert_to_tensor(self.kernel) * scale, tf.convert_to_tensor(self.bias) * scale
        if self.deinterleave:  # here rather than on the outputs, which are much larger
            kernel, bias = deinterleave(kernel), deinterleave(bias)
        return self._convolve(x, kernel, bias, self.variable_dtype)


class ZeroDense(keras.layers.Layer):
    """Dense layer that is zero at init: `(x W + bias) * exp(log_scale_factor * log_scale)`, all variables 0.

    Shapes: `[B, C] -> [B, units]`.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.networks import ZeroDense
      >>> layer = ZeroDense(units=2, log_scale_factor=1.0)
      >>> layer(tf.ones([1, 3])).numpy()
      array([[0., 0.]], dtype=float32)
      >>> _ = layer.bias.assign([1.0, 1.0])
      >>> _ = layer.log_scale.assign([0.0, 1.0])
      >>> layer(tf.ones([1, 3])).numpy().round(3)  # 1 and e
      array([[1.   , 2.718]], dtype=float32)

    References:
      Released code of Kingma & Dhariwal 2018 (openai/glow, `linear_zeros`).
    """

    def __init__(self, units: int, log_scale_factor: float = 3.0, **kwargs: Any) -> None:
        """Creates the layer.

        Args:
          units: Number of outputs.
          log_scale_factor: Factor of the log-scales.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).
        """
        super().__init__(**kwargs)
        self.units = units
        self.log_scale_factor = log_scale_factor

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Creates the variables for inputs of `input_shape`."""
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), initializer="zeros", name="kernel")
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")
        self.log_scale = self.add_weight(shape=(self.units,), initializer="zeros", name="log_scale")
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Computes the output that the class describes."""
        gain = tf.exp(self.log_scale_factor * tf.convert_to_tensor(self.log_scale))
        return (tf.matmul(x, tf.convert_to_tensor(self.kernel)) + tf.convert_to_tensor(self.bias)) * gain

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Returns the shape of the output for inputs of `input_shape`."""
        return (*input_shape[:-1], self.units)


class CouplingNetwork(keras.layers.Layer):
    """Network of a Glow coupling: relu(3x3), relu(1x1), 3x3; `[B, H, W, C] -> [B, H, W, filters]`, zero at init.

    Under the policy `mixed_bfloat16` the convolutions are computed in bfloat16; the output, the variables and their gradients
    are float32.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.networks import CouplingNetwork
      >>> network = CouplingNetwork(width=8, filters=4)
      >>> out = network(tf.ones([2, 4, 4, 2]))
      >>> out.shape, float(tf.reduce_max(tf.abs(out)))
      (TensorShape([2, 4, 4, 4]), 0.0)
      >>> network.count_params()
      644

    References:
      Kingma & Dhariwal 2018, section 3.3 (512 hidden channels), https://arxiv.org/abs/1807.03039; actnorm in the hidden layers,
      gains and border channel from the released code (openai/glow).
    """

    def __init__(
        self,
        width: int,
        filters: int,
        padding: str = "border",
        deinterleave: bool = False,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Creates the layers.

        Args:
          width: Number of hidden channels.
          filters: Number of output channels.
          padding: `'border'` (released code) or `'zeros'` (paper).
          deinterleave: Whether the even output channels come first, then the odd ones; see `ZeroConv2D`.
          seed: Seed of the kernels.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).
        """
        super().__init__(autocast=False, **kwargs)
        policy = {"dtype": self.dtype_policy}
        self.hidden1 = ActNormConv2D(width, 3, padding, seed=derive_seed(seed, 1), **policy)
        self.hidden2 = ActNormConv2D(width, 1, padding, seed=derive_seed(seed, 2), **policy)
        self.last = ZeroConv2D(filters, 3, padding, deinterleave=deinterleave, **policy)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Creates the variables for inputs of `input_shape`."""
        hidden_shape = self.hidden1.compute_output_shape(input_shape)
        self.hidden1.build(input_shape)
        self.hidden2.build(hidden_shape)
        self.last.build(hidden_shape)
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Computes the output that the class describes."""
        return self.last(tf.nn.relu(self.hidden2(tf.nn.relu(self.hidden1(x)))))

    def initialize(self, x: tf.Tensor) -> tf.Tensor:
        """Initializes the hidden layers one after another from a batch and returns the output for it."""
        check_built(self, "its initialize")
        hidden = tf.nn.relu(self.hidden1.initialize(x))
        hidden = tf.nn.relu(self.hidden2.initialize(hidden))
        return self.last(hidden)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Returns the shape of the output for inputs of `input_shape`."""
        return self.last.compute_output_shape(input_shape)


class TopPrior(TakesLabels, keras.layers.Layer):
    """Parameters of the top latent's prior: means in the first n channels, log-scales in the last n; zero at init.

    The sum of two terms: with `learn` a zero convolution of a zero image, of which only border channel, bias and gain act; with
    `num_classes` a zero linear map of the one-hot label, the same at every pixel.

    Called without arguments, or with integer labels `[B]` if `num_classes` is positive. Returns `[1, H, W, 2 n]`, with labels
    `[B, H, W, 2 n]`. Labels other than `0 ... num_classes - 1` raise a `ValueError`; in a graph that does not know them, their
    parameters are NaN.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.networks import TopPrior
      >>> TopPrior([4, 4, 6])().shape
      TensorShape([1, 4, 4, 12])
      >>> TopPrior([4, 4, 6], num_classes=10)(tf.constant([3, 7])).shape
      TensorShape([2, 4, 4, 12])

    References:
      Released code of Kingma & Dhariwal 2018 (openai/glow, `prior`; options `learntop` and `ycond`).
    """

    def __init__(
        self,
        latent_shape: Sequence[int],
        learn: bool = True,
        num_classes: int = 0,
        log_scale_factor: float = 3.0,
        **kwargs: Any,
    ) -> None:
        """Creates the prior.

        Args:
          latent_shape: `[H, W, n]`.
          learn: Whether the prior has the convolution.
          num_classes: Number of classes, 0 for an unconditional prior.
          log_scale_factor: Factor of the log-scales.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).
        """
        super().__init__(**kwargs)
        self.height, self.width, channels = tf.TensorShape(latent_shape).as_list()
        self.parameter_channels = 2 * channels
        self.learn = learn
        self.num_classes = num_classes
        self.log_scale_factor = log_scale_factor
        if num_classes:
            self.label_embedding = ZeroDense(self.parameter_channels, log_scale_factor, dtype=self.dtype_policy)

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Creates the variables for inputs of `input_shape`."""
        if self.learn:
            # The input channels see only zeros: they are dead weight that the released checkpoints contain.
            shape = (3, 3, self.parameter_channels + 1, self.parameter_channels)
            self.kernel = self.add_weight(shape=shape, initializer="zeros", name="kernel")
            self.bias = self.add_weight(shape=(self.parameter_channels,), initializer="zeros", name="bias")
            self.log_scale = self.add_weight(shape=(self.parameter_channels,), initializer="zeros", name="log_scale")
        if self.num_classes:
            self.label_embedding.build((None, self.num_classes))
        self.built = True

    def call(self, labels: tf.Tensor | None = None) -> tf.Tensor:
        """Computes the output that the class describes."""
        parameters = tf.zeros([1, self.height, self.width, self.parameter_channels], self.compute_dtype)
        if self.learn:
            scale = tf.exp(self.log_scale_factor * tf.convert_to_tensor(self.log_scale))
            border_kernel = tf.convert_to_tensor(self.kernel)[:, :, self.parameter_channels :]
            border = border_convolution(self.height, self.width, border_kernel)
            parameters += (border + tf.convert_to_tensor(self.bias)) * scale
        if self.num_classes:
            parameters += self.label_embedding(one_hot_labels(labels, self.num_classes, self.compute_dtype))[
                :, tf.newaxis, tf.newaxis, :
            ]
        return parameters


def one_hot_labels(labels: tf.Tensor, num_classes: int, dtype: tf.DType | str = tf.float32) -> tf.Tensor:
    """`[B, num_classes]` of integer labels `[B]`; a row of NaN for a label out of range that a graph does not know.

    Raises:
      ValueError: If labels that are known are out of range.

    Example:
      >>> from tfflows.networks.glow import one_hot_labels
      >>> print(one_hot_labels([2, 0], num_classes=3).numpy())
      [[0. 0. 1.]
       [1. 0. 0.]]
    """
    labels = tf.convert_to_tensor(labels)
    known = tf.get_static_value(labels)
    if known is not None and ((known < 0) | (known >= num_classes)).any():
        wrong = sorted({int(label) for label in known.ravel() if not 0 <= label < num_classes})
        raise ValueError(f"Labels must be 0 to {num_classes - 1}, got {', '.join(map(str, wrong))}.")
    one_hot = tf.one_hot(labels, num_classes, dtype=dtype)
    if known is not None:
        return one_hot
    # Zeros would be the distribution of no class at all.
    in_range = (labels >= 0) & (labels < num_classes)
    return tf.where(in_range[..., tf.newaxis], one_hot, tf.constant(float("nan"), dtype))
