"""Masked convolutions: products and sums whose ratios and shifts depend on the pixels before each.

Data to latent the network has all of them in one pass; the other way they are found line by line, or diagonal by diagonal. The
coder is a stack, so coding runs through the lines in the opposite order, and no turn of pops and pushes crosses one.
"""

import numpy as np
import tensorflow as tf

from tfflows.bijectors import MaskedConv
from tfflows.compression import exact
from tfflows.compression.maps.base import IntegerMap, Run, integer_map
from tfflows.compression.maps.coupling import checked, look_up, ratio_table
from tfflows.compression.maps.plan import Plan
from tfflows.compression.network import FRACTION_BITS
from tfflows.compression.ratios import divide, multiply
from tfflows.math.masked_convolution import MASKED, canonical_kernel, canonical_size, to_canonical
from tfflows.math.wavefront import wavefront


class MaskedMap(IntegerMap):
    """`x s + mu` or `x + mu` in each pixel, given those before it."""

    def __init__(self, bijector: MaskedConv, grid: np.ndarray, plan: Plan) -> None:
        """Creates the map of a masked convolution on a grid."""
        self.grid = grid
        self.changes_spread = bijector.parameters["affine"]
        self._ratios = ratio_table("sigmoid") if bijector.parameters["affine"] else None
        self._network = plan.networks.runner(bijector.network)
        self._takes_context = bijector.takes_condition
        self._pixels = _Pixels(plan.networks.in_float64(bijector.network), grid.shape)
        self._flat_grid = np.reshape(grid, [-1, grid.shape[-1]])

    def encode(self, x: np.ndarray, run: Run) -> np.ndarray:
        """Data to latent."""
        conditions = [{"context": run.context}] if self._takes_context else []
        parameters = self._network(x * self.grid, *conditions)
        shape, flat = x.shape, np.reshape(x, [len(x), -1, x.shape[-1]])
        shifts, ratios = self._split(np.reshape(parameters, [*flat.shape[:2], -1]), slice(None))
        if ratios is None:
            return np.reshape(flat + shifts, shape)
        checked(flat)
        numerators, bits = ratios
        run.takes(bits - np.log2(numerators))
        out = np.empty_like(flat)
        for line in reversed(self._pixels.lines):
            out[:, line] = multiply(run.stack, flat[:, line], numerators[:, line], bits[:, line])
        return np.reshape(out + shifts, shape)

    def decode(self, x: np.ndarray, run: Run) -> np.ndarray:
        """Undoes `encode`."""
        flat = np.reshape(x, [len(x), -1, x.shape[-1]])
        out = np.empty_like(flat)
        found = self._pixels.begin(len(x), run.context if self._takes_context else None)
        for number, line in enumerate(self._pixels.lines):
            parameters = exact.round_to(found.parameters(number), FRACTION_BITS)
            shifts, ratios = self._split(parameters, line)
            own = flat[:, line] - shifts
            if ratios is not None:
                own = divide(run.stack, own, *ratios)
            out[:, line] = own
            found.add(line, own * self._flat_grid[line])
        return np.reshape(out, x.shape)

    def _split(self, parameters, line):
        grid = self._flat_grid[line]
        if self._ratios is None:
            return exact.to_integer(parameters / grid), None
        shifts, raw = np.split(parameters, 2, axis=-1)
        return exact.to_integer(shifts / grid), look_up(self._ratios, raw)


class _Pixels:
    """The lines of pixels in the order in which they can be found, and the network for one line."""

    def __init__(self, network, shape):
        height, width, channels = shape
        self._layer = network
        kernel = network.masked.effective_kernel()
        size = canonical_size(kernel.shape[:2].as_list(), network.order)
        turned = (width, height) if network.order in "CD" else (height, width)
        front = wavefront(network.kind, size, *turned)
        kernel = canonical_kernel(kernel, network.kind, network.order).numpy()
        self._matrix = np.concatenate([kernel[tap.row, tap.column] for tap in front.taps])
        self._bias, self._last, self._last_bias = (each.numpy() for each in network.pixel_parameters())
        # Number of each pixel once the image is turned, and behind them that of all that lies outside.
        numbers = tf.reshape(tf.range(height * width), [1, height, width, 1])
        numbers = to_canonical(numbers, network.kind, network.order).numpy()[0, :, :, 0]
        outside = height * width
        above = size[0] // 2 if network.kind == MASKED else size[0]
        rows, columns = np.mgrid[: turned[0], : turned[1]]
        seen = []
        for tap in front.taps:
            row, column = rows + tap.row - above, columns + tap.column - size[1] // 2
            inside = (row >= 0) & (column >= 0) & (column < turned[1])
            seen.append(np.where(inside, numbers[np.maximum(row, 0), np.clip(column, 0, turned[1] - 1)], outside))
        seen = np.stack(seen, axis=-1).reshape([-1, len(front.taps)])
        ticks = [tick[tick < outside] for tick in front.pixels]
        self.lines = [numbers.ravel()[tick] for tick in ticks]
        self._seen = [seen[tick] for tick in ticks]
        self._shape = outside + 1, channels

    def begin(self, count, context):
        """Begins to find the pixels of images."""
        features = None
        if context is not None:
            features = self._layer.features({"context": tf.constant(context)}).numpy()
            features = np.reshape(features, [count, self._shape[0] - 1, -1])
        return _Found(self, np.zeros([count, *self._shape]), features)


class _Found:
    """Pixels that have been found, zero where they have not."""

    def __init__(self, pixels, values, features):
        self._pixels, self._values, self._features = pixels, values, features

    def parameters(self, number):
        """The network's output at the pixels of a line, `[B, pixels, ...]`."""
        own = self._pixels
        seen = self._values[:, own._seen[number]]
        hidden = np.reshape(seen, [*seen.shape[:2], -1]) @ own._matrix + own._bias
        if self._features is not None:
            hidden += self._features[:, own.lines[number]]
        hidden = np.where(hidden > 0, hidden, np.expm1(np.minimum(hidden, 0)))
        return hidden @ own._last + own._last_bias

    def add(self, line, values):
        """Says what the pixels of a line are."""
        self._values[:, line] = values


@integer_map.register(MaskedConv)
def _masked(bijector: MaskedConv, grid: np.ndarray, plan: Plan) -> MaskedMap:
    made = MaskedMap(bijector, grid, plan)
    if made._ratios is not None:
        plan.note(*made._ratios)
    return made
