"""TFP bijectors: forward maps latent to data, inverse maps data to latent."""

from tfflows.bijectors.actnorm import ActNorm
from tfflows.bijectors.base import Bijector
from tfflows.bijectors.chain import Chain
from tfflows.bijectors.checkerboard import CheckerboardMerge, CheckerboardSplit
from tfflows.bijectors.coupling import AdditiveCoupling, AffineCoupling, Coupling
from tfflows.bijectors.first_channels import OnFirstChannels
from tfflows.bijectors.gaussian_prior import GaussianPrior
from tfflows.bijectors.halves import OnHalves, SwapHalves
from tfflows.bijectors.inverse_autoregressive import InverseAutoregressive
from tfflows.bijectors.invertible_conv import InvertibleConv
from tfflows.bijectors.invertible_conv_lu import InvertibleConvLU
from tfflows.bijectors.logistic_mixture import LogisticMixtureLogitCDF
from tfflows.bijectors.logistic_mixture_coupling import LogisticMixtureCoupling
from tfflows.bijectors.logit import Logit
from tfflows.bijectors.masked_conv import MaskedConv
from tfflows.bijectors.multiscale import Level, MultiScale
from tfflows.bijectors.on_data import OnData
from tfflows.bijectors.permutation import Permutation, Reverse
from tfflows.bijectors.squeeze import Squeeze, Unsqueeze

__all__ = [
    "ActNorm",
    "AdditiveCoupling",
    "AffineCoupling",
    "Bijector",
    "Chain",
    "CheckerboardMerge",
    "CheckerboardSplit",
    "Coupling",
    "GaussianPrior",
    "InverseAutoregressive",
    "InvertibleConv",
    "InvertibleConvLU",
    "Level",
    "LogisticMixtureCoupling",
    "LogisticMixtureLogitCDF",
    "Logit",
    "MaskedConv",
    "MultiScale",
    "OnData",
    "OnFirstChannels",
    "OnHalves",
    "Permutation",
    "Reverse",
    "Squeeze",
    "SwapHalves",
    "Unsqueeze",
]
