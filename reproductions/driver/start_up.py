"""What a command leaves out to reach its first step sooner."""

import os
import sys

# Keras, old and new, imports these when they are there, for plots, wrappers and tables that nothing here uses.
_OPTIONAL = ("matplotlib", "pandas", "sklearn")


def start_up() -> None:
    """What comes before all imports of a command: TensorFlow's log on standard error off, its libraries imported lightly."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what goes wrong is raised in Python
    import_libraries()


def import_libraries() -> None:
    """Imports Keras and TensorFlow Probability as if what they can do without were not installed; a quarter faster.

    The packages can be imported afterwards. To be called before anything that imports TensorFlow.
    """
    hidden = [name for name in _OPTIONAL if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))
    try:
        import keras  # noqa: F401
        import tensorflow_probability  # noqa: F401
    finally:
        for name in hidden:
            del sys.modules[name]
