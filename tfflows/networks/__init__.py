"""Keras 3 layers: the papers' conditioners."""

from tfflows.networks.convolution import ActNormConv2D, ZeroConv2D
from tfflows.networks.coupling_network import CouplingNetwork
from tfflows.networks.dense import ZeroDense
from tfflows.networks.top_prior import TopPrior

__all__ = ["ActNormConv2D", "CouplingNetwork", "TopPrior", "ZeroConv2D", "ZeroDense"]
