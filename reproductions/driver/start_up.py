"""Lighter imports, so that a command reaches its first step sooner."""

import os
import sys

# Keras 2 and 3 import these if they are installed, for plots, wrappers and tables that nothing here uses.
_OPTIONAL = ("matplotlib", "pandas", "sklearn")


def start_up() -> None:
    """Silences TensorFlow's log on standard error and imports its libraries. Call it before any other import of a command."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # errors are raised in Python
    import_libraries()


def import_libraries() -> None:
    """Imports Keras and TensorFlow Probability as if their optional dependencies were not installed; a quarter faster.

    The optional packages can be imported afterwards. Call this before anything that imports TensorFlow.
    """
    hidden = [name for name in _OPTIONAL if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))
    try:
        import keras  # noqa: F401
        import tensorflow_probability  # noqa: F401
    finally:
        for name in hidden:
            del sys.modules[name]
