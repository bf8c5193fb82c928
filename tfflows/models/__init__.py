"""Trained models in hand: load, use, go on training, export."""

from tfflows.lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "description": ["ModelDescription"],
        "loading": ["ModelEntry", "list_models", "load"],
        "model": ["Model"],
    },
)
