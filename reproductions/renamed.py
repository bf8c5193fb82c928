"""Names that fields of experiments, flags and fields of records once had, and those that they have now.

`--set`, the command line, `experiment.json` and records take both; what is written has the new ones. A name that was given up is
never used again for something else.
"""

from collections.abc import Mapping

RENAMED = {
    "least_kl": "free_bits",
    "joint_least_kl": "joint_free_bits",
    "steps_per_call": "steps_per_execution",
}
_FORMER = {new: old for old, new in RENAMED.items()}


def renamed(content: object) -> object:
    """JSON content with each key of a mapping, however deep, under its new name."""
    return _with_keys(content, RENAMED)


def formerly_named(content: object) -> object:
    """The inverse of `renamed`: what a file was called that holds such keys, say."""
    return _with_keys(content, _FORMER)


def _with_keys(content, names):
    if isinstance(content, Mapping):
        return {names.get(key, key): _with_keys(value, names) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return type(content)(_with_keys(value, names) for value in content)
    return content
