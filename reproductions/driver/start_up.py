"""Lighter and quieter imports, so that a command reaches its first step sooner and says only what matters."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence

# Keras 2 and 3 import these if they are installed, for plots, wrappers and tables that nothing here uses.
_OPTIONAL = ("matplotlib", "pandas", "sklearn")


def start_up() -> None:
    """Silences TensorFlow's log on standard error and imports its libraries. Call it before any other import of a command.

    A command line that asks for text alone imports nothing.
    """
    if asks_for_text(sys.argv[1:]):
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # errors are raised in Python
    with held_stderr():
        import_libraries()


def asks_for_text(arguments: Sequence[str]) -> bool:
    """Returns whether a command line asks for help or the list of experiments, which need no TensorFlow.

    Args:
      arguments: What follows the name of the program.

    Example:
      >>> from reproductions.driver.start_up import asks_for_text
      >>> asks_for_text(["--list", "--scale=small"]), asks_for_text(["--dataset=cifar10"])
      (True, False)
    """
    flags = {argument.lstrip("-") for argument in arguments if argument.startswith("-")}
    return bool(flags & {"h", "help", "helpshort", "helpfull", "list"})


@contextlib.contextmanager
def held_stderr() -> Iterator[None]:
    """A context whose standard error, also that of C++, is dropped; it is written after all if an exception leaves the context.

    TensorFlow's libraries write a few lines when they are loaded, before any setting of a log level is read. Nothing is held if
    TF_CPP_MIN_LOG_LEVEL asks for such lines, or if standard error is closed.
    """
    try:
        kept = os.dup(2)
    except OSError:
        kept = None
    if kept is None or os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        yield
        return
    with tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            sys.stderr.flush()
            held.seek(0)
            while block := held.read(2**16):
                os.write(kept, block)
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)


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
