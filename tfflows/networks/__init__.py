"""Keras 3 layers: the papers' conditioners."""

from tfflows.networks.convolution import ActNormConv2D, ZeroConv2D
from tfflows.networks.coupling_network import CouplingNetwork
from tfflows.networks.data_dependent import DataDependentConv2D
from tfflows.networks.dense import ZeroDense
from tfflows.networks.gated_blocks import GatedAttention, GatedConvolution, GatedMaximum
from tfflows.networks.gated_networks import ContextNetwork, GatedConditioner
from tfflows.networks.top_prior import TopPrior

__all__ = [
    "ActNormConv2D",
    "ContextNetwork",
    "CouplingNetwork",
    "DataDependentConv2D",
    "GatedAttention",
    "GatedConditioner",
    "GatedConvolution",
    "GatedMaximum",
    "TopPrior",
    "ZeroConv2D",
    "ZeroDense",
]
