"""A finer or a coarser grid: bits are popped below integers, or pushed off them."""

import numpy as np

from tfflows.compression.maps.base import IntegerMap, Run


class Regrid(IntegerMap):
    """`x -> x * 2**bits + noise` in channels that get bits, `x -> x >> -bits` with the rest pushed in those that lose some.

    Scales below 1 shrink integers while the grid stays, and precision would be lost with depth.
    """

    def __init__(self, grid: np.ndarray, bits: np.ndarray) -> None:
        """Creates the map.

        Args:
          grid: The grid of the input, `[..., C]`.
          bits: Bits that each channel gets, int64 `[C]`, negative for those that it loses.
        """
        self.bits = bits
        self.grid = np.ldexp(grid, -bits.astype(np.int32))

    def encode(self, x: np.ndarray, run: Run) -> np.ndarray:
        """Data to latent."""
        run.takes(np.broadcast_to(-self.bits, x.shape))
        return _moved(x, self.bits, run.stack)

    def decode(self, x: np.ndarray, run: Run) -> np.ndarray:
        """Undoes `encode`."""
        return _moved(x, -self.bits, run.stack, backwards=True)


def _moved(x, bits, stack, backwards=False):
    shape, x, bits = x.shape, x.ravel(), np.broadcast_to(bits, x.shape).ravel()
    up, down = np.maximum(bits, 0), np.maximum(-bits, 0)
    out = x << up
    parts = stack.chunks(x.size)
    for part in reversed(parts) if backwards else parts:
        out[part] += stack.pop_bits(up[part])
        stack.push_bits(x[part] & ((1 << down[part]) - 1), down[part])
    return (out >> down).reshape(shape)
