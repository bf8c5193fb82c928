"""The papers' own update rules, as Keras optimizers."""

from tfflows.training.optimizers.adam import Adam
from tfflows.training.optimizers.glow_adamax import GlowAdamax
from tfflows.training.optimizers.update_rule import UpdateRule

__all__ = ["Adam", "GlowAdamax", "UpdateRule"]
