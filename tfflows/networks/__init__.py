"""The papers' networks as Keras 3 layers: conditioners of couplings and autoregressive networks."""

from tfflows.networks.flowpp import ContextNetwork, GatedAttention, GatedConditioner, GatedConvolution, GatedMaximum
from tfflows.networks.glow import ActNormConv2D, CouplingNetwork, TopPrior, ZeroConv2D, ZeroDense
from tfflows.networks.iaf import (
    AutoregressiveConv2D,
    AutoregressiveNetwork,
    ExponentialGainConv2D,
    ExponentialGainConv2DTranspose,
    ImageHead,
)
from tfflows.networks.layers import DataDependentConv2D, MaskedConv2D, WeightNormConv2D, WeightNormConv2DTranspose
from tfflows.networks.macow import (
    EluCouplingNetwork,
    MaskedNetwork,
    ResidualBlock,
    ResidualContextNetwork,
    WindowAttentionNetwork,
)
from tfflows.networks.pixelcnn.feature_stream import FeatureStream
from tfflows.networks.pixelcnn.gated_residual import GatedResidual
from tfflows.networks.pixelcnn.network import PixelCNN
from tfflows.networks.pixelcnn.shifted_convolution import ShiftedConv2D, ShiftedConv2DTranspose

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
