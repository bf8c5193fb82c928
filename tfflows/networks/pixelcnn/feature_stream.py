"""Features that a PixelCNN is conditioned on: one map for each of its positions, computed from an image without masks."""

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
    """A third stream beside the two of a `PixelCNN`, with as many layers: `[B, H, W, C] -> [[B, H_l, W_l, width], ...]`.

    The first layer is a 3x3 convolution of the image and a channel of ones. At each position is a unit of 3x3 convolutions; in
    the second half it also sees, over a skip connection, an output of the first half. Called with `(image, dropout_keys)`;
    returns one map for each position.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.networks import FeatureStream
      >>> stream = FeatureStream(width=4, num_blocks=1)
      >>> features = stream(tf.ones([2, 8, 8, 3]))
      >>> [feature.shape[1] for feature in features]  # the side at each position
      [8, 4, 2, 2, 4, 4, 8, 8]
      >>> features[0].shape
      TensorShape([2, 8, 8, 4])

      They are the second argument of a `PixelCNN` with `num_blocks=1` and `feature_channels=4`.

    References:
      Lucas & Verbeek 2018, section 3, https://arxiv.org/abs/1711.11479, which says that there are as many layers and that they
      are not masked.
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
          width: Number of channels of the features.
          num_blocks: Number of units R per resolution, as in the `PixelCNN`.
          kind: Kind of the units: `'gated'`, or `'plain'` convolutions.
          dropout_rate: Probability that a number is dropped.
          channels: Number of channels of the image.
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

    def call(self, image: tf.Tensor, dropout_keys: RowKeys | None = None) -> list[tf.Tensor]:
        """Computes the output that the class describes."""
        return self._run(call_layer, self._shared, image, dropout_keys)

    def initialize(self, image: tf.Tensor, dropout_keys: RowKeys | None = None) -> list[tf.Tensor]:
        """Initializes the layers one after another from a batch and returns its features."""
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
