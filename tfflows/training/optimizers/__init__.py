"""The papers' own update rules, as Keras optimizers."""

from tfflows.training.optimizers.adam import Adam, PixelCNNAdam
from tfflows.training.optimizers.adamax import GlowAdamax, IAFAdamax
from tfflows.training.optimizers.update_rule import UpdateRule

__all__ = ["Adam", "GlowAdamax", "IAFAdamax", "PixelCNNAdam", "UpdateRule"]
