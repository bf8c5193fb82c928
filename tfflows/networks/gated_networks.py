"""The networks of Flow++: conditioners of couplings, and what makes the context of a dequantizer."""

import functools

import keras
import tensorflow as tf

from tfflows.math.gating import concat_elu, layer_norm
from tfflows.math.random import derive_seed, fold_in
from tfflows.networks.data_dependent import DataDependentConv2D, call_layer, initialize_layer
from tfflows.networks.gated_blocks import GatedAttention, GatedConvolution, GatedMaximum
from tfflows.networks.shared_layers import SharedLayers

MIXERS = ("attention", "maximum", "none")

_LAYER_NORM_EPSILON = 1e-5


class LayerNorm(keras.layers.LayerNormalization):
    """Keras' layer norm of the channels, but its gradients can be differentiated; see `tfflows.math.gating.layer_norm`."""

    def call(self, inputs):
        x = tf.cast(inputs, tf.float32) if inputs.dtype.size < 4 else inputs
        scale, bias = (keras.ops.convert_to_tensor(variable, x.dtype.name) for variable in (self.gamma, self.beta))
        return tf.cast(layer_norm(x, scale, bias, self.epsilon), self.compute_dtype)


class _GatedNetwork(keras.layers.Layer):
    """A 3x3 convolution, then `num_blocks` residual units: gated convolution, and attention or what stands for it."""

    def __init__(
        self, width, num_blocks, mixer, num_heads, layer_norm, context_filters, last_kernel_size, dropout_rate,
        weight_norm, seed, **kwargs
    ):  # fmt: skip
        super().__init__(autocast=False, **kwargs)
        if mixer not in MIXERS:
            raise ValueError(f"mixer must be one of {MIXERS}, got {mixer!r}.")
        self.width = width
        self.mixer = mixer
        self._position_initializer = keras.initializers.RandomNormal(stddev=0.01, seed=derive_seed(seed, "position"))
        common = {"dropout_rate": dropout_rate, "weight_norm": weight_norm, "dtype": self.dtype_policy}
        self.first = DataDependentConv2D(
            width, 3, weight_norm=weight_norm, seed=derive_seed(seed, "first"), dtype=self.dtype_policy
        )
        blocks = []
        for number in range(num_blocks):
            own_seed = derive_seed(seed, "block", number)
            layers = [
                GatedConvolution(
                    width, context_filters, last_kernel_size, seed=derive_seed(own_seed, "convolution"), **common
                )
            ]
            if mixer != "none":
                options = {"seed": derive_seed(own_seed, "mixer"), **common}
                attention = mixer == "attention"
                layers.append(
                    GatedAttention(width, num_heads, **options) if attention else GatedMaximum(width, **options)
                )
            if layer_norm:
                layers = [layer for residual in layers for layer in (residual, self._norm())]
            blocks.append(layers)
        self.blocks = blocks
        self._shared = SharedLayers(functools.partial(_run_block, call_layer), blocks)

    def _norm(self):
        return LayerNorm(epsilon=_LAYER_NORM_EPSILON, dtype=self.dtype_policy)

    def _build_blocks(self, input_shape, has_position):
        hidden_shape = self.first.compute_output_shape(input_shape)
        self.first.build(input_shape)
        if has_position:
            self.position = self.add_weight(
                shape=hidden_shape[1:], initializer=self._position_initializer, name="position", autocast=False
            )
        for block in self.blocks:
            for layer in block:
                layer.build(hidden_shape)
        return hidden_shape

    def _hidden(self, run, x, context, dropout_keys, position):
        x = run(self.first, x)
        for number, block in enumerate(self.blocks):
            keys = None if dropout_keys is None else fold_in(dropout_keys, number)
            if run is call_layer:
                x = self._shared(number, x, context, position, keys)
            else:
                x = _run_block(run, block, x, context, position, keys)
        return x


def _run_block(run, block, x, context, position, dropout_keys):
    """The layers of a block one after another, each by `run`."""
    for layer in block:
        if isinstance(layer, GatedConvolution):
            x = run(layer, x, context, None if dropout_keys is None else fold_in(dropout_keys, "convolution"))
        elif isinstance(layer, keras.layers.LayerNormalization):
            x = layer(x)
        else:
            x = run(layer, x, position, None if dropout_keys is None else fold_in(dropout_keys, "mixer"))
    return x


class GatedConditioner(_GatedNetwork):
    """Network of a Flow++ coupling: `[B, H, W, C] -> [B, H, W, filters]`, float32 under any policy.

    A 3x3 convolution to `width` channels; `num_blocks` times gated convolution, layer norm, gated attention, layer norm; a 3x3
    convolution (after `concat_elu` with `last_nonlinearity`) whose outputs `initialize` brings to a deviation of 0.1.

    Called with `(x, condition)`: None, or a dictionary with what there is of `context` (`[B, H, W, C_context]`, seen by every
    gated convolution) and `dropout` (`RowKeys`; without them nothing is dropped).

    Source: Ho et al. 2019, section 3.4; details from the released code.
    """

    def __init__(
        self,
        width,
        filters,
        num_blocks,
        mixer="attention",
        num_heads=4,
        last_nonlinearity=False,
        context_filters=0,
        dropout_rate=0.0,
        weight_norm=False,
        seed=0,
        **kwargs,
    ):
        """Creates the layers.

        Args:
          width: Python `int`, hidden channels.
          filters: Python `int`, output channels.
          num_blocks: Python `int`.
          mixer: `'attention'`, `'maximum'` (the ablation without attention) or `'none'`.
          num_heads: Python `int`, of the attention.
          last_nonlinearity: Python `bool`, whether `concat_elu` comes before the last convolution (released ImageNet models).
          context_filters: Python `int`, channels of the context, 0 for none.
          dropout_rate: Python `float`.
          weight_norm: Python `bool`.
          seed: Python `int` of the initial parameters.
          **kwargs: As in Keras.

        Raises:
          ValueError: if `mixer` is unknown or `width` no multiple of `num_heads`.
        """
        super().__init__(
            width, num_blocks, mixer, num_heads, True, context_filters, 1, dropout_rate, weight_norm, seed, **kwargs
        )  # fmt: skip
        self.last_nonlinearity = last_nonlinearity
        self.last = DataDependentConv2D(
            filters, 3, 0.1, weight_norm, derive_seed(seed, "last"), dtype=self.dtype_policy
        )

    def build(self, input_shape):
        hidden_shape = self._build_blocks(input_shape, has_position=True)
        *outer, channels = hidden_shape
        self.last.build((*outer, 2 * channels) if self.last_nonlinearity else hidden_shape)
        self.built = True

    def call(self, x, condition=None):
        return self._run(call_layer, x, condition)

    def initialize(self, x, condition=None):
        """Data-dependent init, layer after layer, from a batch; returns the output on it."""
        return self._run(initialize_layer, x, condition)

    def _run(self, run, x, condition):
        condition = condition or {}
        position = tf.convert_to_tensor(self.position)
        hidden = self._hidden(run, x, condition.get("context"), condition.get("dropout"), position)
        if self.mixer == "none":
            # The released code holds the table of positions here too, where nothing uses it.
            hidden += tf.cast(0 * position, hidden.dtype)
        if self.last_nonlinearity:
            hidden = concat_elu(hidden)
        return tf.cast(run(self.last, hidden), self.variable_dtype)

    def compute_output_shape(self, input_shape, *rest):
        return self.last.compute_output_shape(input_shape)


class ContextNetwork(_GatedNetwork):
    """What a dequantizer knows of the image: `[B, H, W, C] -> [B, H, W, width]`, called with `(x, dropout_keys)`.

    Source: released Flow++ code: 3 gated convolutions (CIFAR-10), 5 with layer norm (64x64), 8 with layer norm and attention
    (32x32 ImageNet).
    """

    def __init__(
        self,
        width=32,
        num_blocks=3,
        mixer="none",
        num_heads=4,
        layer_norm=False,
        dropout_rate=0.0,
        weight_norm=False,
        seed=0,
        **kwargs,
    ):
        """Creates the layers; arguments as in `GatedConditioner`, `layer_norm`: Python `bool`."""
        super().__init__(
            width, num_blocks, mixer, num_heads, layer_norm, 0, 3, dropout_rate, weight_norm, seed, **kwargs
        )  # fmt: skip

    def build(self, input_shape):
        self._build_blocks(input_shape, has_position=self.mixer != "none")
        self.built = True

    def call(self, x, dropout_keys=None):
        return self._run(call_layer, x, dropout_keys)

    def initialize(self, x, dropout_keys=None):
        """Data-dependent init, layer after layer, from a batch; returns the output on it."""
        return self._run(initialize_layer, x, dropout_keys)

    def _run(self, run, x, dropout_keys):
        position = tf.convert_to_tensor(self.position) if self.mixer != "none" else None
        return self._hidden(run, x, None, dropout_keys, position)

    def compute_output_shape(self, input_shape, *rest):
        return (*input_shape[:-1], self.width)
