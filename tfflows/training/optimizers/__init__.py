"""The papers' own update rules, as Keras optimizers."""

from tfflows.training.optimizers.glow_adamax import GlowAdamax

__all__ = ["GlowAdamax"]
