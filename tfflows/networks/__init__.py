"""The papers' networks as Keras 3 layers: conditioners of couplings and autoregressive networks."""

from typing import TYPE_CHECKING

from tfflows.lazy import lazy_exports

if TYPE_CHECKING:  # for readers and tools; the table below is what runs
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

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "flowpp": ["ContextNetwork", "GatedAttention", "GatedConditioner", "GatedConvolution", "GatedMaximum"],
        "glow": ["ActNormConv2D", "CouplingNetwork", "TopPrior", "ZeroConv2D", "ZeroDense"],
        "iaf": [
            "AutoregressiveConv2D",
            "AutoregressiveNetwork",
            "ExponentialGainConv2D",
            "ExponentialGainConv2DTranspose",
            "ImageHead",
        ],
        "layers": ["DataDependentConv2D", "MaskedConv2D", "WeightNormConv2D", "WeightNormConv2DTranspose"],
        "macow": [
            "EluCouplingNetwork",
            "MaskedNetwork",
            "ResidualBlock",
            "ResidualContextNetwork",
            "WindowAttentionNetwork",
        ],
        "pixelcnn.feature_stream": ["FeatureStream"],
        "pixelcnn.gated_residual": ["GatedResidual"],
        "pixelcnn.network": ["PixelCNN"],
        "pixelcnn.shifted_convolution": ["ShiftedConv2D", "ShiftedConv2DTranspose"],
    },
)
