"""The network of a masked-convolution flow."""

import keras
import tensorflow as tf

from tfflows.math.random import derive_seed
from tfflows.networks.data_dependent import call_layer, initialize_layer
from tfflows.networks.elu_networks import context_of
from tfflows.networks.weight_norm import MaskedConv2D, WeightNormConv2D


def default_width(channels):
    """Hidden channels of the released MaCow: 4 C up to C = 96, then 2 C, at most 512."""
    return 4 * channels if channels <= 96 else min(2 * channels, 512)


class MaskedNetwork(keras.layers.Layer):
    """Masked convolution, ELU, 1x1 convolution: `[B, H, W, C] -> [B, H, W, filters]`, zero after data-dependent init.

    Called with `(x, condition)`: None, a context `[B, H, W, C_context]`, which goes through a 3x3 convolution and is added before
    the ELU, or a dictionary that holds it as `context`. Outputs at a pixel depend on the inputs that the masked convolution sees,
    and on no other.

    Source: MaCow, section 3.1; widths, weight norm and context: its code.
    """

    def __init__(
        self, filters, kernel_size=(3, 3), kind="masked", order="A", width=None, context_filters=0, seed=0, **kwargs
    ):
        """Creates the layers.

        Args:
          filters: Python `int`, output channels.
          kernel_size: Python `int`s `(height, width)` of the masked convolution.
          kind: `'masked'` or `'shifted'`.
          order: `'A'`, `'B'`; shifted also `'C'`, `'D'`.
          width: Python `int`, hidden channels; None: `default_width` of the input's channels.
          context_filters: Python `int`, channels of the context, 0 for none.
          seed: Python `int` of the initial parameters.
          **kwargs: As in Keras.
        """
        super().__init__(autocast=False, **kwargs)
        self.filters = filters
        self.kernel_size = tuple(kernel_size)
        self.kind = kind
        self.order = order
        self.width = width
        self.context_filters = context_filters
        self._seed = seed

    def build(self, input_shape):
        width = self.width or default_width(input_shape[-1])
        policy = {"dtype": self.dtype_policy}
        self.masked = MaskedConv2D(
            width, self.kernel_size, self.kind, self.order, seed=derive_seed(self._seed, "masked"), **policy
        )
        self.masked.build(input_shape)
        self.context = None
        if self.context_filters:
            self.context = WeightNormConv2D(width, 3, seed=derive_seed(self._seed, "context"), **policy)
            self.context.build((*input_shape[:-1], self.context_filters))
        self.last = WeightNormConv2D(self.filters, 1, init_scale=0.0, seed=derive_seed(self._seed, "last"), **policy)
        self.last.build((*input_shape[:-1], width))
        self.built = True

    def call(self, x, condition=None):
        return self._run(call_layer, x, condition)

    def initialize(self, x, condition=None):
        """Data-dependent init, layer after layer, from a batch; returns the output on it."""
        return self._run(initialize_layer, x, condition)

    def _run(self, run, x, condition):
        hidden = run(self.masked, x)
        if self.context is not None:
            hidden += run(self.context, context_of(self, condition))
        return tf.cast(run(self.last, tf.nn.elu(hidden)), self.variable_dtype)

    def features(self, condition):
        """What the context adds before the ELU, `[B, H, W, width]`; None without one."""
        return None if self.context is None else self.context(context_of(self, condition))

    def pixel_parameters(self):
        """`(bias, last_kernel, last_bias)`, tensors `[width]`, `[width, filters]` and `[filters]`: what `pixel_network` takes."""
        tensors = (self.masked.bias, self.last.effective_kernel()[0, 0], self.last.bias)
        return tuple(tf.cast(tf.convert_to_tensor(tensor), self.compute_dtype) for tensor in tensors)

    def compute_output_shape(self, input_shape, *rest):
        return (*input_shape[:-1], self.filters)


def pixel_network(hidden, bias, last_kernel, last_bias):
    """The rest of a `MaskedNetwork`, of pixels `[..., width]` whose masked sums are known, to `[..., filters]`."""
    hidden = tf.nn.elu(hidden + bias)
    rows = tf.matmul(tf.reshape(hidden, [-1, last_kernel.shape[0]]), last_kernel) + last_bias
    return tf.reshape(rows, tf.concat([tf.shape(hidden)[:-1], [last_kernel.shape[1]]], axis=0))
