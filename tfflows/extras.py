"""Packages that only part of the library needs: imported where they are used, and named where they are missing."""

import importlib
import types


class MissingExtraError(ImportError):
    """A package of an optional extra is not installed; the message is one line that says what to install."""


def require(module: str, extra: str) -> types.ModuleType:
    """Imports a module of an optional package.

    Args:
      module: Name of the module, such as `PIL.Image`.
      extra: The extra of this package that installs it, such as `images`.

    Returns:
      The module.

    Raises:
      MissingExtraError: if the package is not installed. What goes wrong inside of an installed package is raised as it is.
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise MissingExtraError(
            f"The package {package!r} is not installed: run pip install 'tfflows[{extra}]'.", name=package
        ) from error
