"""The residual unit of PixelCNN++."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfflows.math.gating import concat_elu, dropout_rows, gate
from tfflows.math.random import RowKeys, derive_seed
from tfflows.networks.layers import call_layer, initialize_layer
from tfflows.networks.pixelcnn.shifted_convolution import SAME, ShiftedConv2D

GATED, PLAIN = KINDS = ("gated", "plain")


class GatedResidual(keras.layers.Layer):
    """`x + p sigmoid(q)`, `[p, q] = conv(dropout(celu(conv(celu(x)) + dense(celu(skip)) + dense(celu(feature)))))`.

    `celu(v) = elu([v, -v])`; each term where there is one. Of kind `plain` there is no residual: `conv(celu(x)) + ...`.

    Called with `(x, skip, feature, dropout_keys)`, `[B, H, W, filters]` and skip and feature of their own numbers of channels, or
    None; keys are `RowKeys`, None for no dropout.

    Source: Salimans et al. 2017, section 2; released code. Features: Lucas & Verbeek 2018, section 3.
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
        **kwargs: Any,
    ) -> None:
        """Creates and builds the layers.

        Args:
          filters: Python `int`, channels of input and output.
          kernel_size: Python `int`s `(height, width)`.
          shift: As for `ShiftedConv2D`.
          skip_channels: Python `int`, of what comes over a skip connection; 0 for none.
          feature_channels: Python `int`, of what the network is conditioned on; 0 for none.
          feature_init_scale: Python `float`, standard deviation of the features' part after `initialize`.
          dropout_rate: Python `float`.
          kind: `'gated'` or `'plain'`.
          seed: Seed of the initial parameters.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).

        Raises:
          ValueError: if the kind is unknown.
        """
        super().__init__(autocast=False, **kwargs)
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {KINDS}, got {kind!r}.")
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
        self.built = True

    def call(
        self,
        x: tf.Tensor,
        skip: tf.Tensor | None = None,
        feature: tf.Tensor | None = None,
        dropout_keys: RowKeys | None = None,
    ) -> tf.Tensor:
        """Computes the output that the class describes."""
        return self._run(call_layer, x, skip, feature, dropout_keys)

    def initialize(
        self,
        x: tf.Tensor,
        skip: tf.Tensor | None = None,
        feature: tf.Tensor | None = None,
        dropout_keys: RowKeys | None = None,
    ) -> tf.Tensor:
        """Initializes the layers one after another from a batch and returns the output for it."""
        return self._run(initialize_layer, x, skip, feature, dropout_keys)

    def initialize_feature(
        self,
        x: tf.Tensor,
        skip: tf.Tensor | None = None,
        feature: tf.Tensor | None = None,
        dropout_keys: RowKeys | None = None,
    ) -> tf.Tensor:
        """As `initialize`, but of what sees the features alone."""
        return self._run(
            lambda layer, y: (layer.initialize if layer is self.feature else layer)(y), x, skip, feature, dropout_keys
        )

    def _run(self, run, x, skip, feature, dropout_keys):
        hidden = run(self.first, concat_elu(x))
        for layer, other in ((self.skip, skip), (self.feature, feature)):
            if layer is not None:
                hidden += run(layer, concat_elu(other))
        if self.second is None:
            return hidden
        hidden = dropout_rows(concat_elu(hidden), self.dropout_rate, dropout_keys)
        return x + gate(run(self.second, hidden))

    def compute_output_shape(self, input_shape: Sequence[int | None], *rest: Any) -> tuple[int | None, ...]:
        """Returns the shape of the output for inputs of `input_shape`."""
        return (*input_shape[:-1], self.filters)
