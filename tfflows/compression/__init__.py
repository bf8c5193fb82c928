"""Lossless compression: integer maps of the bijectors, the coder, the file."""

from typing import TYPE_CHECKING

from tfflows.lazy import lazy_exports

if TYPE_CHECKING:  # for readers and tools; the table below is what runs
    from tfflows.compression.archive import (
        Compressed,
        check_model,
        codec_of,
        compress,
        decompress,
        hash_of_experiment,
        hash_of_weights,
        noise_bits_of,
    )
    from tfflows.compression.bins import Binned
    from tfflows.compression.coder import Stack, StackExhaustedError, quantize_cdf, random_masks, seeds_of
    from tfflows.compression.container import ArchiveError, Container, check_word, deflate, inflate
    from tfflows.compression.exact import exp, log, log1p, normal_cdf, round_to, sigmoid, softplus, tanh, to_integer
    from tfflows.compression.flow import FlowCodec
    from tfflows.compression.iaf_vae import AGAVECodec, IAFVAECodec, Ladder
    from tfflows.compression.levels import LevelMixture, logistic_table, unit_weights, weights_of
    from tfflows.compression.maps.base import IntegerMap, Run, integer_map
    from tfflows.compression.maps.compositions import (
        BesideData,
        ChainMap,
        LearnedPrior,
        Levels,
        Parts,
        StandardNormal,
        gaussian_bits,
        push_gaussian,
    )
    from tfflows.compression.maps.coupling import (
        Additive,
        Affine,
        CheckerboardAffine,
        CouplingMap,
        checked,
        look_up,
        ratio_table,
        scale_form,
    )
    from tfflows.compression.maps.curves import Curve, CurveMap, LogitCurve, SigmoidCurve, on_one_grid, rising_knots
    from tfflows.compression.maps.invertible_conv import Lifting, exact_lu, exact_matmul
    from tfflows.compression.maps.masked import MaskedMap
    from tfflows.compression.maps.mixtures import GivenMixtures, MixtureCoupling, MixtureCurve
    from tfflows.compression.maps.moves import Move
    from tfflows.compression.maps.one_grid import OneGrid
    from tfflows.compression.maps.plan import Plan
    from tfflows.compression.maps.regrid import Regrid
    from tfflows.compression.maps.scales import ScaleAndShift, check_grid, pixels_of, value_of
    from tfflows.compression.network import Networks, check_outputs, in_float64
    from tfflows.compression.noise import FlowNoise, GaussianNoise, Noise, NormalNoise, UniformNoise, augmenting_noise
    from tfflows.compression.pixel_pass import PixelPass
    from tfflows.compression.pixelcnn import PixelCNNCodec, Pixels, fingerprint_of_levels
    from tfflows.compression.protocol import CannotCodeError, ImageCodec, make_codec
    from tfflows.compression.ratios import divide, multiply
    from tfflows.compression.tiles import from_tiles, num_tiles, to_tiles

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "archive": [
            "Compressed",
            "check_model",
            "codec_of",
            "compress",
            "decompress",
            "hash_of_experiment",
            "hash_of_weights",
            "noise_bits_of",
        ],
        "bins": ["Binned"],
        "coder": ["Stack", "StackExhaustedError", "quantize_cdf", "random_masks", "seeds_of"],
        "container": ["ArchiveError", "Container", "check_word", "deflate", "inflate"],
        "exact": ["exp", "log", "log1p", "normal_cdf", "round_to", "sigmoid", "softplus", "tanh", "to_integer"],
        "flow": ["FlowCodec"],
        "iaf_vae": ["AGAVECodec", "IAFVAECodec", "Ladder"],
        "levels": ["LevelMixture", "logistic_table", "unit_weights", "weights_of"],
        "maps.base": ["IntegerMap", "Run", "integer_map"],
        "maps.compositions": [
            "BesideData",
            "ChainMap",
            "LearnedPrior",
            "Levels",
            "Parts",
            "StandardNormal",
            "gaussian_bits",
            "push_gaussian",
        ],
        "maps.coupling": [
            "Additive",
            "Affine",
            "CheckerboardAffine",
            "CouplingMap",
            "checked",
            "look_up",
            "ratio_table",
            "scale_form",
        ],
        "maps.curves": ["Curve", "CurveMap", "LogitCurve", "SigmoidCurve", "on_one_grid", "rising_knots"],
        "maps.invertible_conv": ["Lifting", "exact_lu", "exact_matmul"],
        "maps.masked": ["MaskedMap"],
        "maps.mixtures": ["GivenMixtures", "MixtureCoupling", "MixtureCurve"],
        "maps.moves": ["Move"],
        "maps.one_grid": ["OneGrid"],
        "maps.plan": ["Plan"],
        "maps.regrid": ["Regrid"],
        "maps.scales": ["ScaleAndShift", "check_grid", "pixels_of", "value_of"],
        "network": ["Networks", "check_outputs", "in_float64"],
        "noise": ["FlowNoise", "GaussianNoise", "Noise", "NormalNoise", "UniformNoise", "augmenting_noise"],
        "pixel_pass": ["PixelPass"],
        "pixelcnn": ["PixelCNNCodec", "Pixels", "fingerprint_of_levels"],
        "protocol": ["CannotCodeError", "ImageCodec", "make_codec"],
        "ratios": ["divide", "multiply"],
        "tiles": ["from_tiles", "num_tiles", "to_tiles"],
    },
)
