"""Keras 3 layers: the papers' conditioners."""

from tfflows.networks.autoregressive_network import AutoregressiveNetwork
from tfflows.networks.convolution import ActNormConv2D, ZeroConv2D
from tfflows.networks.coupling_network import CouplingNetwork
from tfflows.networks.data_dependent import DataDependentConv2D
from tfflows.networks.dense import ZeroDense
from tfflows.networks.elu_networks import EluCouplingNetwork, ResidualBlock, ResidualContextNetwork
from tfflows.networks.exponential_gain import (
    AutoregressiveConv2D,
    ExponentialGainConv2D,
    ExponentialGainConv2DTranspose,
)
from tfflows.networks.feature_stream import FeatureStream
from tfflows.networks.gated_blocks import GatedAttention, GatedConvolution, GatedMaximum
from tfflows.networks.gated_networks import ContextNetwork, GatedConditioner
from tfflows.networks.gated_residual import GatedResidual
from tfflows.networks.iaf_ladder import IAFLadder
from tfflows.networks.image_head import ImageHead
from tfflows.networks.masked_network import MaskedNetwork
from tfflows.networks.pixelcnn import PixelCNN
from tfflows.networks.shifted_convolution import ShiftedConv2D, ShiftedConv2DTranspose
from tfflows.networks.top_prior import TopPrior
from tfflows.networks.weight_norm import MaskedConv2D, WeightNormConv2D, WeightNormConv2DTranspose
from tfflows.networks.window_attention import WindowAttentionNetwork

__all__ = [
    "ActNormConv2D",
    "AutoregressiveConv2D",
    "AutoregressiveNetwork",
    "ContextNetwork",
    "CouplingNetwork",
    "DataDependentConv2D",
    "EluCouplingNetwork",
    "ExponentialGainConv2D",
    "ExponentialGainConv2DTranspose",
    "FeatureStream",
    "GatedAttention",
    "GatedConditioner",
    "GatedConvolution",
    "GatedMaximum",
    "GatedResidual",
    "IAFLadder",
    "ImageHead",
    "MaskedConv2D",
    "MaskedNetwork",
    "PixelCNN",
    "ResidualBlock",
    "ResidualContextNetwork",
    "ShiftedConv2D",
    "ShiftedConv2DTranspose",
    "TopPrior",
    "WeightNormConv2D",
    "WeightNormConv2DTranspose",
    "WindowAttentionNetwork",
    "ZeroConv2D",
    "ZeroDense",
]
