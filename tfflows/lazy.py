"""Names of a package that are imported when they are first asked for."""

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable, Mapping, Sequence


def lazy_exports(package: str, modules: Mapping[str, Sequence[str]]) -> tuple[Callable, Callable, list[str]]:
    """What a package's `__init__.py` needs to import nothing by itself: `__getattr__`, `__dir__` and `__all__` (PEP 562).

    Whoever needs one bijector then waits for one, not for all of them. The modules of the package are attributes, too.

    Args:
      package: The package's `__name__`.
      modules: `{module relative to the package: names to export from it}`.

    Example:
      >>> from tfflows.lazy import lazy_exports
      >>> __getattr__, __dir__, __all__ = lazy_exports("tfflows.math", {"squeeze": ["unsqueeze"]})
      >>> __getattr__("unsqueeze").__module__
      'tfflows.math.squeeze'
    """
    home = {name: module for module, names in modules.items() for name in names}

    def get_attribute(name: str) -> object:
        if name in home:
            return getattr(importlib.import_module(f".{home[name]}", package), name)
        # Names with underscores are what Python and its tools ask every module for.
        if not name.startswith("_") and importlib.util.find_spec(f".{name}", package) is not None:
            return importlib.import_module(f".{name}", package)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def names() -> list[str]:
        inside = pkgutil.iter_modules(sys.modules[package].__path__)
        return sorted({*home, *(module.name for module in inside)})

    return get_attribute, names, sorted(home)
