"""A layer without variables says so where it is to be initialized, and what to do."""

import inspect
import pkgutil

import keras
import pytest
import tensorflow as tf

import tfflows.networks
from tfflows.networks import (
    ActNormConv2D,
    AutoregressiveConv2D,
    ContextNetwork,
    CouplingNetwork,
    DataDependentConv2D,
    EluCouplingNetwork,
    ExponentialGainConv2D,
    ExponentialGainConv2DTranspose,
    GatedConditioner,
    GatedConvolution,
    MaskedNetwork,
    ResidualBlock,
    ResidualContextNetwork,
    WindowAttentionNetwork,
)
from tfflows.networks.flowpp import GatedAttention, GatedMaximum
from tfflows.networks.layers import WeightNormLayer
from tfflows.networks.pixelcnn.shifted_convolution import ShiftedConv2D, ShiftedConv2DTranspose

MAKERS = {
    ActNormConv2D: lambda: ActNormConv2D(4),
    AutoregressiveConv2D: lambda: AutoregressiveConv2D(4),
    ContextNetwork: lambda: ContextNetwork(width=4, num_blocks=1),
    CouplingNetwork: lambda: CouplingNetwork(4, 4),
    DataDependentConv2D: lambda: DataDependentConv2D(4, 3),
    EluCouplingNetwork: lambda: EluCouplingNetwork(4, 4),
    ExponentialGainConv2D: lambda: ExponentialGainConv2D(4),
    ExponentialGainConv2DTranspose: lambda: ExponentialGainConv2DTranspose(4),
    GatedAttention: lambda: GatedAttention(4),
    GatedConditioner: lambda: GatedConditioner(4, 4, num_blocks=1),
    GatedConvolution: lambda: GatedConvolution(4),
    GatedMaximum: lambda: GatedMaximum(4),
    MaskedNetwork: lambda: MaskedNetwork(8, order="A", width=4),
    ResidualBlock: lambda: ResidualBlock(4),
    ResidualContextNetwork: lambda: ResidualContextNetwork(planes=(4, 4), filters=3),
    ShiftedConv2D: lambda: ShiftedConv2D(4, (2, 3)),
    ShiftedConv2DTranspose: lambda: ShiftedConv2DTranspose(4),
    WindowAttentionNetwork: lambda: WindowAttentionNetwork(4, 4, window=2, num_heads=2),
}


@pytest.mark.parametrize("kind", MAKERS, ids=lambda kind: kind.__name__)
def test_initialize_of_a_layer_without_variables(kind):
    layer = MAKERS[kind]()
    assert not layer.built
    with pytest.raises(ValueError, match=f"{layer.name}' has no variables yet: call its build.*before its initialize"):
        layer.initialize(tf.ones([2, 4, 4, 4]))


def test_every_layer_is_tested():
    def builds_or_initializes(kind, name):
        return any(name in vars(base) for base in kind.__mro__ if base.__module__.startswith("tfflows"))

    modules = [
        pkgutil.resolve_name(found.name)
        for found in pkgutil.walk_packages(tfflows.networks.__path__, "tfflows.networks.")
    ]
    kinds = {
        kind
        for module in modules
        for name, kind in vars(module).items()
        if inspect.isclass(kind) and issubclass(kind, keras.Layer) and not name.startswith("_")
        if builds_or_initializes(kind, "build") and builds_or_initializes(kind, "initialize")
    }
    # Those whose `initialize` begins with a call build themselves.
    own = {kind for kind in kinds if kind.initialize is not WeightNormLayer.initialize}
    assert own == set(MAKERS)
