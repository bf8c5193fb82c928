"""Inverse autoregressive flow: each number is shifted and scaled given those before it, in reverse raster order.

The order is by pixels from the last to the first and, within a pixel, by channels. A 3x3 kernel sees of the other pixels those
after its own in raster order: the right neighbour and the row below.

Source: Kingma et al. 2016; released code.
"""

import math

import numpy as np


def causal_mask(in_channels, out_channels, strict):
    """Which taps of a 3x3 kernel are live: float64 `[3, 3, in_channels, out_channels]` of 0 and 1.

    At the centre both kinds of channels are cut into as many equal groups in order, and an output group sees the input groups
    before it and, unless `strict`, its own.

    Raises:
      ValueError: if neither number divides the other.
    """
    groups = min(in_channels, out_channels)
    if in_channels % groups or out_channels % groups:
        raise ValueError(
            f"Of an autoregressive convolution one number of channels must divide the other, got {in_channels} and "
            f"{out_channels}."
        )
    mask = np.ones([3, 3, in_channels, out_channels])
    mask[0] = 0
    mask[1, 0] = 0
    group_in, group_out = (np.arange(size) * groups // size for size in (in_channels, out_channels))
    before = group_in[:, np.newaxis] < group_out if strict else group_in[:, np.newaxis] <= group_out
    mask[1, 1] = before
    return mask


def num_sequential_steps(event_shape):
    """After so many rounds of fixed-point iteration an autoregressive map is inverted whatever it is: `H W C`."""
    return math.prod(event_shape)
