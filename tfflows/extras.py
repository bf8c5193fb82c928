"""Packages that only part of the library needs: imported where they are used, and named when they are missing."""

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
      MissingExtraError: If the package is not installed. An error inside an installed package is raised as it is.

    Example:
      >>> from tfflows.extras import require
      >>> require("json", "images").loads("[1, 2]")
      [1, 2]
      >>> require("no_such_package", "images")
      Traceback (most recent call last):
      tfflows.extras.MissingExtraError: The package 'no_such_package' is not installed: run pip install 'tfflows[images]'.
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
