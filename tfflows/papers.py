"""Reproductions of papers that are installed, found by name; this library itself imports none of them.

A package registers its reproductions in the entry-point group `tfflows.papers`, such as

    [options.entry_points]
    tfflows.papers =
        glow = reproductions.glow.reproduction:GLOW

What is registered is a `Paper`: an object that makes an experiment from the content of a working directory, and builds its model,
optimizer and learning rate.
"""

import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

GROUP = "tfflows.papers"


class Paper(Protocol):
    """What the library asks of a registered reproduction.

    An experiment is a frozen dataclass with at least the fields `name`, `dataset`, `num_bits`, `batch_size`, `num_steps`,
    `learning_rate` and `ema_decay`.
    """

    def experiment_of(self, stored: Mapping[str, Any]) -> Any:
        """The experiment that `experiment.json` of a working directory holds, written by this or an earlier version.

        Raises:
          ValueError: If it is no experiment of the paper.
        """
        ...

    def build_model(self, experiment: Any, image_shape: Sequence[int], num_classes: int, seed: int) -> Any:
        """Builds the `ImageModel` of an experiment, with initial parameters drawn from the seed."""
        ...

    def build_optimizer(self, experiment: Any, learning_rate: Any) -> Any:
        """Builds the Keras optimizer of an experiment."""
        ...

    def schedule_of(self, experiment: Any) -> Any:
        """The Keras learning-rate schedule of an experiment."""
        ...


def list_papers() -> tuple[str, ...]:
    """Names of the installed reproductions, in alphabetical order. Imports none of them."""
    return tuple(sorted(_entry_points()))


def load_paper(name: str) -> Paper:
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
