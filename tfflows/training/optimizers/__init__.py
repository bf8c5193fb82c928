"""The papers' own update rules, as Keras optimizers."""

from tfflows.training.optimizers.adam import Adam
from tfflows.training.optimizers.glow_adamax import GlowAdamax
from tfflows.training.optimizers.iaf_adamax import IAFAdamax
from tfflows.training.optimizers.pixelcnn_adam import PixelCNNAdam
from tfflows.training.optimizers.update_rule import UpdateRule

__all__ = ["Adam", "GlowAdamax", "IAFAdamax", "PixelCNNAdam", "UpdateRule"]
