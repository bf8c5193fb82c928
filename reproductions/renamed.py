"""Former and current names of fields of experiments, flags and fields of records.

`--set`, the command line, `experiment.json` and records accept both; only current names are written. A former name is never
reused for something else.
"""

from collections.abc import Mapping

RENAMED = {
    "least_kl": "free_bits",
    "joint_least_kl": "joint_free_bits",
    "steps_per_call": "steps_per_execution",
}
_FORMER = {new: old for old, new in RENAMED.items()}


def renamed(content: object) -> object:
    """Returns JSON content with every key of every mapping, however deep, under its current name."""
    return _with_keys(content, RENAMED)


def formerly_named(content: object) -> object:
    """Returns JSON content with every key under its former name; the inverse of `renamed`."""
    return _with_keys(content, _FORMER)


def _with_keys(content, names):
    if isinstance(content, Mapping):
        return {names.get(key, key): _with_keys(value, names) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return type(content)(_with_keys(value, names) for value in content)
    return content
