"""Residual unit of PixelCNN++."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfflows.math.gating import concat_elu, dropout_rows, gate
from tfflows.math.random import RowKeys, derive_seed
from tfflows.networks.layers import call_layer, initialize_layer
from tfflows.networks.pixelcnn.shifted_convolution import SAME, ShiftedConv2D

GATED, PLAIN = KINDS = ("gated", "plain")

_CLASS_DEVIATION = 0.05


class GatedResidual(keras.layers.Layer):
    """Residual unit `x + p sigmoid(q)` of PixelCNN++: `[B, H, W, filters] -> [B, H, W, filters]`.

    Here `[p, q] = conv(dropout(celu(conv(celu(x)) + dense(celu(skip)) + dense(celu(feature)))))` with `celu(v) = elu([v, -v])`;
    terms without an input are left out. The kind `plain` has no gate and no residual connection: `conv(celu(x)) + ...`.

    With `num_classes`, `[p, q]` also has the term `classes @ class_weights`, the same at every pixel.

    Called with `(x, skip, feature, dropout_keys, classes)`: `[B, H, W, filters]`, `[B, H, W, skip_channels]` or None,
    `[B, H, W, feature_channels]` or None, `RowKeys` or None for no dropout, one-hot labels `[B, num_classes]` or None.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.networks import GatedResidual
      >>> unit = GatedResidual(filters=4, kernel_size=(2, 3), shift="down", skip_channels=2)
      >>> unit(tf.ones([1, 8, 8, 4]), tf.ones([1, 8, 8, 2])).shape
      TensorShape([1, 8, 8, 4])

    References:
      Salimans et al. 2017, section 2, https://arxiv.org/abs/1701.05517; released code (openai/pixel-cnn). Features: Lucas &
      Verbeek 2018, section 3, https://arxiv.org/abs/1711.11479.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        shift: str = SAME,
        skip_channels: int = 0,
        feature_channels: int = 0,
        feature_init_scale: float = 1.0,
        dropout_rate: float = 0.0,
        kind: str = GATED,
        seed: int = 0,
        num_classes: int = 0,
        **kwargs: Any,
    ) -> None:
        """Creates and builds the layers.

        Args:
          filters: Number of channels of input and output.
          kernel_size: `(height, width)`.
          shift: `'same'`, `'down'` or `'down_right'`, see `ShiftedConv2D`.
          skip_channels: Channels of the skip connection, 0 for none.
          feature_channels: Channels of the feature that the network is conditioned on, 0 for none.
          feature_init_scale: Standard deviation of the feature's term after `initialize`.
          dropout_rate: Probability that a number is dropped.
          kind: `'gated'` or `'plain'`.
          seed: Seed of the initial parameters.
          num_classes: Number of classes, 0 for a unit that takes none.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).

        Raises:
          ValueError: If `kind` or `shift` is unknown, or a plain unit, which has no gate, is to take classes.
        """
        super().__init__(autocast=False, **kwargs)
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {KINDS}, got {kind!r}.")
        if num_classes and kind != GATED:
            raise ValueError(f"Classes enter at the gate, which a {kind} unit lacks; got num_classes={num_classes}.")
        self.filters = filters
        self.dropout_rate = dropout_rate
        policy = {"dtype": self.dtype_policy}
        self.first = ShiftedConv2D(filters, kernel_size, shift, seed=derive_seed(seed, 1), **policy)
        self.skip = self.feature = self.second = None
        if skip_channels:
            self.skip = ShiftedConv2D(filters, 1, seed=derive_seed(seed, "skip"), **policy)
            self.skip.build([None, None, None, 2 * skip_channels])
        if feature_channels:
            self.feature = ShiftedConv2D(
                filters, 1, init_scale=feature_init_scale, seed=derive_seed(seed, "feature"), **policy
            )
            self.feature.build([None, None, None, 2 * feature_channels])
        self.first.build([None, None, None, 2 * filters])
        if kind == GATED:
            self.second = ShiftedConv2D(
                2 * filters, kernel_size, shift, init_scale=0.1, seed=derive_seed(seed, 2), **policy
            )
            self.second.build([None, None, None, 2 * filters])
        self.class_weights = None
        if num_classes:
            initializer = keras.initializers.RandomNormal(
                stddev=_CLASS_DEVIATION, seed=derive_seed(seed, "class_weights")
            )
            self.class_weights = self.add_weight(
                shape=(num_classes, 2 * filters), initializer=initializer, name="class_weights", autocast=False
            )
        self.built = True

    def call(
        self,
        x: tf.Tensor,
        skip: tf.Tensor | None = None,
        feature: tf.Tensor | None = None,
        dropout_keys: RowKeys | None = None,
        classes: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Computes the output that the class describes."""
        return self._run(call_layer, x, skip, feature, dropout_keys, classes)

    def initialize(
        self,
        x: tf.Tensor,
        skip: tf.Tensor | None = None,
        feature: tf.Tensor | None = None,
        dropout_keys: RowKeys | None = None,
        classes: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Initializes the layers one after another from a batch and returns the output for it."""
        return self._run(initialize_layer, x, skip, feature, dropout_keys, classes)

    def initialize_feature(
        self,
        x: tf.Tensor,
        skip: tf.Tensor | None = None,
        feature: tf.Tensor | None = None,
        dropout_keys: RowKeys | None = None,
        classes: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Like `initialize`, but only for the layer that sees the feature; the others stay as they are."""
        return self._run(
            lambda layer, y: (layer.initialize if layer is self.feature else layer)(y),
            x,
            skip,
            feature,
            dropout_keys,
            classes,
        )

    def class_term(self, classes: tf.Tensor) -> tf.Tensor:
        """The term of one-hot labels `[B, num_classes]` in `[p, q]`, `[B, 2 filters]` in the dtype of the variables."""
        return tf.matmul(tf.cast(classes, self.variable_dtype), tf.convert_to_tensor(self.class_weights))

    def _run(self, run, x, skip, feature, dropout_keys, classes):
        hidden = run(self.first, concat_elu(x))
        for layer, other in ((self.skip, skip), (self.feature, feature)):
            if layer is not None:
                hidden += run(layer, concat_elu(other))
        if self.second is None:
            return hidden
        hidden = dropout_rows(concat_elu(hidden), self.dropout_rate, dropout_keys)
        hidden = run(self.second, hidden)
        if self.class_weights is not None:
            hidden += tf.cast(self.class_term(classes), hidden.dtype)[:, tf.newaxis, tf.newaxis]
        return x + gate(hidden)

    def compute_output_shape(self, input_shape: Sequence[int | None], *rest: Any) -> tuple[int | None, ...]:
        """Returns the shape of the output for inputs of `input_shape`."""
        return (*input_shape[:-1], self.filters)
