"""Networks of MaCow: masked networks, those of couplings with and without attention, and a dequantizer's context network."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfflows.math.attention import self_attention
from tfflows.math.random import RowKeys, derive_seed
from tfflows.math.shapes import sizes_of
from tfflows.networks.layers import (
    MaskedConv2D,
    WeightNormConv2D,
    WeightNormConv2DTranspose,
    call_layer,
    initialize_layer,
)
from tfflows.tracing.variables import check_built

# The default of PyTorch's group norm.
_GROUP_NORM_EPSILON = 1e-5


class EluCouplingNetwork(keras.layers.Layer):
    """Network of a MaCow coupling: ELU(3x3), ELU(1x1), 3x3; `[B, H, W, C] -> [B, H, W, filters]`, float32 under any policy.

    The output is zero after data-dependent init.

    Called with `(x, condition)`, where the condition is None, a context `[B, H, W, C_context]`, which is appended to the channels
    of x, or a dictionary with the context as its entry `context`.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.networks import EluCouplingNetwork
      >>> x = tf.random.stateless_normal([4, 8, 8, 3], seed=[0, 0])
      >>> network = EluCouplingNetwork(width=8, filters=6)
      >>> network(x).shape
      TensorShape([4, 8, 8, 6])
      >>> out = network.initialize(x)
      >>> float(tf.reduce_max(tf.abs(out)))
      0.0

    References:
      Ma et al. 2019, section 4 (widths), https://arxiv.org/abs/1902.04208; weight norm and ELU from the released code
      (XuezheMax/macow).
    """

    def __init__(self, width: int, filters: int, context_filters: int = 0, seed: int = 0, **kwargs: Any) -> None:
        """Creates the layers.

        Args:
          width: Number of hidden channels.
          filters: Number of output channels.
          context_filters: Channels of the context, 0 for none.
          seed: Seed of the initial parameters.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).
        """
        super().__init__(autocast=False, **kwargs)
        policy = {"dtype": self.dtype_policy}
        self.context_filters = context_filters
        self.hidden1 = WeightNormConv2D(width, 3, seed=derive_seed(seed, 1), **policy)
        self.hidden2 = WeightNormConv2D(width, 1, seed=derive_seed(seed, 2), **policy)
        self.last = WeightNormConv2D(filters, 3, init_scale=0.0, seed=derive_seed(seed, 3), **policy)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Creates the variables for inputs of `input_shape`."""
        *outer, channels = input_shape
        hidden_shape = (*outer, self.hidden1.filters)
        self.hidden1.build((*outer, channels + self.context_filters))
        self.hidden2.build(hidden_shape)
        self.last.build(hidden_shape)
        self.built = True

    def call(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        """Computes the output that the class describes."""
        return self._run(call_layer, x, condition)

    def initialize(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        """Initializes the layers one after another from a batch and returns the output for it."""
        check_built(self, "its initialize")
        return self._run(initialize_layer, x, condition)

    def _run(self, run, x, condition):
        if self.context_filters:
            x = tf.concat([x, context_of(self, condition)], axis=-1)
        hidden = tf.nn.elu(run(self.hidden1, x))
        hidden = tf.nn.elu(run(self.hidden2, hidden))
        return tf.cast(run(self.last, hidden), self.variable_dtype)

    def compute_output_shape(self, input_shape: Sequence[int | None], *rest: Any) -> tuple[int | None, ...]:
        """Returns the shape of the output for inputs of `input_shape`."""
        return self.last.compute_output_shape(input_shape)


class ResidualBlock(keras.layers.Layer):
    """Residual block `ELU(conv(ELU(conv(x))) + x)` of 3x3 convolutions: `[B, H, W, C] -> [B, H, W, filters]`.

    Where the number of channels changes, the shortcut is a 1x1 convolution of x.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.networks import ResidualBlock
      >>> block = ResidualBlock(filters=5)
      >>> block(tf.ones([2, 4, 4, 3])).shape
      TensorShape([2, 4, 4, 5])
      >>> block.shortcut.kernel_size
      (1, 1)

    References:
      Released code of Ma et al. 2019 (XuezheMax/macow).
    """

    def __init__(self, filters: int, seed: int = 0, **kwargs: Any) -> None:
        """Creates the layers.

        Args:
          filters: Number of output channels.
          seed: Seed of the initial parameters.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).
        """
        super().__init__(autocast=False, **kwargs)
        policy = {"dtype": self.dtype_policy}
        self.filters = filters
        self.first = WeightNormConv2D(filters, 3, seed=derive_seed(seed, 1), **policy)
        self.second = WeightNormConv2D(filters, 3, seed=derive_seed(seed, 2), **policy)
        self._shortcut_layer = WeightNormConv2D(filters, 1, seed=derive_seed(seed, "shortcut"), **policy)
        self.shortcut = None

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Creates the variables for inputs of `input_shape`."""
        *outer, channels = input_shape
        self.first.build(input_shape)
        self.second.build((*outer, self.filters))
        if channels != self.filters:
            self.shortcut = self._shortcut_layer
            self.shortcut.build(input_shape)
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Computes the output that the class describes."""
        return self._run(call_layer, x)

    def initialize(self, x: tf.Tensor) -> tf.Tensor:
        """Initializes the layers one after another from a batch and returns the output for it."""
        check_built(self, "its initialize")
        return self._run(initialize_layer, x)

    def _run(self, run, x):
        branch = run(self.second, tf.nn.elu(run(self.first, x)))
        return tf.nn.elu(branch + (x if self.shortcut is None else run(self.shortcut, x)))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Returns the shape of the output for inputs of `input_shape`."""
        return (*input_shape[:-1], self.filters)


class ResidualContextNetwork(keras.layers.Layer):
    """Network whose output a dequantizer is conditioned on: `[B, H, W, C] -> [B, H, W, filters]`.

    Two residual blocks at full size; for each further entry of `planes` a convolution of stride 2 and two more blocks; then
    transposed convolutions back up to full size and a 1x1 convolution. There are no skip connections and there is no dropout:
    the network is called with `(x, dropout_keys)` and ignores the keys. Without `bottom`, one 3x3 convolution stands in for the
    blocks at full size.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.networks import ResidualContextNetwork
      >>> ResidualContextNetwork(planes=(4, 8), filters=2)(tf.ones([2, 8, 8, 3])).shape
      TensorShape([2, 8, 8, 2])

    References:
      Released code of Ma et al. 2019 (XuezheMax/macow).
    """

    def __init__(
        self,
        planes: Sequence[int] = (32, 64),
        filters: int = 4,
        input_scale: float = 1.0,
        seed: int = 0,
        bottom: bool = True,
        **kwargs: Any,
    ) -> None:
        """Creates the layers.

        Args:
          planes: Numbers of channels at full size, half the size, and so on.
          filters: Number of output channels.
          input_scale: Factor of the inputs.
          seed: Seed of the initial parameters.
          bottom: Whether there are residual blocks at full size; otherwise there is a 3x3 convolution.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).
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
            if level or bottom:
                blocks = [
                    ResidualBlock(width, derive_seed(seed, "block", level, number), **policy) for number in range(2)
                ]
            else:
                blocks = [WeightNormConv2D(width, seed=derive_seed(seed, "first"), **policy)]
            self.blocks.append(blocks)
        for level in reversed(range(len(planes) - 1)):
            self.up.append(WeightNormConv2DTranspose(planes[level], seed=derive_seed(seed, "up", level), **policy))
        self.last = WeightNormConv2D(filters, 1, seed=derive_seed(seed, "last"), **policy)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Creates the variables for inputs of `input_shape`."""
        *_, height, width, _ = input_shape
        if any(side is not None and side % self._factor for side in (height, width)):
            raise ValueError(
                f"{self.name} halves the sides until they are {self._factor} times smaller; give sides that are multiples of "
                f"{self._factor}, got shape {input_shape}."
            )
        shape = input_shape
        for level, blocks in enumerate(self.blocks):
            for layer in ([self.down[level - 1]] if level else []) + blocks:
                layer.build(shape)
                shape = layer.compute_output_shape(shape)
        for layer in [*self.up, self.last]:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        self.built = True

    def call(self, x: tf.Tensor, dropout_keys: RowKeys | None = None) -> tf.Tensor:
        """Computes the output that the class describes."""
        return self._run(call_layer, x)

    def initialize(self, x: tf.Tensor, dropout_keys: RowKeys | None = None) -> tf.Tensor:
        """Initializes the layers one after another from a batch and returns the output for it."""
        check_built(self, "its initialize")
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

    def compute_output_shape(self, input_shape: Sequence[int | None], *rest: Any) -> tuple[int | None, ...]:
        """Returns the shape of the output for inputs of `input_shape`."""
        return (*input_shape[:-1], self.filters)


class MaskedNetwork(keras.layers.Layer):
    """Masked convolution, ELU, 1x1 convolution: `[B, H, W, C] -> [B, H, W, filters]`, zero after data-dependent init.

    Called with `(x, condition)`, where the condition is None, a context `[B, H, W, C_context]`, of which a 3x3 convolution is
    added before the ELU, or a dictionary with the context as its entry `context`. The outputs at a pixel depend only on the
    inputs that the masked convolution sees there.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.networks import MaskedNetwork
      >>> network = MaskedNetwork(filters=6, kernel_size=(2, 3), kind="shifted", order="A")
      >>> network(tf.ones([2, 4, 4, 3])).shape
      TensorShape([2, 4, 4, 6])
      >>> network.masked.filters  # by default 4 times the input's channels
      12

    References:
      Ma et al. 2019, section 3.1, https://arxiv.org/abs/1902.04208; widths, weight norm and context from the released code
      (XuezheMax/macow).
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Sequence[int] = (3, 3),
        kind: str = "masked",
        order: str = "A",
        width: int | None = None,
        context_filters: int = 0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Creates the layers.

        Args:
          filters: Number of output channels.
          kernel_size: `(height, width)` of the masked convolution.
          kind: `'masked'` or `'shifted'`.
          order: `'A'` or `'B'`; for the kind `shifted` also `'C'` or `'D'`.
          width: Number of hidden channels; None for `default_width` of the input's channels.
          context_filters: Channels of the context, 0 for none.
          seed: Seed of the initial parameters.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).
        """
        super().__init__(autocast=False, **kwargs)
        self.filters = filters
        self.kernel_size = tuple(kernel_size)
        self.kind = kind
        self.order = order
        self.width = width
        self.context_filters = context_filters
        self._seed = seed

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Creates the variables for inputs of `input_shape`."""
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

    def call(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        """Computes the output that the class describes."""
        return self._run(call_layer, x, condition)

    def initialize(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        """Initializes the layers one after another from a batch and returns the output for it."""
        check_built(self, "its initialize")
        return self._run(initialize_layer, x, condition)

    def _run(self, run, x, condition):
        hidden = run(self.masked, x)
        if self.context is not None:
            hidden += run(self.context, context_of(self, condition))
        return tf.cast(run(self.last, tf.nn.elu(hidden)), self.variable_dtype)

    def features(self, condition: Any) -> tf.Tensor | None:
        """Returns what the context adds before the ELU, `[B, H, W, width]`, or None if the network has no context."""
        return None if self.context is None else self.context(context_of(self, condition))

    def pixel_parameters(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns the arguments of `pixel_network`.

        Returns:
          `(bias, last_kernel, last_bias)` of shapes `[width]`, `[width, filters]` and `[filters]`, in the compute dtype.
        """
        tensors = (self.masked.bias, self.last.effective_kernel()[0, 0], self.last.bias)
        return tuple(tf.cast(tf.convert_to_tensor(tensor), self.compute_dtype) for tensor in tensors)

    def compute_output_shape(self, input_shape: Sequence[int | None], *rest: Any) -> tuple[int | None, ...]:
        """Returns the shape of the output for inputs of `input_shape`."""
        return (*input_shape[:-1], self.filters)


def default_width(channels: int) -> int:
    """Number of hidden channels in the released MaCow: 4 C up to C = 96, then 2 C, but at most 512."""
    return 4 * channels if channels <= 96 else min(2 * channels, 512)


def context_of(network: keras.layers.Layer, condition: Any) -> tf.Tensor:
    """Returns the `context` of a condition.

    Args:
      network: The network that needs it; an error names it.
      condition: A dictionary with the entry `context`, or the context itself.

    Raises:
      ValueError: If there is no context.
    """
    context = condition.get("context") if isinstance(condition, dict) else condition
    if context is None:
        raise ValueError(f"{network.name} needs a context of {network.context_filters} channels; none was given.")
    return context


class WindowAttentionNetwork(keras.layers.Layer):
    """Self-attention in windows: `[B, H, W, C] -> [B, H, W, filters]`, zero after data-dependent init, float32 under any policy.

    The linear layers act on the channels of each pixel and have weight norm; s is `window`:

        h = first(x) + position                     in each of the H/s x W/s windows of s x s pixels
        a = h + attention(q, k, v)                  [q, k, v] = projection(h); over the s^2 pixels of the window
        y = last(ELU(mixing(group_norm(a))))        `num_heads` groups of channels, over the window

    Windows do not see each other. Attention is `softmax(q k^T / sqrt(d)) v` for each head of d = `width` / `num_heads` channels;
    `sinusoidal_code` gives the position code.

    Called with `(x, condition)`, where the condition is None, a context `[B, H, W, C_context]`, which is appended to the channels
    of x, or a dictionary with the context as its entry `context`. Building or calling it raises a `ValueError` if H or W
    is not a multiple of `window`.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.networks import WindowAttentionNetwork
      >>> network = WindowAttentionNetwork(width=8, filters=6, window=4, num_heads=2)
      >>> network(tf.ones([2, 8, 8, 3])).shape
      TensorShape([2, 8, 8, 6])

    References:
      Released code of Ma et al. 2019 (XuezheMax/macow, `self_attn` of its configuration imagenet64-attn); not in the paper.
    """

    def __init__(
        self,
        width: int,
        filters: int,
        window: int,
        num_heads: int = 8,
        context_filters: int = 0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Creates the layers.

        Args:
          width: Number of hidden channels, a multiple of `num_heads`.
          filters: Number of output channels.
          window: Side of a window.
          num_heads: Number of attention heads, and of groups of the group norm.
          context_filters: Channels of the context, 0 for none.
          seed: Seed of the initial parameters.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).

        Raises:
          ValueError: If `width` is not a multiple of `num_heads`, or `window` is below 1.
        """
        super().__init__(autocast=False, **kwargs)
        if num_heads < 1 or width % num_heads:
            raise ValueError(f"A width of {width} cannot be cut into {num_heads} heads; give a multiple.")
        if window < 1:
            raise ValueError(f"window must be at least 1, got {window}.")
        policy = {"dtype": self.dtype_policy}
        self.width = width
        self.window = window
        self.num_heads = num_heads
        self.context_filters = context_filters
        self.first = WeightNormConv2D(width, 1, seed=derive_seed(seed, "first"), **policy)
        self.projection = WeightNormConv2D(3 * width, 1, seed=derive_seed(seed, "projection"), **policy)
        self.group_norm = keras.layers.GroupNormalization(num_heads, epsilon=_GROUP_NORM_EPSILON, **policy)
        self.mixing = WeightNormConv2D(width, 1, seed=derive_seed(seed, "mixing"), **policy)
        self.last = WeightNormConv2D(filters, 1, init_scale=0.0, seed=derive_seed(seed, "last"), **policy)
        self._position = sinusoidal_code(window, width)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Creates the variables for inputs of `input_shape`."""
        *outer, channels = input_shape
        self._check_sides(input_shape)
        self.first.build((*outer, channels + self.context_filters))
        for layer in (self.projection, self.group_norm):
            layer.build((None, self.window, self.window, self.width))
        for layer in (self.mixing, self.last):
            layer.build((*outer, self.width))
        self.built = True

    def call(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        """Computes the output that the class describes."""
        return self._run(call_layer, x, condition)

    def initialize(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        """Initializes the layers one after another from a batch and returns the output for it."""
        check_built(self, "its initialize")
        return self._run(initialize_layer, x, condition)

    def _run(self, run, x, condition):
        self._check_sides(x.shape)
        if self.context_filters:
            x = tf.concat([x, context_of(self, condition)], axis=-1)
        hidden = run(self.first, x)
        windows = cut_windows(hidden, self.window)
        windows += tf.constant(self._position, windows.dtype)
        windows += self_attention(run(self.projection, windows), self.num_heads)
        hidden = join_windows(self.group_norm(windows), hidden)
        hidden = tf.nn.elu(run(self.mixing, hidden))
        return tf.cast(run(self.last, hidden), self.variable_dtype)

    def _check_sides(self, shape):
        _, height, width, _ = shape
        if any(side is not None and side % self.window for side in (height, width)):
            raise ValueError(
                f"{self.name} cannot cut an image of {height}x{width} into windows of {self.window}x{self.window}; give a window "
                "that divides both sides."
            )

    def compute_output_shape(self, input_shape: Sequence[int | None], *rest: Any) -> tuple[int | None, ...]:
        """Returns the shape of the output for inputs of `input_shape`."""
        return self.last.compute_output_shape(input_shape)


def sinusoidal_code(window: int, channels: int) -> np.ndarray:
    """Position code of a window, float32 `[window, window, channels]`.

    `sin(t)` on even channels i and `cos(t)` on odd ones, with
    `t = (window * row + column) / 10000^(2 floor(i / 2) / channels)`.

    References:
      Vaswani et al. 2017, section 3.5, https://arxiv.org/abs/1706.03762; released MaCow code (XuezheMax/macow).
    """
    channel = np.arange(channels)
    angle = np.arange(window**2)[:, np.newaxis] / 10000.0 ** (2 * (channel // 2) / channels)
    code = np.where(channel % 2, np.cos(angle), np.sin(angle))
    # The authors keep it in float32, even where they compute in float64.
    return code.reshape([window, window, channels]).astype(np.float32)


def cut_windows(x: tf.Tensor, window: int) -> tf.Tensor:
    """Cuts images into windows: `[B, H, W, C] -> [B (H / window) (W / window), window, window, C]`, row by row."""
    batch, height, width, channels = sizes_of(x)
    rows, columns = height // window, width // window
    x = tf.reshape(x, [batch, rows, window, columns, window, channels])
    return tf.reshape(tf.transpose(x, [0, 1, 3, 2, 4, 5]), [batch * rows * columns, window, window, channels])


def join_windows(windows: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """Inverse of `cut_windows`; returns images of the shape of `like`."""
    batch, height, width, channels = sizes_of(like)
    window = windows.shape[1]
    x = tf.reshape(windows, [batch, height // window, width // window, window, window, channels])
    x = tf.reshape(tf.transpose(x, [0, 1, 3, 2, 4, 5]), [batch, height, width, channels])
    return tf.ensure_shape(x, like.shape)
