"""Lossless compression: integer maps of the bijectors, the coder, the file."""

from typing import TYPE_CHECKING

from tfflows.lazy import lazy_exports

if TYPE_CHECKING:  # for readers and tools; the table below is what runs
    from tfflows.compression.bins import Binned
    from tfflows.compression.coder import Stack, StackExhaustedError, chunks, quantize_cdf
    from tfflows.compression.exact import exp, log, log1p, normal_cdf, round_to, sigmoid, softplus, tanh, to_integer
    from tfflows.compression.protocol import CannotCodeError, ImageCodec, make_codec
    from tfflows.compression.ratios import divide, multiply

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "bins": ["Binned"],
        "coder": ["Stack", "StackExhaustedError", "chunks", "quantize_cdf"],
        "exact": ["exp", "log", "log1p", "normal_cdf", "round_to", "sigmoid", "softplus", "tanh", "to_integer"],
        "protocol": ["CannotCodeError", "ImageCodec", "make_codec"],
        "ratios": ["divide", "multiply"],
    },
)
