"""Names of a package that are imported when they are first asked for."""

import importlib
from collections.abc import Callable, Mapping, Sequence


def lazy_exports(package: str, modules: Mapping[str, Sequence[str]]) -> tuple[Callable, Callable, list[str]]:
    """What a package's `__init__.py` needs to import nothing by itself: `__getattr__`, `__dir__` and `__all__` (PEP 562).

    Whoever needs one bijector then waits for one, not for all of them.

    Args:
      package: The package's `__name__`.
      modules: `{module of the package: names that it defines}`.

    Example:
      >>> from tfflows.lazy import lazy_exports
      >>> __getattr__, __dir__, __all__ = lazy_exports("tfflows.math", {"squeeze": ["squeeze", "unsqueeze"]})
      >>> __getattr__("squeeze").__module__
      'tfflows.math.squeeze'
    """
    home = {name: module for module, names in modules.items() for name in names}

    def get_attribute(name: str) -> object:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{home[name]}"), name)

    return get_attribute, lambda: sorted(home), sorted(home)
