"""The residual blocks of Flow++: gated convolution, gated self-attention, and what replaces attention in the ablation."""

import keras
import tensorflow as tf

from tfflows.math.attention import self_attention
from tfflows.math.gating import concat_elu, dropout_rows, gate
from tfflows.math.random import derive_seed
from tfflows.networks.data_dependent import DataDependentConv2D, call_layer, initialize_layer

# Of the last layer of a residual branch, at init.
_BRANCH_SCALE = 0.1


class _GatedBlock(keras.layers.Layer):
    """`x + gate(last(dropout(branch(x))))`; under `mixed_bfloat16` all of it is bfloat16, but the variables."""

    def __init__(self, dropout_rate, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.dropout_rate = dropout_rate

    def _layer(self, filters, kernel_size, init_scale, weight_norm, seed):
        return DataDependentConv2D(filters, kernel_size, init_scale, weight_norm, seed, dtype=self.dtype_policy)

    def _joined(self, run, x, branch, dropout_keys):
        return x + gate(run(self.last, dropout_rows(branch, self.dropout_rate, dropout_keys)))

    def call(self, x, *inputs):
        return self._run(call_layer, x, *inputs)

    def initialize(self, x, *inputs):
        """Data-dependent init, layer after layer, from a batch; arguments and result as in a call."""
        return self._run(initialize_layer, x, *inputs)

    def compute_output_shape(self, input_shape, *rest):
        return input_shape


class GatedConvolution(_GatedBlock):
    """`x + gate(last(dropout(concat_elu(h))))`, `h = conv(concat_elu(x)) + dense(concat_elu(context))`.

    Called with `(x, context, dropout_keys)`: `[B, H, W, C]`, `[B, H, W, C_context]` or None, `RowKeys` or None.

    Source: Ho et al. 2019, section 3.4 ("Conv"); van den Oord et al. 2016; released code.
    """

    def __init__(
        self, filters, context_filters=0, last_kernel_size=1, dropout_rate=0.0, weight_norm=False, seed=0, **kwargs
    ):
        """Args: filters: C; context_filters: 0 for no context; last_kernel_size: 1, or 3 in context networks; rest as usual."""
        super().__init__(dropout_rate, **kwargs)
        self.filters = filters
        self.context_filters = context_filters
        self.first = self._layer(filters, 3, 1.0, weight_norm, derive_seed(seed, "first"))
        self.context = None
        if context_filters:
            self.context = self._layer(filters, 1, 1.0, weight_norm, derive_seed(seed, "context"))
        self.last = self._layer(2 * filters, last_kernel_size, _BRANCH_SCALE, weight_norm, derive_seed(seed, "last"))

    def build(self, input_shape, *rest):
        *outer, channels = input_shape
        if channels != self.filters:
            raise ValueError(f"A residual block of {self.filters} filters got {channels} channels.")
        doubled = (*outer, 2 * channels)
        self.first.build(doubled)
        if self.context is not None:
            self.context.build((*outer, 2 * self.context_filters))
        self.last.build(doubled)
        self.built = True

    def _run(self, run, x, context=None, dropout_keys=None):
        hidden = run(self.first, concat_elu(x))
        if self.context is not None:
            if context is None:
                raise ValueError(f"{self.name} needs a context of {self.context_filters} channels.")
            hidden += run(self.context, concat_elu(tf.cast(context, hidden.dtype)))
        return self._joined(run, x, concat_elu(hidden), dropout_keys)


class _PositionalBlock(_GatedBlock):
    """A block whose first layer sees `x + position`, a table that all blocks of a network share."""

    def __init__(self, filters, dropout_rate=0.0, weight_norm=False, seed=0, **kwargs):
        super().__init__(dropout_rate, **kwargs)
        self.filters = filters
        self.first = self._layer(3 * filters, 1, 1.0, weight_norm, derive_seed(seed, "first"))
        self.last = self._layer(2 * filters, 1, _BRANCH_SCALE, weight_norm, derive_seed(seed, "last"))

    def build(self, input_shape, *rest):
        self.first.build(input_shape)
        self.last.build(input_shape)
        self.built = True

    def _run(self, run, x, position, dropout_keys=None):
        mixed = self._mix(run(self.first, x + tf.cast(position, x.dtype)))
        return self._joined(run, x, mixed, dropout_keys)


class GatedAttention(_PositionalBlock):
    """`x + gate(last(dropout(attention(q, k, v))))`, `[q, k, v] = first(x + position)`, over all positions of an image.

    Called with `(x, position, dropout_keys)`: `[B, H, W, C]`, `[H, W, C]`, `RowKeys` or None.

    Source: Ho et al. 2019, section 3.4 ("Attn"); released code.
    """

    def __init__(self, filters, num_heads=4, dropout_rate=0.0, weight_norm=False, seed=0, **kwargs):
        """Args: filters: C, a multiple of num_heads; rest as usual."""
        if filters % num_heads:
            raise ValueError(f"{filters} filters cannot be cut into {num_heads} heads; give a multiple.")
        super().__init__(filters, dropout_rate, weight_norm, seed, **kwargs)
        self.num_heads = num_heads

    def _mix(self, x):
        return self_attention(x, self.num_heads)


class GatedMaximum(_PositionalBlock):
    """As `GatedAttention`, with the maximum of three channels in the place of attention: no position sees another.

    It has the same parameters. Source: released Flow++ code, for the ablation without attention.
    """

    def _mix(self, x):
        *_, channels = x.shape
        triples = tf.reshape(x, tf.concat([tf.shape(x)[:-1], [channels // 3, 3]], axis=0))
        first, second, third = tf.unstack(triples, axis=-1)
        return tf.maximum(tf.maximum(first, second), third)
