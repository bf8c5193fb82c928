"""A `PixelCNN` pixel by pixel in float64, each activation computed once, as `tfflows.networks.pixelcnn.sampling` does it.

It is done again in NumPy because the coder, which chooses the pixels, is no part of a graph: tracing one takes more time than an
image, and eager operations take eight times as long as NumPy for a pixel of a few images. The sampler must be a graph, because it
is part of exported models and runs on GPUs.

Activations are `[W, B, F]` for a row and `[B, F]` for a pixel.

References:
  Ramachandran et al. 2017, https://arxiv.org/abs/1704.06001.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfflows.networks.pixelcnn.network import POSITION, PixelCNN
from tfflows.networks.pixelcnn.shifted_convolution import ShiftedConv2DTranspose


class PixelPass:
    """The network with its weight norm folded, cut by what each tap sees: row above, left neighbour, the pixel."""

    def __init__(self, network: PixelCNN) -> None:
        """Folds the kernels of a network, whatever its policy."""
        self._width, self._channels = network.width, network.channels
        self._above, self._row_above = _RowKernel(network.above), _RowKernel(network.row_above)
        self._left, self._left_bias = _kernel(network.left)[:, 0], _array(network.left.bias)
        num_levels = len(network.halvings) + 1
        self._units = [([], []) for _ in range(num_levels)]
        for step in network.steps:
            if step.kind == POSITION:
                vertical, horizontal = network.positions[step.number]
                unit = _VerticalUnit(vertical), _HorizontalUnit(horizontal), step.number
                self._units[step.level][step.is_second].append(unit)
        self._halvings = [(_RowKernel(vertical), _PixelKernel(horizontal)) for vertical, horizontal in network.halvings]
        self._doublings = [_Doubling(*layers) for layers in reversed(network.doublings)]
        self._last, self._last_bias = _kernel(network.last)[0, 0], _array(network.last.bias)

    def run(
        self,
        num_images: int,
        sides: Sequence[int],
        choose: Callable[[int, int, np.ndarray], np.ndarray],
        features: Sequence[np.ndarray] | None = None,
        labels: np.ndarray | None = None,
    ) -> None:
        """Runs the network over all pixels, row by row.

        Args:
          num_images: Number of images B.
          sides: `(H, W)`, multiples of 4.
          choose: `choose(row, column, outputs)` takes what the network gives for a pixel, float64 `[B, filters]`, and returns
            what those after it see, `[B, C]` in [-1, 1].
          features: float64 `[B, H_l, W_l, feature_channels]` for the positions of the network, or None if it takes none.
          labels: Integers `[B]`, or None if the network takes none.
        """
        height, width = sides
        state = _State(self, num_images, width, features, labels)
        for row in range(height):
            active = max(level for level in range(len(self._units)) if row % 2**level == 0)
            terms = state.begin_row(row, active)
            for column in range(width):
                outputs = _elu(state.pixel(column, active, terms)) @ self._last + self._last_bias
                state.choose(column, choose(row, column, outputs))
            state.end_row(active)


class _State:
    """What a pass over images has computed and will see again."""

    def __init__(
        self,
        network: PixelPass,
        num_images: int,
        width: int,
        features: Sequence[np.ndarray] | None,
        labels: np.ndarray | None,
    ) -> None:
        self._network = network
        self._levels = network._units
        num_levels, channels = len(self._levels), network._width

        def row(level, depth):
            return np.zeros([width >> level, num_images, depth])

        def units(depth):
            return [
                [[row(level, depth) for _ in range(2)] for _ in range(len(first) + len(second))]
                for level, (first, second) in enumerate(self._levels)
            ]

        self._rows = [row(0, network._channels + 1) for _ in range(3)]  # the last two, and the current one
        # What the two convolutions of each unit saw in the row before; in the horizontal stream, the current row too.
        self._vertical, self._horizontal, self._current = (units(2 * channels) for _ in range(3))
        # The first half's last row at each level, and what coarse rows give to the second of their fine rows.
        (
            self._vertical_half,
            self._horizontal_half,
            self._current_half,
            self._vertical_doubled,
            self._horizontal_doubled,
        ) = ([row(level, channels) for level in range(num_levels)] for _ in range(5))
        self._coarse = [row(level + 1, channels) for level in range(num_levels - 1)]
        self._second_of_pair = [None] * num_levels
        self._none = np.zeros([num_images, 2 * channels])
        self._features = self._feature_terms(features)
        self._classes = self._class_terms(labels)

    def _feature_terms(self, features):
        """Feature terms of the two units of each position, `[H, W, B, F]` or None."""
        terms = {}
        for first, second in self._levels:
            for vertical, horizontal, number in (*first, *second):
                seen = None if features is None else _celu(np.transpose(features[number], [1, 2, 0, 3]))
                terms[number] = [
                    None if unit.feature is None else unit.feature(seen) for unit in (vertical, horizontal)
                ]
        return terms

    def _class_terms(self, labels):
        """What the class of each image adds to the gates of the two units of each position, `[B, 2 F]` or 0."""
        positions = [unit for first, second in self._levels for unit in (*first, *second)]
        return {
            number: [0.0 if labels is None else unit.class_weights[labels] for unit in (vertical, horizontal)]
            for vertical, horizontal, number in positions
        }

    def begin_row(self, row: int, active: int) -> dict[Any, np.ndarray]:
        """Computes the vertical stream in a row, and the terms of the horizontal one that do not depend on the row's pixels."""
        network, (second_last, last, _) = self._network, self._rows
        terms, start = {}, np.zeros([*last.shape[:2], network._width])
        image = np.zeros_like(start)
        if row:
            start = network._above(second_last, last)
            image = network._row_above(last)
        image[1:] += last[:-1] @ network._left[0] + network._left_bias
        terms["image"] = image
        self._vertical_row(0, row, active, start, terms)
        return terms

    def _vertical_row(self, level, row, active, x, terms):
        network, (first, second), kept = self._network, self._levels[level], [x]

        def run(place, unit, x, skip):
            vertical, horizontal, number = unit
            vertical_feature, horizontal_feature = (
                None if each is None else each[row >> level] for each in self._features[number]
            )
            vertical_class, horizontal_class = self._classes[number]
            before = self._vertical[level][place]
            x, self._vertical[level][place] = vertical(x, before, skip, vertical_feature, vertical_class)
            before = self._horizontal[level][place]
            terms[number] = horizontal.row_terms(before, x, horizontal_feature, horizontal_class)
            return x

        for place, unit in enumerate(first):
            x = run(place, unit, x, None)
            kept.append(x)
        if level == len(self._levels) - 1:
            x = kept.pop()
        else:
            half = x
            if level < active:
                halving = network._halvings[level]
                coarse = halving[0](self._vertical_half[level], half)[::2]
                terms["half", level] = halving[1].from_above(self._horizontal_half[level])[::2]
                coarse = self._vertical_row(level + 1, row, active, coarse, terms)
                x, self._vertical_doubled[level] = network._doublings[level].vertical(coarse)
            else:
                x = self._vertical_doubled[level]
            self._vertical_half[level] = half
        for place, unit in enumerate(second, len(first)):
            x = run(place, unit, x, kept.pop())
        return x

    def pixel(self, column: int, active: int, terms: dict[Any, np.ndarray]) -> np.ndarray:
        """The horizontal stream at a pixel."""
        x = terms["image"][column]
        if column:
            x = x + self._rows[2][column - 1] @ self._network._left[1]
        return self._pixel(0, column, active, x, terms)

    def _pixel(self, level, column, active, x, terms):
        network, (first, second), kept = self._network, self._levels[level], [x]

        def run(place, unit, x, skip):
            seen = self._current[level][place]
            left = [each[column - 1] for each in seen] if column else [self._none, self._none]
            first_term, second_term = terms[unit[2]]
            x, (seen[0][column], seen[1][column]) = unit[1](x, left, first_term[column], second_term[column], skip)
            return x

        for place, unit in enumerate(first):
            x = run(place, unit, x, None)
            kept.append(x)
        if level == len(self._levels) - 1:
            x = kept.pop()
        else:
            half = x
            if level == active:
                x = self._horizontal_doubled[level][column]
            elif column % 2 == 0:
                halves = self._current_half[level]
                left = halves[column - 1] if column else np.zeros_like(half)
                coarse = network._halvings[level][1].of_pair(left, half) + terms["half", level][column // 2]
                coarse = self._pixel(level + 1, column // 2, active, coarse, terms)
                self._coarse[level][column // 2] = coarse
                x, self._second_of_pair[level] = network._doublings[level].pair(coarse)
            else:
                x = self._second_of_pair[level]
            self._current_half[level][column] = half
        for place, unit in enumerate(second, len(first)):
            x = run(place, unit, x, kept.pop())
        return x

    def choose(self, column: int, pixels: np.ndarray) -> None:
        """Takes the values of a pixel."""
        self._rows[2][column, :, :-1] = pixels
        self._rows[2][column, :, -1] = 1

    def end_row(self, active: int) -> None:
        """Makes the row that is done the row before."""
        self._rows = [self._rows[1], self._rows[2], self._rows[0]]
        for level in range(active + 1):
            self._horizontal[level], self._current[level] = self._current[level], self._horizontal[level]
            halves = self._current_half, self._horizontal_half
            self._horizontal_half[level], self._current_half[level] = (each[level] for each in halves)
            if level < active:
                self._horizontal_doubled[level] = self._network._doublings[level].second_row(self._coarse[level])


class _VerticalUnit:
    """A unit of the vertical stream, for a row given what its convolutions saw in the row before."""

    def __init__(self, unit: Any) -> None:
        self._first, self._second = _RowKernel(unit.first), _RowKernel(unit.second)
        self._skip, self.feature = (None if layer is None else _Dense(layer) for layer in (unit.skip, unit.feature))
        self.class_weights = _class_weights(unit)

    def __call__(self, x, before, skip, feature, class_term):
        """The row, and `before` of the next one."""
        first = _celu(x)
        hidden = self._first(before[0], first)
        if self._skip is not None:
            hidden += self._skip(_celu(skip))
        if feature is not None:
            hidden += feature
        second = _celu(hidden)
        return x + _gate(self._second(before[1], second) + class_term), [first, second]


class _HorizontalUnit:
    """A unit of the horizontal stream, for a pixel."""

    def __init__(self, unit: Any) -> None:
        self._first, self._second = _PixelKernel(unit.first), _PixelKernel(unit.second)
        self.feature = None if unit.feature is None else _Dense(unit.feature)
        self.class_weights = _class_weights(unit)
        skip, self._skip_bias = _kernel(unit.skip)[0, 0], _array(unit.skip.bias)
        self._vertical_skip, self._own_skip = skip, None
        if len(skip) == 4 * unit.filters:
            # The channels of `celu` of the two streams side by side: both streams, then both negated.
            vertical, own, minus_vertical, minus_own = np.split(skip, 4)
            self._vertical_skip = np.concatenate([vertical, minus_vertical])
            self._own_skip = np.concatenate([own, minus_own])

    def row_terms(self, above, vertical, feature, class_term):
        """What is added to the two convolutions of each pixel of a row."""
        first = self._first.from_above(above[0]) + _celu(vertical) @ self._vertical_skip + self._skip_bias
        if feature is not None:
            first += feature
        return first, self._second.from_above(above[1]) + class_term

    def __call__(self, x, left, first_term, second_term, skip):
        """The pixel, and what its convolutions see."""
        first = _celu(x)
        hidden = first_term + self._first.of_pair(left[0], first)
        if self._own_skip is not None:
            hidden += _celu(skip) @ self._own_skip
        second = _celu(hidden)
        return x + _gate(second_term + self._second.of_pair(left[1], second)), (first, second)


class _RowKernel:
    """A convolution of one or two rows that sees the columns around, `[W, B, C] -> [W, B, F]`."""

    def __init__(self, layer: Any) -> None:
        kernel = _kernel(layer)
        self._taps = kernel.reshape([-1, kernel.shape[-1]])
        self._bias = _array(layer.bias)

    def __call__(self, *rows):
        """The output at the last row."""
        seen = []
        for row in rows:
            padded = np.pad(row, [[1, 1], [0, 0], [0, 0]])
            seen += [padded[:-2], row, padded[2:]]
        return np.concatenate(seen, axis=-1) @ self._taps + self._bias


class _PixelKernel:
    """A 2x2 convolution that sees nothing to the right."""

    def __init__(self, layer: Any) -> None:
        kernel = _kernel(layer)
        self._above, self._own = kernel.reshape([2, -1, kernel.shape[-1]])
        self._bias = _array(layer.bias)

    def from_above(self, above):
        """The term of the row before, with the bias."""
        left = np.concatenate([np.zeros_like(above[:1]), above[:-1]])
        return np.concatenate([left, above], axis=-1) @ self._above + self._bias

    def of_pair(self, left, x):
        """The term of the left neighbour and the pixel itself."""
        return np.concatenate([left, x], axis=-1) @ self._own


class _Doubling:
    """The transposed convolutions that lead to a finer resolution; fine rows come from one coarse row each."""

    def __init__(self, vertical: Any, horizontal: Any) -> None:
        self._vertical, self._horizontal = (np.swapaxes(_kernel(layer), 2, 3) for layer in (vertical, horizontal))
        self._vertical_bias, self._bias = _array(vertical.bias), _array(horizontal.bias)

    def vertical(self, row):
        """The two fine rows of a coarse one."""
        right = np.concatenate([row[1:], np.zeros_like(row[:1])])
        return [
            _interleaved(row @ middle, row @ last + right @ first) + self._vertical_bias
            for first, middle, last in self._vertical
        ]

    def pair(self, x):
        """The two pixels of a coarse one in its first fine row."""
        return [x @ kernel + self._bias for kernel in self._horizontal[0]]

    def second_row(self, row):
        """The second fine row of a coarse one."""
        return _interleaved(*(row @ kernel for kernel in self._horizontal[1])) + self._bias


class _Dense:
    """A 1x1 convolution."""

    def __init__(self, layer: Any) -> None:
        self._taps, self._bias = _kernel(layer)[0, 0], _array(layer.bias)

    def __call__(self, x):
        return x @ self._taps + self._bias


def _interleaved(even, odd):
    return np.stack([even, odd], axis=1).reshape([-1, *even.shape[1:]])


def _elu(x):
    return np.where(x > 0, x, np.expm1(-np.abs(x)))


def _celu(x):
    positive, small = x > 0, np.expm1(-np.abs(x))
    return np.concatenate([np.where(positive, x, small), np.where(positive, small, -x)], axis=-1)


def _gate(x):
    width = x.shape[-1] // 2
    value, opening = x[..., :width], x[..., width:]
    small = np.exp(-np.abs(opening))
    return value * np.where(opening >= 0, 1.0, small) / (1 + small)


def _class_weights(unit):
    """The term of each class in the gate, `[num_classes, 2 F]`, or None."""
    return None if unit.class_weights is None else _array(unit.class_weights)


def _kernel(layer):
    """`g v / ||v||`, the norm over all axes but that of the outputs."""
    direction, gain = _array(layer.direction), _array(layer.gain)
    transposed = isinstance(layer, ShiftedConv2DTranspose)
    norm = np.sqrt(np.sum(np.square(direction), axis=(0, 1, 3) if transposed else (0, 1, 2)))
    factor = gain / norm
    return direction * (factor[:, np.newaxis] if transposed else factor)


def _array(variable):
    return np.asarray(variable, np.float64)
