"""What a mistyped name may have meant."""

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns a sentence for an error message, with a space before it; empty if no known name is near.

    Args:
      name: What was asked for.
      known: The names that there are.

    Example:
      >>> from tfflows.suggestions import did_you_mean
      >>> print("Unknown data set 'cifar'." + did_you_mean("cifar", ["cifar10", "mnist"]))
      Unknown data set 'cifar'. Did you mean 'cifar10'?
    """
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
