"""Reproductions of papers that are installed, found by name; this library itself imports none of them.

A package registers its reproductions in the entry-point group `tfflows.papers`, such as

    [options.entry_points]
    tfflows.papers =
        glow = reproductions.glow.reproduction:GLOW
"""

import importlib.metadata

GROUP = "tfflows.papers"


def list_papers() -> tuple[str, ...]:
    """Names of the installed reproductions, in alphabetical order. Imports none of them."""
    return tuple(sorted(_entry_points()))


def load_paper(name: str) -> object:
    """Imports a reproduction.

    Args:
      name: One of `list_papers()`.

    Returns:
      What the package registered by that name: its experiments, and the functions that build their models.

    Raises:
      ValueError: If none is installed by that name (the message lists those that are), or if two packages registered different
        ones.
    """
    return _entry_point(name).load()


def package_of(name: str) -> str:
    """Name of the package that holds a reproduction. Imports nothing.

    Args:
      name: One of `list_papers()`.

    Raises:
      ValueError: Like `load_paper`.
    """
    return _entry_point(name).module.rpartition(".")[0]


def _entry_point(name):
    entry_points = _entry_points()
    if name not in entry_points:
        known = ", ".join(sorted(entry_points)) or "none (install a package that has reproductions)"
        raise ValueError(f"No reproduction is installed by the name {name!r}; installed are: {known}.")
    values = entry_points[name]
    if len(values) > 1:
        raise ValueError(f"Several packages have a reproduction {name!r}: {', '.join(sorted(values))}. Uninstall one.")
    (entry_point,) = values.values()
    return entry_point


def _entry_points():
    """`{name: {value: entry point}}`; the same package found twice on the path counts once."""
    found = {}
    for entry_point in importlib.metadata.entry_points(group=GROUP):
        found.setdefault(entry_point.name, {})[entry_point.value] = entry_point
    return found
