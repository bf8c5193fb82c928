"""Networks of Flow++: gated residual blocks, the conditioner of couplings, and the context network of a dequantizer."""

import functools
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfflows.math.attention import self_attention
from tfflows.math.gating import concat_elu, dropout_rows, gate, layer_norm
from tfflows.math.random import RowKeys, derive_seed, fold_in
from tfflows.networks.layers import DataDependentConv2D, call_layer, initialize_layer
from tfflows.tracing.shared_layers import SharedLayers
from tfflows.tracing.variables import check_built

MIXERS = ("attention", "maximum", "none")

_LAYER_NORM_EPSILON = 1e-5
# Standard deviation of what the last layer of a residual branch gives after data-dependent init.
_BRANCH_SCALE = 0.1


class _GatedBlock(keras.layers.Layer):
    """`x + gate(last(dropout(branch(x))))`; under `mixed_bfloat16` everything but the variables is bfloat16."""

    def __init__(self, dropout_rate: float, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.dropout_rate = dropout_rate

    def _layer(self, filters, kernel_size, init_scale, weight_norm, seed):
        return DataDependentConv2D(filters, kernel_size, init_scale, weight_norm, seed, dtype=self.dtype_policy)

    def _joined(self, run, x, branch, dropout_keys):
        return x + gate(run(self.last, dropout_rows(branch, self.dropout_rate, dropout_keys)))

    def call(self, x: tf.Tensor, *inputs: Any) -> tf.Tensor:
        """Computes the output that the class describes."""
        return self._run(call_layer, x, *inputs)

    def initialize(self, x: tf.Tensor, *inputs: Any) -> tf.Tensor:
        """Initializes the layers one after another from a batch; arguments and result as in a call."""
        check_built(self, "its initialize")
        return self._run(initialize_layer, x, *inputs)

    def compute_output_shape(self, input_shape: Sequence[int | None], *rest: Any) -> tuple[int | None, ...]:
        """Returns the shape of the output for inputs of `input_shape`."""
        return input_shape


class GatedConvolution(_GatedBlock):
    """Gated residual convolution: `x + gate(last(dropout(concat_elu(h))))`, `[B, H, W, C] -> [B, H, W, C]`.

    Here `h = conv(concat_elu(x)) + dense(concat_elu(context))`. Called with `(x, context, dropout_keys)`: `[B, H, W, C]`,
    `[B, H, W, C_context]` or None, `RowKeys` or None.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.networks import GatedConvolution
      >>> x = tf.random.stateless_normal([4, 8, 8, 6], seed=[0, 0])
      >>> block = GatedConvolution(filters=6)
      >>> block(x).shape
      TensorShape([4, 8, 8, 6])
      >>> block.count_params()  # 3x3 from 12 to 6 channels, 1x1 from 12 to 12
      810

    References:
      Ho et al. 2019, section 3.2.2 ("Conv"), https://arxiv.org/abs/1902.00275; van den Oord et al. 2016,
      https://arxiv.org/abs/1601.06759; released code (aravindsrinivas/flowpp).
    """

    def __init__(
        self,
        filters: int,
        context_filters: int = 0,
        last_kernel_size: int = 1,
        dropout_rate: float = 0.0,
        weight_norm: bool = False,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Creates the layers.

        Args:
          filters: Number of channels C of input and output.
          context_filters: Channels of the context, 0 for none.
          last_kernel_size: Side of the last kernel: 1, or 3 in context networks.
          dropout_rate: Probability that a number is dropped.
          weight_norm: Whether the convolutions have weight norm.
          seed: Seed of the initial parameters.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).
        """
        super().__init__(dropout_rate, **kwargs)
        self.filters = filters
        self.context_filters = context_filters
        self.first = self._layer(filters, 3, 1.0, weight_norm, derive_seed(seed, "first"))
        self.context = None
        if context_filters:
            self.context = self._layer(filters, 1, 1.0, weight_norm, derive_seed(seed, "context"))
        self.last = self._layer(2 * filters, last_kernel_size, _BRANCH_SCALE, weight_norm, derive_seed(seed, "last"))

    def build(self, input_shape: Sequence[int | None], *rest: Any) -> None:
        """Creates the variables for inputs of `input_shape`."""
        *outer, channels = input_shape
        if channels != self.filters:
            raise ValueError(
                f"A residual block of {self.filters} filters got {channels} channels; give inputs of {self.filters} channels."
            )
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
                raise ValueError(f"{self.name} needs a context of {self.context_filters} channels; none was given.")
            hidden += run(self.context, concat_elu(tf.cast(context, hidden.dtype)))
        return self._joined(run, x, concat_elu(hidden), dropout_keys)


class _PositionalBlock(_GatedBlock):
    """A block whose first layer sees `x + position`; all blocks of a network share the table of positions."""

    def __init__(
        self, filters: int, dropout_rate: float = 0.0, weight_norm: bool = False, seed: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(dropout_rate, **kwargs)
        self.filters = filters
        self.first = self._layer(3 * filters, 1, 1.0, weight_norm, derive_seed(seed, "first"))
        self.last = self._layer(2 * filters, 1, _BRANCH_SCALE, weight_norm, derive_seed(seed, "last"))

    def build(self, input_shape: Sequence[int | None], *rest: Any) -> None:
        """Creates the variables for inputs of `input_shape`."""
        self.first.build(input_shape)
        self.last.build(input_shape)
        self.built = True

    def _run(self, run, x, position, dropout_keys=None):
        mixed = self._mix(run(self.first, x + tf.cast(position, x.dtype)))
        return self._joined(run, x, mixed, dropout_keys)


class GatedAttention(_PositionalBlock):
    """Gated residual self-attention over all positions of an image: `[B, H, W, C] -> [B, H, W, C]`.

    Computes `x + gate(last(dropout(attention(q, k, v))))` with `[q, k, v] = first(x + position)`. Called with
    `(x, position, dropout_keys)`: `[B, H, W, C]`, `[H, W, C]`, `RowKeys` or None.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.networks import GatedAttention
      >>> block = GatedAttention(filters=8, num_heads=2)
      >>> block(tf.ones([2, 4, 4, 8]), tf.zeros([4, 4, 8])).shape
      TensorShape([2, 4, 4, 8])

    References:
      Ho et al. 2019, section 3.2.2 ("Attn"), https://arxiv.org/abs/1902.00275; released code (aravindsrinivas/flowpp).
    """

    def __init__(
        self,
        filters: int,
        num_heads: int = 4,
        dropout_rate: float = 0.0,
        weight_norm: bool = False,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Creates the layers.

        Args:
          filters: Number of channels C of input and output, a multiple of `num_heads`.
          num_heads: Number of attention heads.
          dropout_rate: Probability that a number is dropped.
          weight_norm: Whether the dense layers have weight norm.
          seed: Seed of the initial parameters.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).

        Raises:
          ValueError: If `filters` is not a multiple of `num_heads`.
        """
        if filters % num_heads:
            raise ValueError(f"{filters} filters cannot be cut into {num_heads} heads; give a multiple.")
        super().__init__(filters, dropout_rate, weight_norm, seed, **kwargs)
        self.num_heads = num_heads

    def _mix(self, x):
        return self_attention(x, self.num_heads)


class GatedMaximum(_PositionalBlock):
    """Like `GatedAttention`, with the maximum of three channels in place of attention: no position sees another.

    It has the same parameters as a `GatedAttention`.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.networks import GatedAttention, GatedMaximum
      >>> block, attention = GatedMaximum(filters=8), GatedAttention(filters=8)
      >>> x, position = tf.ones([2, 4, 4, 8]), tf.zeros([4, 4, 8])
      >>> block(x, position).shape == attention(x, position).shape
      True
      >>> block.count_params() == attention.count_params()
      True

    References:
      Released code of Ho et al. 2019 (aravindsrinivas/flowpp), for the ablation without attention.
    """

    def _mix(self, x):
        *_, channels = x.shape
        triples = tf.reshape(x, tf.concat([tf.shape(x)[:-1], [channels // 3, 3]], axis=0))
        first, second, third = tf.unstack(triples, axis=-1)
        return tf.maximum(tf.maximum(first, second), third)


class LayerNorm(keras.layers.LayerNormalization):
    """Layer norm of the channels as in Keras, but with gradients that can be differentiated.

    See `tfflows.math.gating.layer_norm`.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.networks.flowpp import LayerNorm
      >>> LayerNorm()(tf.constant([[1.0, 2.0, 3.0]])).numpy().round(2)
      array([[-1.22,  0.  ,  1.22]], dtype=float32)
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Computes the output that the class describes."""
        x = tf.cast(inputs, tf.float32) if inputs.dtype.size < 4 else inputs
        scale, bias = (keras.ops.convert_to_tensor(variable, x.dtype.name) for variable in (self.gamma, self.beta))
        return tf.cast(layer_norm(x, scale, bias, self.epsilon), self.compute_dtype)


class _GatedNetwork(keras.layers.Layer):
    """A 3x3 convolution, then `num_blocks` residual units: gated convolution and attention (or what replaces it)."""

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
    convolution (after `concat_elu` with `last_nonlinearity`) whose outputs have a standard deviation of 0.1 after `initialize`.

    Called with `(x, condition)`, where the condition is None or a dictionary with the entries `context`
    (`[B, H, W, C_context]`, seen by every gated convolution) and `dropout` (`RowKeys`; without them nothing is dropped), both
    optional.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.networks import GatedConditioner
      >>> x = tf.random.stateless_normal([4, 4, 4, 3], seed=[0, 0])
      >>> network = GatedConditioner(width=8, filters=6, num_blocks=1, num_heads=2)
      >>> network.build(x.shape)
      >>> out = network.initialize(x)
      >>> out.shape, round(float(tf.math.reduce_std(out)), 3)
      (TensorShape([4, 4, 4, 6]), 0.1)

    References:
      Ho et al. 2019, section 3.2.2, https://arxiv.org/abs/1902.00275; details from the released code (aravindsrinivas/flowpp).
    """

    def __init__(
        self,
        width: int,
        filters: int,
        num_blocks: int,
        mixer: str = "attention",
        num_heads: int = 4,
        last_nonlinearity: bool = False,
        context_filters: int = 0,
        dropout_rate: float = 0.0,
        weight_norm: bool = False,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Creates the layers.

        Args:
          width: Number of hidden channels.
          filters: Number of output channels.
          num_blocks: Number of residual units.
          mixer: `'attention'`, `'maximum'` (the ablation without attention) or `'none'`.
          num_heads: Number of attention heads.
          last_nonlinearity: Whether `concat_elu` comes before the last convolution (released ImageNet models).
          context_filters: Channels of the context, 0 for none.
          dropout_rate: Probability that a number is dropped.
          weight_norm: Whether the convolutions have weight norm.
          seed: Seed of the initial parameters.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).

        Raises:
          ValueError: If `mixer` is unknown, or `width` is not a multiple of `num_heads` with `mixer='attention'`.
        """
        super().__init__(
            width, num_blocks, mixer, num_heads, True, context_filters, 1, dropout_rate, weight_norm, seed, **kwargs
        )  # fmt: skip
        self.last_nonlinearity = last_nonlinearity
        self.last = DataDependentConv2D(
            filters, 3, 0.1, weight_norm, derive_seed(seed, "last"), dtype=self.dtype_policy
        )

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Creates the variables for inputs of `input_shape`."""
        hidden_shape = self._build_blocks(input_shape, has_position=True)
        *outer, channels = hidden_shape
        self.last.build((*outer, 2 * channels) if self.last_nonlinearity else hidden_shape)
        self.built = True

    def call(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        """Computes the output that the class describes."""
        return self._run(call_layer, x, condition)

    def initialize(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        """Initializes the layers one after another from a batch and returns the output for it."""
        check_built(self, "its initialize")
        return self._run(initialize_layer, x, condition)

    def _run(self, run, x, condition):
        condition = condition or {}
        position = tf.convert_to_tensor(self.position)
        hidden = self._hidden(run, x, condition.get("context"), condition.get("dropout"), position)
        if self.mixer == "none":
            # The released code has the table of positions here too, although nothing uses it.
            hidden += tf.cast(0 * position, hidden.dtype)
        if self.last_nonlinearity:
            hidden = concat_elu(hidden)
        return tf.cast(run(self.last, hidden), self.variable_dtype)

    def compute_output_shape(self, input_shape: Sequence[int | None], *rest: Any) -> tuple[int | None, ...]:
        """Returns the shape of the output for inputs of `input_shape`."""
        return self.last.compute_output_shape(input_shape)


class ContextNetwork(_GatedNetwork):
    """Network whose output a dequantizer is conditioned on: `[B, H, W, C] -> [B, H, W, width]`.

    A 3x3 convolution, then residual units as in `GatedConditioner`, with layer norm only if asked for. Called with
    `(x, dropout_keys)`.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.networks import ContextNetwork
      >>> ContextNetwork(width=8, num_blocks=1)(tf.ones([2, 4, 4, 3])).shape
      TensorShape([2, 4, 4, 8])

    References:
      Released code of Ho et al. 2019 (aravindsrinivas/flowpp): 3 gated convolutions (CIFAR-10), 5 with layer norm (64x64), 8
      with layer norm and attention (32x32 ImageNet).
    """

    def __init__(
        self,
        width: int = 32,
        num_blocks: int = 3,
        mixer: str = "none",
        num_heads: int = 4,
        layer_norm: bool = False,
        dropout_rate: float = 0.0,
        weight_norm: bool = False,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Creates the layers.

        Args:
          width: Number of hidden channels and of output channels.
          num_blocks: Number of residual units.
          mixer: `'attention'`, `'maximum'` (the ablation without attention) or `'none'`.
          num_heads: Number of attention heads.
          layer_norm: Whether a layer norm follows each residual layer.
          dropout_rate: Probability that a number is dropped.
          weight_norm: Whether the convolutions have weight norm.
          seed: Seed of the initial parameters.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).

        Raises:
          ValueError: If `mixer` is unknown, or `width` is not a multiple of `num_heads` with `mixer='attention'`.
        """
        super().__init__(
            width, num_blocks, mixer, num_heads, layer_norm, 0, 3, dropout_rate, weight_norm, seed, **kwargs
        )  # fmt: skip

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Creates the variables for inputs of `input_shape`."""
        self._build_blocks(input_shape, has_position=self.mixer != "none")
        self.built = True

    def call(self, x: tf.Tensor, dropout_keys: RowKeys | None = None) -> tf.Tensor:
        """Computes the output that the class describes."""
        return self._run(call_layer, x, dropout_keys)

    def initialize(self, x: tf.Tensor, dropout_keys: RowKeys | None = None) -> tf.Tensor:
        """Initializes the layers one after another from a batch and returns the output for it."""
        check_built(self, "its initialize")
        return self._run(initialize_layer, x, dropout_keys)

    def _run(self, run, x, dropout_keys):
        position = tf.convert_to_tensor(self.position) if self.mixer != "none" else None
        return self._hidden(run, x, None, dropout_keys, position)

    def compute_output_shape(self, input_shape: Sequence[int | None], *rest: Any) -> tuple[int | None, ...]:
        """Returns the shape of the output for inputs of `input_shape`."""
        return (*input_shape[:-1], self.width)
