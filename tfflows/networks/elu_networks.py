"""The networks of MaCow besides the masked ones: of couplings, and of a dequantizer's context. ELU and weight norm throughout."""

import keras
import tensorflow as tf

from tfflows.math.random import derive_seed
from tfflows.networks.data_dependent import call_layer, initialize_layer
from tfflows.networks.weight_norm import WeightNormConv2D, WeightNormConv2DTranspose


class EluCouplingNetwork(keras.layers.Layer):
    """ELU(3x3), ELU(1x1), 3x3: `[B, H, W, C] -> [B, H, W, filters]`, zero after data-dependent init; float32 under any policy.

    Called with `(x, condition)`: None, a context `[B, H, W, C_context]`, which is joined to x, behind it, or a dictionary that
    holds it as `context`.

    Source: MaCow, section 4 (widths); weight norm and ELU: its code.
    """

    def __init__(self, width, filters, context_filters=0, seed=0, **kwargs):
        """Creates the layers.

        Args:
          width: Python `int`, hidden channels.
          filters: Python `int`, output channels.
          context_filters: Python `int`, channels of the context, 0 for none.
          seed: Python `int` of the initial parameters.
          **kwargs: As in Keras.
        """
        super().__init__(autocast=False, **kwargs)
        policy = {"dtype": self.dtype_policy}
        self.context_filters = context_filters
        self.hidden1 = WeightNormConv2D(width, 3, seed=derive_seed(seed, 1), **policy)
        self.hidden2 = WeightNormConv2D(width, 1, seed=derive_seed(seed, 2), **policy)
        self.last = WeightNormConv2D(filters, 3, init_scale=0.0, seed=derive_seed(seed, 3), **policy)

    def build(self, input_shape):
        *outer, channels = input_shape
        hidden_shape = (*outer, self.hidden1.filters)
        self.hidden1.build((*outer, channels + self.context_filters))
        self.hidden2.build(hidden_shape)
        self.last.build(hidden_shape)
        self.built = True

    def call(self, x, condition=None):
        return self._run(call_layer, x, condition)

    def initialize(self, x, condition=None):
        """Data-dependent init, layer after layer, from a batch; returns the output on it."""
        return self._run(initialize_layer, x, condition)

    def _run(self, run, x, condition):
        if self.context_filters:
            x = tf.concat([x, context_of(self, condition)], axis=-1)
        hidden = tf.nn.elu(run(self.hidden1, x))
        hidden = tf.nn.elu(run(self.hidden2, hidden))
        return tf.cast(run(self.last, hidden), self.variable_dtype)

    def compute_output_shape(self, input_shape, *rest):
        return self.last.compute_output_shape(input_shape)


def context_of(network, condition):
    """The `context` of a condition, which may also be the context itself.

    Raises:
      ValueError: if there is none.
    """
    context = condition.get("context") if isinstance(condition, dict) else condition
    if context is None:
        raise ValueError(f"{network.name} needs a context of {network.context_filters} channels.")
    return context


class ResidualBlock(keras.layers.Layer):
    """`ELU(conv(ELU(conv(x))) + x)`, 3x3; x through a 1x1 convolution where the number of channels changes.

    Source: released MaCow.
    """

    def __init__(self, filters, seed=0, **kwargs):
        """Args: filters: Python `int`; seed: of the initial parameters; rest as in Keras."""
        super().__init__(autocast=False, **kwargs)
        policy = {"dtype": self.dtype_policy}
        self.filters = filters
        self.first = WeightNormConv2D(filters, 3, seed=derive_seed(seed, 1), **policy)
        self.second = WeightNormConv2D(filters, 3, seed=derive_seed(seed, 2), **policy)
        self._shortcut_layer = WeightNormConv2D(filters, 1, seed=derive_seed(seed, "shortcut"), **policy)
        self.shortcut = None

    def build(self, input_shape):
        *outer, channels = input_shape
        self.first.build(input_shape)
        self.second.build((*outer, self.filters))
        if channels != self.filters:
            self.shortcut = self._shortcut_layer
            self.shortcut.build(input_shape)
        self.built = True

    def call(self, x):
        return self._run(call_layer, x)

    def initialize(self, x):
        """Data-dependent init, layer after layer, from a batch; returns the output on it."""
        return self._run(initialize_layer, x)

    def _run(self, run, x):
        branch = run(self.second, tf.nn.elu(run(self.first, x)))
        return tf.nn.elu(branch + (x if self.shortcut is None else run(self.shortcut, x)))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)


class ResidualContextNetwork(keras.layers.Layer):
    """What a dequantizer knows of the image: `[B, H, W, C] -> [B, H, W, filters]`, called with `(x, dropout_keys)`.

    Two residual blocks at full size; for each further entry of `planes` a convolution of stride 2 and two more; then back up by
    transposed convolutions; a 1x1 convolution. There are no skip connections, and no dropout.

    Source: released MaCow.
    """

    def __init__(self, planes=(32, 64), filters=4, input_scale=1.0, seed=0, **kwargs):
        """Creates the layers.

        Args:
          planes: Python `int`s, channels at full size, half of it, and so on.
          filters: Python `int`, output channels.
          input_scale: Python `float`, factor of the inputs.
          seed: Python `int` of the initial parameters.
          **kwargs: As in Keras.
        """
        super().__init__(autocast=False, **kwargs)
        policy = {"dtype": self.dtype_policy}
        self.filters = filters
        self._input_scale = input_scale
        self._factor = 2 ** (len(planes) - 1)
        self.down, self.blocks, self.up = [], [], []
        for level, width in enumerate(planes):
            if level:
                self.down.append(WeightNormConv2D(width, strides=2, seed=derive_seed(seed, "down", level), **policy))
            self.blocks.append(
                [ResidualBlock(width, derive_seed(seed, "block", level, number), **policy) for number in range(2)]
            )
        for level in reversed(range(len(planes) - 1)):
            self.up.append(WeightNormConv2DTranspose(planes[level], seed=derive_seed(seed, "up", level), **policy))
        self.last = WeightNormConv2D(filters, 1, seed=derive_seed(seed, "last"), **policy)

    def build(self, input_shape):
        *_, height, width, _ = input_shape
        if any(side is not None and side % self._factor for side in (height, width)):
            raise ValueError(f"{self.name} halves the sides until {self._factor} times smaller; got {input_shape}.")
        shape = input_shape
        for level, blocks in enumerate(self.blocks):
            for layer in ([self.down[level - 1]] if level else []) + blocks:
                layer.build(shape)
                shape = layer.compute_output_shape(shape)
        for layer in [*self.up, self.last]:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        self.built = True

    def call(self, x, dropout_keys=None):
        return self._run(call_layer, x)

    def initialize(self, x, dropout_keys=None):
        """Data-dependent init, layer after layer, from a batch; returns the output on it."""
        return self._run(initialize_layer, x)

    def _run(self, run, x):
        x *= tf.cast(self._input_scale, x.dtype)
        for level, blocks in enumerate(self.blocks):
            if level:
                x = tf.nn.elu(run(self.down[level - 1], x))
            for block in blocks:
                x = run(block, x)
        for layer in self.up:
            x = tf.nn.elu(run(layer, x))
        return run(self.last, x)

    def compute_output_shape(self, input_shape, *rest):
        return (*input_shape[:-1], self.filters)
