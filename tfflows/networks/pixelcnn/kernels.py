"""The kernels of a `PixelCNN`, folded once for sampling and cut by what each tap sees: row above, left neighbour, pixel."""

from typing import NamedTuple

import tensorflow as tf

from tfflows.math.convolution import conv2d
from tfflows.math.gating import concat_elu, gate
from tfflows.networks.pixelcnn.network import POSITION


class VerticalUnit:
    """A unit of the vertical stream on one row `[B, 1, W, F]`, given what its convolutions saw in the row before."""

    def __init__(self, unit):
        self._first, self._second = (_Folded(layer) for layer in (unit.first, unit.second))
        self._skip = None if unit.skip is None else _Folded(unit.skip)
        self.width = unit.filters

    def __call__(self, x, before, skip, feature):
        """The row, and what its convolutions see: `(out, (first, second))`; `before` is that pair of the row before."""
        first = concat_elu(x)
        hidden = self._first.of_rows(before[0], first)
        if self._skip is not None:
            hidden += self._skip.dense(concat_elu(skip))
        if feature is not None:
            hidden += feature
        second = concat_elu(hidden)
        return x + gate(self._second.of_rows(before[1], second)), (first, second)


class HorizontalUnit:
    """A unit of the horizontal stream, for one pixel `[B, F]` at a time.

    What does not depend on the row itself is computed for all of its pixels, `[W, B, ...]`, in `row_terms`.
    """

    def __init__(self, unit):
        self._first, self._second = (_Folded(layer) for layer in (unit.first, unit.second))
        self.width = width = unit.filters
        self._skip = _Folded(unit.skip)
        kernel = self._skip.kernel[0, 0]
        self._own_skip = None
        if kernel.shape[0] == 4 * width:
            # `celu` of the two streams side by side: both, then both negative.
            vertical, own, minus_vertical, minus_own = tf.split(kernel, 4, axis=0)
            kernel = tf.concat([vertical, minus_vertical], axis=0)
            self._own_skip = tf.concat([own, minus_own], axis=0)
        self._vertical_skip = kernel

    def row_terms(self, above, vertical, feature):
        """What is added to the two convolutions of each pixel, `[W, B, 3 F]`, one after the other on the channels.

        Args:
          above: `[W, B, 4 F]`: what the two convolutions saw in the row before.
          vertical: `[W, B, F]`, the vertical stream's unit of this position.
          feature: `[W, B, F]`, or None.
        """
        above_first, above_second = tf.split(above, 2, axis=-1)
        first = (
            self._first.from_above(above_first) + _dense(concat_elu(vertical), self._vertical_skip) + self._skip.bias
        )
        if feature is not None:
            first += feature
        return tf.concat([first, self._second.from_above(above_second)], axis=-1)

    def __call__(self, x, left, terms, skip):
        """The pixel, and what its convolutions see: `(out, seen)`.

        Args:
          x: `[B, F]`.
          left: `[B, 4 F]`, `seen` of the left neighbour.
          terms: `[B, 3 F]`, of `row_terms`.
          skip: `[B, F]`, what the horizontal stream had in the first half; None there.
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
    """The convolutions of stride 2 to a coarser resolution."""

    def __init__(self, layers):
        self._vertical, self._horizontal = map(_Folded, layers)

    def vertical(self, before, row):
        """A coarse row of two fine ones, `[B, 1, W, F]`."""
        return self._vertical.of_rows(before, row, strides=2)

    def row_terms(self, above):
        """`[W / 2, B, F]` of the fine row before, `[W, B, F]`."""
        return self._horizontal.from_above(above)[::2]

    def __call__(self, left, x, term):
        """A coarse pixel of the left and the own one of the finer resolution, `[B, F]`."""
        return term + self._horizontal.from_left(left, x)


class Doubling:
    """The transposed convolutions to a finer resolution; no two places overlap in height, nor those of the horizontal stream."""

    def __init__(self, layers):
        vertical, horizontal = layers
        self._vertical_layer = vertical
        self._vertical_kernel = vertical.effective_kernel()
        self._horizontal = tf.transpose(horizontal.effective_kernel(), [0, 1, 3, 2])  # [2, 2, in, out]
        self._bias = tf.convert_to_tensor(horizontal.bias)

    def vertical(self, row):
        """The two fine rows of a coarse one: `[B, 1, W, F]` to two `[B, 1, 2 W, F]`."""
        layer = self._vertical_layer
        rows = layer._convolve(row, self._vertical_kernel) + tf.convert_to_tensor(layer.bias)
        return rows[:, :1], rows[:, 1:]

    def first_row(self, x):
        """The two fine pixels of a coarse one in the first row, `[B, F]` each."""
        return [_dense(x, self._horizontal[0, column]) + self._bias for column in (0, 1)]

    def second_row(self, row):
        """The second fine row of a coarse one: `[W, B, F]` to `[2 W, B, F]`."""
        pixels = tf.stack([_dense(row, self._horizontal[1, column]) + self._bias for column in (0, 1)], axis=1)
        return tf.reshape(pixels, tf.concat([[-1], tf.shape(row)[1:2], [self._bias.shape[0]]], axis=0))


class FirstLayers:
    """The layers on the image itself, whose outputs are shifted by a row or a column after the bias: zeros come in."""

    def __init__(self, network):
        self._above, self._row_above, self._left = map(_Folded, (network.above, network.row_above, network.left))

    def vertical(self, second_last, last, exists):
        """The vertical stream at a row, `[B, 1, W, F]`, of the two rows before; 0 where there is none."""
        return exists * self._above.of_rows(second_last, last)

    def row_terms(self, last, exists):
        """`[W, B, F]` of the row before, `[B, 1, W, C]`: what the horizontal stream sees of it in full."""
        return by_column(exists * self._row_above.of_row(last))

    def __call__(self, left_above, left, exists):
        """The part of the left neighbour and the pixel above that, `[B, C]` each; 0 where there is none."""
        kernel = self._left.kernel[:, 0]
        return exists * (tf.matmul(left_above, kernel[0]) + tf.matmul(left, kernel[1]) + self._left.bias)


class Level(NamedTuple):
    """The units of a resolution: `(vertical, horizontal, number of the position)` each.

    Attributes:
      first: Of the first half.
      second: Of the second half.
    """

    first: list
    second: list


class Kernels:
    """All of a network.

    Attributes:
      first_layers: `FirstLayers`.
      levels: `Level`s, the full resolution first.
      halvings: `Halving`s, from level l to l + 1.
      doublings: `Doubling`s, from level l + 1 to l.
      last: Function of the horizontal stream `[B, F]` that gives the outputs `[B, filters]`.
    """

    def __init__(self, network):
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


def by_column(row):
    """`[B, 1, W, C]` to `[W, B, C]`."""
    return tf.transpose(row[:, 0], [1, 0, 2])


class _Folded:
    """A convolution with its weight norm carried out."""

    def __init__(self, layer):
        self.kernel = layer.effective_kernel()
        self.bias = tf.convert_to_tensor(layer.bias)
        if self.kernel.shape[:2] == [2, 2]:
            # Left and right tap as one matrix each.
            above, own = tf.unstack(tf.reshape(self.kernel, [2, -1, self.kernel.shape[-1]]))
            self._above, self._own = above, own

    def of_rows(self, before, row, strides=1):
        """Kernels of two rows, at the second one, `[B, 1, W, C]`; bias included."""
        return self._of(tf.concat([before, row], axis=1), strides)

    def of_row(self, row):
        """Kernels of one row."""
        return self._of(row, 1)

    def _of(self, rows, strides):
        side = (self.kernel.shape[1] - 1) // 2
        padded = tf.pad(rows, [[0, 0], [0, 0], [side, side], [0, 0]])
        return conv2d(padded, self.kernel, strides=strides, padding="VALID") + self.bias

    def dense(self, x):
        """Kernels of one tap."""
        return _dense(x, self.kernel[0, 0]) + self.bias

    def from_above(self, above):
        """The part of the row before, `[W, B, C]`, and the bias; kernels 2x2 that see nothing to the right."""
        left = tf.pad(above, [[1, 0], [0, 0], [0, 0]])[:-1]
        return _dense(tf.concat([left, above], axis=-1), self._above) + self.bias

    def from_left(self, left, x):
        """The part of the left neighbour and the pixel itself, `[B, C]` each."""
        return tf.matmul(tf.concat([left, x], axis=-1), self._own)


def _dense(x, kernel):
    rows = tf.matmul(tf.reshape(x, [-1, kernel.shape[0]]), kernel)
    return tf.reshape(rows, tf.concat([tf.shape(x)[:-1], [kernel.shape[1]]], axis=0))
