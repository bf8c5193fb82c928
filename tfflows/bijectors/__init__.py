"""TFP bijectors: forward maps latent to data, inverse maps data to latent."""

from typing import TYPE_CHECKING

from tfflows.lazy import lazy_exports

if TYPE_CHECKING:  # for readers and tools; the table below is what runs
    from tfflows.bijectors.actnorm import ActNorm, actnorm_log_scales
    from tfflows.bijectors.base import (
        Bijector,
        broadcast_log_det,
        forward_and_log_det,
        inverse_and_log_det,
        rebuild_and_gradient,
        takes_condition,
        value_and_log_det,
    )
    from tfflows.bijectors.batch_norm import BatchNorm
    from tfflows.bijectors.cache import OnePassCache
    from tfflows.bijectors.chain import Chain
    from tfflows.bijectors.checkerboard import CheckerboardMerge, CheckerboardSplit
    from tfflows.bijectors.coupling import AdditiveCoupling, AffineCoupling, CheckerboardAffineCoupling, Coupling
    from tfflows.bijectors.first_channels import OnFirstChannels
    from tfflows.bijectors.gaussian_prior import GaussianPrior
    from tfflows.bijectors.halves import OnHalves, SwapHalves
    from tfflows.bijectors.inverse_autoregressive import InverseAutoregressive
    from tfflows.bijectors.invertible_conv import InvertibleConv, per_position_log_det
    from tfflows.bijectors.invertible_conv_lu import InvertibleConvLU
    from tfflows.bijectors.logistic_mixture import LogisticMixtureLogitCDF
    from tfflows.bijectors.logistic_mixture_coupling import LogisticMixtureCoupling
    from tfflows.bijectors.logit import Logit
    from tfflows.bijectors.masked_conv import MaskedConv
    from tfflows.bijectors.multiscale import Level, MultiScale
    from tfflows.bijectors.on_data import OnData
    from tfflows.bijectors.parts import (
        at_place,
        check_bijectors,
        check_network_dtype,
        common_dtype,
        flat_condition,
        map_condition,
    )
    from tfflows.bijectors.permutation import Permutation, Reverse
    from tfflows.bijectors.recording import Call, noting, recorded_calls
    from tfflows.bijectors.squeeze import Squeeze, Unsqueeze

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "actnorm": ["ActNorm", "actnorm_log_scales"],
        "base": [
            "Bijector",
            "broadcast_log_det",
            "forward_and_log_det",
            "inverse_and_log_det",
            "rebuild_and_gradient",
            "takes_condition",
            "value_and_log_det",
        ],
        "batch_norm": ["BatchNorm"],
        "cache": ["OnePassCache"],
        "chain": ["Chain"],
        "checkerboard": ["CheckerboardMerge", "CheckerboardSplit"],
        "coupling": ["AdditiveCoupling", "AffineCoupling", "CheckerboardAffineCoupling", "Coupling"],
        "first_channels": ["OnFirstChannels"],
        "gaussian_prior": ["GaussianPrior"],
        "halves": ["OnHalves", "SwapHalves"],
        "inverse_autoregressive": ["InverseAutoregressive"],
        "invertible_conv": ["InvertibleConv", "per_position_log_det"],
        "invertible_conv_lu": ["InvertibleConvLU"],
        "logistic_mixture": ["LogisticMixtureLogitCDF"],
        "logistic_mixture_coupling": ["LogisticMixtureCoupling"],
        "logit": ["Logit"],
        "masked_conv": ["MaskedConv"],
        "multiscale": ["Level", "MultiScale"],
        "on_data": ["OnData"],
        "parts": [
            "at_place",
            "check_bijectors",
            "check_network_dtype",
            "common_dtype",
            "flat_condition",
            "map_condition",
        ],
        "permutation": ["Permutation", "Reverse"],
        "recording": ["Call", "noting", "recorded_calls"],
        "squeeze": ["Squeeze", "Unsqueeze"],
    },
)
