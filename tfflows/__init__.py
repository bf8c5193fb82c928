"""Normalizing flows for images in TensorFlow: bijectors, distributions, training, evaluation."""

from tfflows.lazy import lazy_exports

__version__ = "0.2.0"

# The folders of the library are attributes, too, imported when they are asked for.
__getattr__, __dir__, __all__ = lazy_exports(__name__, {"models": ["list_models", "load"]})
