"""PixelCNN++: two streams of gated residual units that see what comes before each pixel."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tfflows.math.random import RowKeys, derive_seed, fold_in
from tfflows.networks.glow import one_hot_labels
from tfflows.networks.layers import TakesLabels, call_layer, initialize_layer
from tfflows.networks.pixelcnn.gated_residual import GatedResidual
from tfflows.networks.pixelcnn.shifted_convolution import (
    DOWN,
    DOWN_RIGHT,
    ShiftedConv2D,
    ShiftedConv2DTranspose,
    shift_down,
    shift_right,
)
from tfflows.tracing.shared_layers import SharedLayers

INJECTIONS = ("both", "horizontal")
NUM_LEVELS = 3


class PixelCNN(TakesLabels, keras.layers.Layer):
    """Autoregressive network `[B, H, W, C] -> [B, H, W, filters]`, float32 under any policy.

    The outputs at a pixel depend only on the pixels before it in raster order. The vertical stream sees all rows above, the
    horizontal one also the pixels to the left in the same row. Each goes down through three resolutions and up again with skip
    connections. Each of the `6 R + 2` positions has a gated residual unit of the vertical stream (kernel 2x3), then one of the
    horizontal stream (2x2) that sees the output of the former.

    With `feature_channels` the units of a position also see a map that does not depend on the pixels. Called with
    `(x, features, dropout_keys, labels)`, where `features` is a list of `[B, H_l, W_l, feature_channels]`, one for each position.

    With `num_classes` every unit also sees the label of the image. Labels, int32 `[B]`, other than `0 ... num_classes - 1` raise
    a `ValueError`; in a graph that does not know them, the outputs are NaN.

    The sides of the images must be multiples of 4.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.networks import PixelCNN
      >>> network = PixelCNN(width=4, filters=6, num_blocks=1)
      >>> x = tf.random.stateless_normal([1, 4, 4, 3], seed=[0, 0])
      >>> out = network(x)
      >>> out.shape
      TensorShape([1, 4, 4, 6])

      A change of the pixel at (1, 2) changes the outputs after it, and no others.

      >>> changed = x + tf.reshape(tf.one_hot(6, 16), [1, 4, 4, 1])
      >>> differs = tf.reduce_any(network(changed) != out, axis=-1)
      >>> tf.cast(differs[0], tf.int32).numpy()
      array([[0, 0, 0, 0],
             [0, 0, 0, 1],
             [1, 1, 1, 1],
             [1, 1, 1, 1]], dtype=int32)

    References:
      Salimans et al. 2017, https://arxiv.org/abs/1701.05517; released code (openai/pixel-cnn). Features: Lucas & Verbeek 2018,
      section 3, https://arxiv.org/abs/1711.11479.
    """

    def __init__(
        self,
        width: int,
        filters: int,
        num_blocks: int = 5,
        feature_channels: int = 0,
        injection: str = "both",
        feature_init_scale: float = 1.0,
        dropout_rate: float = 0.0,
        channels: int = 3,
        seed: int = 0,
        num_classes: int = 0,
        **kwargs: Any,
    ) -> None:
        """Creates and builds the layers.

        Args:
          width: Number of channels F of the streams.
          filters: Number of output channels.
          num_blocks: Number of units R per resolution.
          feature_channels: Channels of the features, 0 for none.
          injection: Which streams see the features: `'both'`, or `'horizontal'` alone.
          feature_init_scale: Standard deviation of the features' terms after `initialize`.
          dropout_rate: Probability that a number is dropped.
          channels: Number of channels of the images.
          seed: Seed of the initial parameters.
          num_classes: Number of classes of the labels that the network is conditioned on, 0 for none.
          **kwargs: Passed to the Keras layer (`name`, `dtype`).

        Raises:
          ValueError: If `injection` is unknown.
        """
        super().__init__(autocast=False, **kwargs)
        if injection not in INJECTIONS:
            raise ValueError(f"injection must be one of {INJECTIONS}, got {injection!r}.")
        self.width = width
        self.filters = filters
        self.num_blocks = num_blocks
        self.channels = channels
        self.feature_channels = feature_channels
        self.num_classes = num_classes
        policy = {"dtype": self.dtype_policy}
        options = {
            "feature_init_scale": feature_init_scale,
            "dropout_rate": dropout_rate,
            "num_classes": num_classes,
            **policy,
        }

        def built(layer, channels):
            layer.build([None, None, None, channels])
            return layer

        def convolution(kernel_size, shift, name, strides=1, channels=width):
            layer = ShiftedConv2D(width, kernel_size, shift, strides, seed=derive_seed(seed, name), **policy)
            return built(layer, channels)

        def transposed(shift, name):
            return built(ShiftedConv2DTranspose(width, shift, seed=derive_seed(seed, name), **policy), width)

        # One more channel, of ones, shows where the image ends.
        self.above = convolution((2, 3), DOWN, "above", channels=channels + 1)
        self.row_above = convolution((1, 3), DOWN, "row_above", channels=channels + 1)
        self.left = convolution((2, 1), DOWN_RIGHT, "left", channels=channels + 1)
        self.steps = u_shape(NUM_LEVELS, num_blocks)
        self._num_first = NUM_LEVELS * num_blocks
        self.positions, self.halvings, self.doublings = [], [], []
        for step in self.steps:
            name = f"{step.kind}{step.number}"
            if step.kind == POSITION:
                vertical_feature = feature_channels if injection == "both" else 0
                vertical = GatedResidual(
                    width, (2, 3), DOWN, width if step.is_second else 0, vertical_feature,
                    seed=derive_seed(seed, name, "vertical"), **options,
                )  # fmt: skip
                horizontal = GatedResidual(
                    width, (2, 2), DOWN_RIGHT, 2 * width if step.is_second else width, feature_channels,
                    seed=derive_seed(seed, name, "horizontal"), **options,
                )  # fmt: skip
                self.positions.append([vertical, horizontal])
            elif step.kind == HALVE:
                self.halvings.append(
                    [
                        convolution((2, 3), DOWN, f"{name}/vertical", 2),
                        convolution((2, 2), DOWN_RIGHT, f"{name}/horizontal", 2),
                    ]
                )
            else:
                self.doublings.append(
                    [transposed(DOWN, f"{name}/vertical"), transposed(DOWN_RIGHT, f"{name}/horizontal")]
                )
        self.last = built(ShiftedConv2D(filters, 1, seed=derive_seed(seed, "last"), **policy), width)
        self._shared = SharedLayers(_call_position, self.positions, recomputed=True)
        self.built = True

    def call(
        self,
        x: tf.Tensor,
        features: Sequence[tf.Tensor] | None = None,
        dropout_keys: RowKeys | None = None,
        labels: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Computes the output that the class describes."""
        return self._run(call_layer, self._shared, x, features, dropout_keys, labels)

    def initialize(
        self,
        x: tf.Tensor,
        features: Sequence[tf.Tensor] | None = None,
        dropout_keys: RowKeys | None = None,
        labels: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Initializes the layers one after another from a batch and returns the output for it."""

        def run_position(number, *inputs):
            return _run_position(initialize_layer, self.positions[number], *inputs)

        return self._run(initialize_layer, run_position, x, features, dropout_keys, labels)

    def initialize_features(
        self,
        x: tf.Tensor,
        features: Sequence[tf.Tensor] | None,
        dropout_keys: RowKeys | None = None,
        labels: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Like `initialize`, but only for the layers that see the features; the others stay as they are."""

        def run(layer, *inputs):
            return layer.initialize_feature(*inputs)

        def run_position(number, *inputs):
            return _run_position(run, self.positions[number], *inputs)

        return self._run(call_layer, run_position, x, features, dropout_keys, labels)

    def _run(self, run, run_position, x, features, dropout_keys, labels):
        self._check(x, features)
        classes = self.classes_of(labels)
        x = tf.cast(x, self.compute_dtype)
        x = tf.concat([x, tf.ones_like(x[..., :1])], axis=-1)
        streams = (
            shift_down(run(self.above, x)),
            shift_down(run(self.row_above, x)) + shift_right(run(self.left, x)),
        )
        kept = [streams]
        for step in self.steps:
            if step.kind == POSITION:
                if step.number == self._num_first:
                    streams = kept.pop()
                skips = kept.pop() if step.is_second else (None, None)
                keys = None if dropout_keys is None else fold_in(dropout_keys, step.number)
                feature = None if features is None else features[step.number]
                streams = run_position(step.number, *streams, *skips, feature, keys, classes)
            else:
                layers = (self.halvings if step.kind == HALVE else self.doublings)[step.number]
                streams = tuple(run(layer, stream) for layer, stream in zip(layers, streams, strict=True))
            if not step.is_second:
                kept.append(streams)
        return tf.cast(run(self.last, tf.nn.elu(streams[1])), self.variable_dtype)

    def _check(self, x, features):
        if any(side is not None and side % 2 ** (NUM_LEVELS - 1) for side in x.shape[1:3]):
            raise ValueError(f"{self.name} halves the sides twice: they must be multiples of 4, got shape {x.shape}.")
        wanted = len(self.positions) if self.feature_channels else None
        if wanted != (None if features is None else len(features)):
            needed = (
                f"{wanted} features, one per position" if wanted else "no features, because its feature_channels is 0"
            )
            raise ValueError(f"{self.name} needs {needed}; got {'none' if features is None else len(features)}.")

    def classes_of(self, labels: tf.Tensor | None) -> tf.Tensor | None:
        """One-hot labels `[B, num_classes]`, or None if the network takes no labels.

        Raises:
          ValueError: If there are none and the network needs them, there are some and it takes none, or one is out of range.
        """
        if (labels is None) != (not self.num_classes):
            needed = (
                f"labels, 0 to {self.num_classes - 1}"
                if self.num_classes
                else "no labels, because its num_classes is 0"
            )
            raise ValueError(f"{self.name} needs {needed}; got {'none' if labels is None else labels}.")
        return None if labels is None else one_hot_labels(labels, self.num_classes, self.variable_dtype)

    def compute_output_shape(self, input_shape: Sequence[int | None], *rest: Any) -> tuple[int | None, ...]:
        """Returns the shape of the output for inputs of `input_shape`."""
        return (*input_shape[:-1], self.filters)


def _run_position(
    run, blocks, vertical, horizontal, vertical_skip, horizontal_skip, feature, dropout_keys, classes=None
):
    """The unit of the vertical stream, then that of the horizontal stream, each by `run`."""
    vertical_block, horizontal_block = blocks
    vertical_keys, horizontal_keys = (
        None if dropout_keys is None else fold_in(dropout_keys, name) for name in ("vertical", "horizontal")
    )
    vertical = run(vertical_block, vertical, vertical_skip, feature, vertical_keys, classes)
    skip = vertical if horizontal_skip is None else tf.concat([vertical, horizontal_skip], axis=-1)
    return vertical, run(horizontal_block, horizontal, skip, feature, horizontal_keys, classes)


def _call_position(blocks, *inputs):
    return _run_position(call_layer, blocks, *inputs)


POSITION, HALVE, DOUBLE = ("position", "halve", "double")


class Step(NamedTuple):
    """One step of a U-shaped network.

    Attributes:
      kind: `position` (a unit, or one in each stream), `halve` or `double` (the resolution).
      number: Number of the step among those of its kind.
      level: Resolution, 0 for full; for `halve` and `double` the one that they lead to.
      is_second: Whether the step belongs to the second half, whose positions take what the first half kept, last first.
    """

    kind: str
    number: int
    level: int
    is_second: bool


def u_shape(num_levels: int, num_blocks: int) -> list[Step]:
    """Returns the `Step`s of a PixelCNN++.

    There are R positions per level on the way down; on the way up there are R at the coarsest level, then R + 1 per level. The
    input of the first half and the output of each of its steps are taken by one position of the second half each, except for
    the last output, from which the second half starts.

    Args:
      num_levels: Number of resolutions.
      num_blocks: Number R.

    Example:
      >>> from tfflows.networks.pixelcnn.network import u_shape
      >>> [f"{step.kind} {step.level}" for step in u_shape(num_levels=2, num_blocks=1)]
      ['position 0', 'halve 1', 'position 1', 'position 1', 'double 0', 'position 0', 'position 0']
    """
    steps, position = [], 0

    def add_positions(count, level, is_second):
        nonlocal position
        for _ in range(count):
            steps.append(Step(POSITION, position, level, is_second))
            position += 1

    for level in range(num_levels):
        if level:
            steps.append(Step(HALVE, level - 1, level, False))
        add_positions(num_blocks, level, False)
    for level in reversed(range(num_levels)):
        top = level == num_levels - 1
        if not top:
            steps.append(Step(DOUBLE, num_levels - 2 - level, level, True))
        add_positions(num_blocks + (not top), level, True)
    return steps
