"""Kernels of a `PixelCNN`, folded once for sampling and cut by what each tap sees: row above, left neighbour, the pixel."""

from collections.abc import Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from tfflows.math.convolution import conv2d
from tfflows.math.gating import concat_elu, gate
from tfflows.networks.pixelcnn.gated_residual import GatedResidual
from tfflows.networks.pixelcnn.network import POSITION, PixelCNN


class VerticalUnit:
    """A unit of the vertical stream, for one row `[B, 1, W, F]` given what its convolutions saw in the row before."""

    def __init__(self, unit: GatedResidual) -> None:
        """Folds the kernels of a unit."""
        self._first, self._second = (_Folded(layer) for layer in (unit.first, unit.second))
        self._skip = None if unit.skip is None else _Folded(unit.skip)
        self.width = unit.filters

    def __call__(
        self,
        x: tf.Tensor,
        before: Sequence[tf.Tensor],
        skip: tf.Tensor | None,
        feature: tf.Tensor | None,
        class_term: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
        """Computes a row and what its convolutions see.

        Args:
          x: `[B, 1, W, F]`.
          before: What the two convolutions saw in the row before, `[B, 1, W, 2 F]` each.
          skip: The skip connection in this row, or None.
          feature: The feature's term in this row, or None.
          class_term: The class's term, `[B, 2 F]`, or None.

        Returns:
          `(out, (first, second))`; the pair is `before` of the next row.
        """
        first = concat_elu(x)
        hidden = self._first.of_rows(before[0], first)
        if self._skip is not None:
            hidden += self._skip.dense(concat_elu(skip))
        if feature is not None:
            hidden += feature
        second = concat_elu(hidden)
        gated = self._second.of_rows(before[1], second)
        if class_term is not None:
            gated += class_term[:, tf.newaxis, tf.newaxis]
        return x + gate(gated), (first, second)


class HorizontalUnit:
    """A unit of the horizontal stream, for one pixel `[B, F]` at a time.

    `row_terms` computes what does not depend on the row itself for all of its pixels at once, `[W, B, ...]`.
    """

    def __init__(self, unit: GatedResidual) -> None:
        """Folds the kernels of a unit."""
        self._first, self._second = (_Folded(layer) for layer in (unit.first, unit.second))
        self.width = width = unit.filters
        self._skip = _Folded(unit.skip)
        kernel = self._skip.kernel[0, 0]
        self._own_skip = None
        if kernel.shape[0] == 4 * width:
            # The channels of `celu` of the two streams side by side: both streams, then both negated.
            vertical, own, minus_vertical, minus_own = tf.split(kernel, 4, axis=0)
            kernel = tf.concat([vertical, minus_vertical], axis=0)
            self._own_skip = tf.concat([own, minus_own], axis=0)
        self._vertical_skip = kernel

    def row_terms(
        self,
        above: tf.Tensor,
        vertical: tf.Tensor,
        feature: tf.Tensor | None,
        class_term: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Computes what is added to the two convolutions of each pixel.

        Args:
          above: `[W, B, 4 F]`, what the two convolutions saw in the row before.
          vertical: `[W, B, F]`, the output of the vertical stream's unit at this position.
          feature: `[W, B, F]`, the feature's term, or None.
          class_term: `[B, 2 F]`, the class's term, or None.

        Returns:
          `[W, B, 3 F]`, the terms of the first and of the second convolution joined on the channels.
        """
        above_first, above_second = tf.split(above, 2, axis=-1)
        first = (
            self._first.from_above(above_first) + _dense(concat_elu(vertical), self._vertical_skip) + self._skip.bias
        )
        if feature is not None:
            first += feature
        second = self._second.from_above(above_second)
        if class_term is not None:
            second += class_term
        return tf.concat([first, second], axis=-1)

    def __call__(
        self, x: tf.Tensor, left: tf.Tensor, terms: tf.Tensor, skip: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Computes a pixel and what its convolutions see.

        Args:
          x: `[B, F]`.
          left: `[B, 4 F]`, `seen` of the left neighbour.
          terms: `[B, 3 F]`, the pixel's part of `row_terms`.
          skip: `[B, F]`, the horizontal stream's skip connection; None in the first half.

        Returns:
          `(out, seen)` of shapes `[B, F]` and `[B, 4 F]`.
        """
        left_first, left_second = tf.split(left, 2, axis=-1)
        first_term, second_term = tf.split(terms, [self.width, 2 * self.width], axis=-1)
        first = concat_elu(x)
        hidden = first_term + self._first.from_left(left_first, first)
        if self._own_skip is not None:
            hidden += tf.matmul(concat_elu(skip), self._own_skip)
        second = concat_elu(hidden)
        out = x + gate(second_term + self._second.from_left(left_second, second))
        return out, tf.concat([first, second], axis=-1)


class Halving:
    """The convolutions of stride 2 that lead to a coarser resolution."""

    def __init__(self, layers: Sequence[keras.layers.Layer]) -> None:
        """Folds the kernels of the vertical and of the horizontal layer."""
        self._vertical, self._horizontal = map(_Folded, layers)

    def vertical(self, before: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
        """Computes a coarse row from two fine ones: `[B, 1, W, F]` each to `[B, 1, W / 2, F]`."""
        return self._vertical.of_rows(before, row, strides=2)

    def row_terms(self, above: tf.Tensor) -> tf.Tensor:
        """Computes the terms `[W / 2, B, F]` that come from the fine row before, `[W, B, F]`."""
        return self._horizontal.from_above(above)[::2]

    def __call__(self, left: tf.Tensor, x: tf.Tensor, term: tf.Tensor) -> tf.Tensor:
        """Computes a coarse pixel from the fine pixel and its left neighbour, `[B, F]` each."""
        return term + self._horizontal.from_left(left, x)


class Doubling:
    """The transposed convolutions that lead to a finer resolution.

    The outputs of different rows do not overlap, nor those of different pixels in the horizontal stream.
    """

    def __init__(self, layers: Sequence[keras.layers.Layer]) -> None:
        """Folds the kernels of the vertical and of the horizontal layer."""
        vertical, horizontal = layers
        self._vertical_layer = vertical
        self._vertical_kernel = _float32(vertical.effective_kernel())
        self._horizontal = tf.transpose(_float32(horizontal.effective_kernel()), [0, 1, 3, 2])  # [2, 2, in, out]
        self._bias = _float32(horizontal.bias)

    def vertical(self, row: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Computes the two fine rows of a coarse one: `[B, 1, W, F]` to two of `[B, 1, 2 W, F]`."""
        layer = self._vertical_layer
        rows = _float32(layer._convolve(row, self._vertical_kernel)) + _float32(layer.bias)
        return rows[:, :1], rows[:, 1:]

    def first_row(self, x: tf.Tensor) -> list[tf.Tensor]:
        """Computes the two pixels of a coarse one in its first fine row, `[B, F]` each."""
        return [_dense(x, self._horizontal[0, column]) + self._bias for column in (0, 1)]

    def second_row(self, row: tf.Tensor) -> tf.Tensor:
        """Computes the second fine row of a coarse one: `[W, B, F]` to `[2 W, B, F]`."""
        pixels = tf.stack([_dense(row, self._horizontal[1, column]) + self._bias for column in (0, 1)], axis=1)
        return tf.reshape(pixels, tf.concat([[-1], tf.shape(row)[1:2], [self._bias.shape[0]]], axis=0))


class FirstLayers:
    """The layers on the image itself.

    Their outputs are shifted by a row or a column after the bias is added, so zeros come in at the border.
    """

    def __init__(self, network: PixelCNN) -> None:
        """Folds the kernels of a network's first layers."""
        self._above, self._row_above, self._left = map(_Folded, (network.above, network.row_above, network.left))

    def vertical(self, second_last: tf.Tensor, last: tf.Tensor, exists: tf.Tensor) -> tf.Tensor:
        """Computes the vertical stream in a row, `[B, 1, W, F]`, from the two rows before; `exists` is 0 in the first row."""
        return exists * self._above.of_rows(second_last, last)

    def row_terms(self, last: tf.Tensor, exists: tf.Tensor) -> tf.Tensor:
        """Computes the terms `[W, B, F]` of the horizontal stream that come from the whole row before, `[B, 1, W, C]`."""
        return by_column(exists * self._row_above.of_row(last))

    def __call__(self, left_above: tf.Tensor, left: tf.Tensor, exists: tf.Tensor) -> tf.Tensor:
        """Computes the term of the left neighbour and the pixel above it, `[B, C]` each; `exists` is 0 in the first column."""
        kernel = self._left.kernel[:, 0]
        return exists * (tf.matmul(left_above, kernel[0]) + tf.matmul(left, kernel[1]) + self._left.bias)


class Level(NamedTuple):
    """The units at a resolution, each as `(vertical, horizontal, number of the position)`.

    Attributes:
      first: Units of the first half.
      second: Units of the second half.
    """

    first: list[tuple[VerticalUnit, HorizontalUnit, int]]
    second: list[tuple[VerticalUnit, HorizontalUnit, int]]


class Kernels:
    """All kernels of a network.

    Attributes:
      first_layers: The layers on the image, `FirstLayers`.
      levels: The `Level`s, the full resolution first.
      halvings: The `Halving`s, from level l to l + 1.
      doublings: The `Doubling`s, from level l + 1 to l.
      last: Function from the horizontal stream `[B, F]` to the outputs `[B, filters]`.
    """

    def __init__(self, network: PixelCNN) -> None:
        """Folds the kernels of a network."""
        self.first_layers = FirstLayers(network)
        num_levels = len(network.halvings) + 1
        self.levels = [Level([], []) for _ in range(num_levels)]
        for step in network.steps:
            if step.kind == POSITION:
                vertical, horizontal = network.positions[step.number]
                level = self.levels[step.level]
                units = (VerticalUnit(vertical), HorizontalUnit(horizontal), step.number)
                (level.second if step.is_second else level.first).append(units)
        self.halvings = [Halving(layers) for layers in network.halvings]
        self.doublings = [Doubling(layers) for layers in reversed(network.doublings)]
        last = _Folded(network.last)
        self.last = lambda x: last.dense(tf.nn.elu(x))


def by_column(row: tf.Tensor) -> tf.Tensor:
    """Moves the columns of a row to the front: `[B, 1, W, C]` to `[W, B, C]`."""
    return tf.transpose(row[:, 0], [1, 0, 2])


class _Folded:
    """A convolution with its weight norm folded into the kernel."""

    def __init__(self, layer):
        self.kernel = _float32(layer.effective_kernel())
        self.bias = _float32(layer.bias)
        if self.kernel.shape[:2] == [2, 2]:
            # One matrix for both taps of the row above, and one for both taps of the row itself.
            above, own = tf.unstack(tf.reshape(self.kernel, [2, -1, self.kernel.shape[-1]]))
            self._above, self._own = above, own

    def of_rows(self, before: tf.Tensor, row: tf.Tensor, strides: int = 1) -> tf.Tensor:
        """For kernels with two rows: the output at the second row, `[B, 1, W, C]`, with the bias."""
        return self._of(tf.concat([before, row], axis=1), strides)

    def of_row(self, row: tf.Tensor) -> tf.Tensor:
        """For kernels with one row: the output with the bias."""
        return self._of(row, 1)

    def _of(self, rows, strides):
        side = (self.kernel.shape[1] - 1) // 2
        padded = tf.pad(rows, [[0, 0], [0, 0], [side, side], [0, 0]])
        return conv2d(padded, self.kernel, strides=strides, padding="VALID") + self.bias

    def dense(self, x: tf.Tensor) -> tf.Tensor:
        """For 1x1 kernels: the output with the bias."""
        return _dense(x, self.kernel[0, 0]) + self.bias

    def from_above(self, above: tf.Tensor) -> tf.Tensor:
        """For 2x2 kernels that see nothing to the right: the term of the row before, `[W, B, C]`, with the bias."""
        left = tf.pad(above, [[1, 0], [0, 0], [0, 0]])[:-1]
        return _dense(tf.concat([left, above], axis=-1), self._above) + self.bias

    def from_left(self, left: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """For 2x2 kernels: the term of the left neighbour and the pixel itself, `[B, C]` each."""
        return tf.matmul(tf.concat([left, x], axis=-1), self._own)


def _float32(parameters):
    """Parameters as tensors of the dtype of the sampled pixels, whatever that of the network."""
    return tf.cast(tf.convert_to_tensor(parameters), tf.float32)


def _dense(x, kernel):
    rows = tf.matmul(tf.reshape(x, [-1, kernel.shape[0]]), kernel)
    return tf.reshape(rows, tf.concat([tf.shape(x)[:-1], [kernel.shape[1]]], axis=0))
