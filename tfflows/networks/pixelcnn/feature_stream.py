"""What a PixelCNN is conditioned on: one map for each of its positions, made of an image by convolutions without masks."""

from typing import Any

import keras
import tensorflow as tf

from tfflows.math.random import RowKeys, derive_seed, fold_in
from tfflows.networks.layers import call_layer, initialize_layer
from tfflows.networks.pixelcnn.gated_residual import GATED, GatedResidual
from tfflows.networks.pixelcnn.network import HALVE, NUM_LEVELS, POSITION, u_shape
from tfflows.networks.pixelcnn.shifted_convolution import SAME, ShiftedConv2D, ShiftedConv2DTranspose
from tfflows.tracing.shared_layers import SharedLayers


class FeatureStream(keras.layers.Layer):
    """`[B, H, W, C] -> [[B, H_l, W_l, width], ...]`: a third stream of the shape of a `PixelCNN`'s, with as many layers.

    The first layer is a 3x3 convolution of the image and a channel of ones; at each position stands a unit of 3x3 convolutions,
    in the second half with what the first half gave over a skip connection. Called with `(image, dropout_keys)`.

    Source: Lucas & Verbeek 2018, section 3, which says that the layers are as many and not masked.
    """

    def __init__(
        self,
        width: int,
        num_blocks: int = 5,
        kind: str = GATED,
        dropout_rate: float = 0.0,
        channels: int = 3,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Creates and builds the layers.

        Args:
          width: Python `int`, channels of the features.
          num_blocks: Python `int` R, as of the `PixelCNN`.
          kind: Of the units: `'gated'`, or `'plain'` convolutions.
          dropout_rate: Python `float`.
          channels: Python `int`, of the image.
          seed: Seed of the initial parameters.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).
        """
        super().__init__(autocast=False, **kwargs)
        self.width = width
        policy = {"dtype": self.dtype_policy}

        def built(layer, channels=width):
            layer.build([None, None, None, channels])
            return layer

        self.first = built(ShiftedConv2D(width, 3, SAME, seed=derive_seed(seed, "first"), **policy), channels + 1)
        self._steps = u_shape(NUM_LEVELS, num_blocks)
        self._num_first = NUM_LEVELS * num_blocks
        self.positions, self.halvings, self.doublings = [], [], []
        for step in self._steps:
            own_seed = derive_seed(seed, step.kind, step.number)
            if step.kind == POSITION:
                skip_channels = width if step.is_second else 0
                unit = GatedResidual(
                    width, (3, 3), SAME, skip_channels, dropout_rate=dropout_rate, kind=kind, seed=own_seed, **policy
                )
                self.positions.append([unit])
            elif step.kind == HALVE:
                self.halvings.append(built(ShiftedConv2D(width, 3, SAME, 2, seed=own_seed, **policy)))
            else:
                self.doublings.append(built(ShiftedConv2DTranspose(width, SAME, seed=own_seed, **policy)))
        self._shared = SharedLayers(_call_position, self.positions, recomputed=True)
        self.built = True

    def call(self, image: tf.Tensor, dropout_keys: RowKeys | None = None) -> tf.Tensor:
        """Computes the output that the class describes."""
        return self._run(call_layer, self._shared, image, dropout_keys)

    def initialize(self, image: tf.Tensor, dropout_keys: RowKeys | None = None) -> tf.Tensor:
        """Data-dependent init, layer after layer, from a batch; returns the features of it."""
        return self._run(
            initialize_layer,
            lambda number, *inputs: initialize_layer(self.positions[number][0], *inputs),
            image,
            dropout_keys,
        )

    def _run(self, run, run_position, image, dropout_keys):
        image = tf.cast(image, self.compute_dtype)
        x = run(self.first, tf.concat([image, tf.ones_like(image[..., :1])], axis=-1))
        kept, features = [x], []
        for step in self._steps:
            if step.kind == POSITION:
                if step.number == self._num_first:
                    x = kept.pop()
                skip = kept.pop() if step.is_second else None
                keys = None if dropout_keys is None else fold_in(dropout_keys, step.number)
                x = run_position(step.number, x, skip, None, keys)
                features.append(x)
            else:
                x = run((self.halvings if step.kind == HALVE else self.doublings)[step.number], x)
            if not step.is_second:
                kept.append(x)
        return features


def _call_position(unit, *inputs):
    return unit[0](*inputs)
