"""The taps that an inverse autoregressive flow may see."""

import numpy as np
import pytest

from tfflows.math.masked_convolution import autoregressive_mask


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(("in_channels", "out_channels"), [(2, 2), (2, 6), (6, 2), (1, 4), (3, 1)])
def test_a_number_sees_later_pixels_and_earlier_groups(in_channels, out_channels, strict):
    mask = autoregressive_mask(in_channels, out_channels, strict)
    assert mask.shape == (3, 3, in_channels, out_channels) and mask.dtype == np.float64
    for row in range(3):
        for column in range(3):
            if (row, column) != (1, 1):
                np.testing.assert_array_equal(mask[row, column], float((row, column) > (1, 1)))
    groups = min(in_channels, out_channels)
    for own in range(in_channels):
        for other in range(out_channels):
            of_input, of_output = own // (in_channels // groups), other // (out_channels // groups)
            seen = of_input < of_output or (of_input == of_output and not strict)
            assert mask[1, 1, own, other] == seen


@pytest.mark.parametrize(("in_channels", "out_channels"), [(2, 3), (6, 4)])
def test_channels_that_do_not_divide(in_channels, out_channels):
    with pytest.raises(ValueError, match=f"must divide the other, got {in_channels} and {out_channels}"):
        autoregressive_mask(in_channels, out_channels, strict=True)
