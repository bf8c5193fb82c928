"""The papers' networks as Keras 3 layers: conditioners of couplings and autoregressive networks."""

from typing import TYPE_CHECKING

from tfflows.lazy import lazy_exports

if TYPE_CHECKING:  # for readers and tools; the table below is what runs
    from tfflows.networks.flowpp import (
        ContextNetwork,
        GatedAttention,
        GatedConditioner,
        GatedConvolution,
        GatedMaximum,
        LayerNorm,
    )
    from tfflows.networks.glow import ActNormConv2D, CouplingNetwork, TopPrior, ZeroConv2D, ZeroDense, one_hot_labels
    from tfflows.networks.iaf import (
        AutoregressiveConv2D,
        AutoregressiveNetwork,
        ExponentialGainConv2D,
        ExponentialGainConv2DTranspose,
        ImageHead,
    )
    from tfflows.networks.layers import (
        DataDependentConv2D,
        MaskedConv2D,
        TakesLabels,
        WeightNormConv2D,
        WeightNormConv2DTranspose,
        WeightNormLayer,
        call_layer,
        initialize_layer,
        unbiased_moments,
    )
    from tfflows.networks.macow import (
        EluCouplingNetwork,
        MaskedNetwork,
        ResidualBlock,
        ResidualContextNetwork,
        WindowAttentionNetwork,
        context_of,
        cut_windows,
        default_width,
        join_windows,
        sinusoidal_code,
    )
    from tfflows.networks.pixelcnn.feature_stream import FeatureStream
    from tfflows.networks.pixelcnn.gated_residual import GatedResidual
    from tfflows.networks.pixelcnn.kernels import (
        Doubling,
        FirstLayers,
        Halving,
        HorizontalUnit,
        Kernels,
        Level,
        VerticalUnit,
        by_column,
    )
    from tfflows.networks.pixelcnn.network import PixelCNN, Step, u_shape
    from tfflows.networks.pixelcnn.sampling import cached_sample, naive_sample
    from tfflows.networks.pixelcnn.shifted_convolution import (
        ShiftedConv2D,
        ShiftedConv2DTranspose,
        shift_down,
        shift_right,
    )
    from tfflows.networks.realnvp import (
        BatchNormResidual,
        ResidualConditioner,
        ShiftedBatchNorm,
        UnitNormConv2D,
        learned_norms,
    )

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "flowpp": [
            "ContextNetwork",
            "GatedAttention",
            "GatedConditioner",
            "GatedConvolution",
            "GatedMaximum",
            "LayerNorm",
        ],
        "glow": ["ActNormConv2D", "CouplingNetwork", "TopPrior", "ZeroConv2D", "ZeroDense", "one_hot_labels"],
        "iaf": [
            "AutoregressiveConv2D",
            "AutoregressiveNetwork",
            "ExponentialGainConv2D",
            "ExponentialGainConv2DTranspose",
            "ImageHead",
        ],
        "layers": [
            "DataDependentConv2D",
            "MaskedConv2D",
            "TakesLabels",
            "WeightNormConv2D",
            "WeightNormConv2DTranspose",
            "WeightNormLayer",
            "call_layer",
            "initialize_layer",
            "unbiased_moments",
        ],
        "macow": [
            "EluCouplingNetwork",
            "MaskedNetwork",
            "ResidualBlock",
            "ResidualContextNetwork",
            "WindowAttentionNetwork",
            "context_of",
            "cut_windows",
            "default_width",
            "join_windows",
            "sinusoidal_code",
        ],
        "pixelcnn.feature_stream": ["FeatureStream"],
        "pixelcnn.gated_residual": ["GatedResidual"],
        "pixelcnn.kernels": [
            "Doubling",
            "FirstLayers",
            "Halving",
            "HorizontalUnit",
            "Kernels",
            "Level",
            "VerticalUnit",
            "by_column",
        ],
        "pixelcnn.network": ["PixelCNN", "Step", "u_shape"],
        "pixelcnn.sampling": ["cached_sample", "naive_sample"],
        "pixelcnn.shifted_convolution": ["ShiftedConv2D", "ShiftedConv2DTranspose", "shift_down", "shift_right"],
        "realnvp": ["BatchNormResidual", "ResidualConditioner", "ShiftedBatchNorm", "UnitNormConv2D", "learned_norms"],
    },
)
