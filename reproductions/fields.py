"""Dataclass fields that declare which values they allow and what they are for.

Example:
  >>> import dataclasses
  >>> from reproductions.fields import check_fields, override, setting
  >>> @dataclasses.dataclass(frozen=True)
  ... class Experiment:
  ...     depth: int = setting(32, at_least=1)
  ...     permutation: str = setting("invertible", choices=("reverse", "invertible"))
  ...
  ...     def __post_init__(self):
  ...         check_fields(self)
  >>> override(Experiment(), ["depth=4", "permutation=reverse"])
  Experiment(depth=4, permutation='reverse')
  >>> Experiment(depth=0)
  Traceback (most recent call last):
  ValueError: depth must be at least 1, got 0.

Every check, `--set` and `--help`, the comparison of workdirs and the records read this one declaration, so a new field needs
no other place.
"""

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Mapping, Sequence

from tfflows.choices import did_you_mean

_KEY = "setting"
_NONE = type(None)
_ITS_DEFAULT = object()

# Former and current names of fields of experiments, flags and fields of records. `--set`, the command line, `experiment.json`
# and records accept both; only current names are written. A former name is never reused for something else.
RENAMED = {
    "least_kl": "free_bits",
    "joint_least_kl": "joint_free_bits",
    "steps_per_call": "steps_per_execution",
}
_FORMER = {new: old for old, new in RENAMED.items()}


@dataclasses.dataclass(frozen=True)
class Setting:
    """The role of a field.

    Attributes:
      choices: Allowed values; empty allows any.
      at_least: Inclusive lower bound of each number in the field.
      above: Exclusive lower bound.
      at_most: Inclusive upper bound.
      below: Exclusive upper bound.
      changes_result: Whether the result depends on the field. A field without influence is not an override in a record, and a
        run may continue with another value of it.
      may_change: Whether a run may continue with another value even though the result depends on it, such as more steps.
      before: Value that all runs had before the field existed, if it is not the default.
      provenance: For fields of a record: whether the field says how a result was obtained rather than which result it is. Two
        records that differ only in such fields hold the same result.
      column: Title of the column of the field in `--list`; empty for none.
    """

    choices: tuple = ()
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    changes_result: bool = True
    may_change: bool = False
    before: object = _ITS_DEFAULT
    provenance: bool = False
    column: str = ""


def setting(default: object = dataclasses.MISSING, **role: object) -> typing.Any:
    """Declares a dataclass field with a `Setting`.

    Args:
      default: Default value; the field is required if this is omitted.
      **role: Attributes of `Setting`.

    Returns:
      A field, as `dataclasses.field` gives it.
    """
    return dataclasses.field(default=default, metadata={_KEY: Setting(**role)})


def settings_of(kind: type) -> dict[str, Setting]:
    """Returns `{name: Setting}` of the fields of a dataclass, in order."""
    return {field.name: field.metadata.get(_KEY, Setting()) for field in dataclasses.fields(kind)}


def watching_fields(kind: type) -> tuple[str, ...]:
    """Returns the names of the fields that say how a run is monitored, not what it computes."""
    return tuple(name for name, own in settings_of(kind).items() if not own.changes_result)


def free_fields(kind: type) -> tuple[str, ...]:
    """Returns the names of the fields that may change when a run is continued."""
    return tuple(name for name, own in settings_of(kind).items() if own.may_change or not own.changes_result)


def provenance_fields(kind: type) -> tuple[str, ...]:
    """Returns the names of the fields of a record that say how its result was obtained."""
    return tuple(name for name, own in settings_of(kind).items() if own.provenance)


@functools.cache
def annotations_of(kind: type) -> dict[str, typing.Any]:
    """Returns `{name: type}` of the fields of a dataclass."""
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


# ----------------------------------------------------------------------------------------------------------------- checks


def check_fields(instance: object) -> None:
    """Checks each field of a dataclass against its type and its `Setting`.

    The types `int`, `float` (finite), `bool`, `str`, mappings, sequences of these and unions of these are checked.

    Args:
      instance: An instance of a dataclass.

    Raises:
      ValueError: If a field is not as declared. The message names the first one.
    """
    annotations = annotations_of(type(instance))
    for name, own in settings_of(type(instance)).items():
        value, annotation = getattr(instance, name), annotations[name]
        if not _fits(value, annotation):
            raise ValueError(f"{name} must be {_described(annotation)}, got {value!r}.")
        if own.choices and value not in own.choices:
            choices = [str(choice) for choice in own.choices]
            raise ValueError(
                f"{name} must be one of {', '.join(choices)}, got {value!r}.{did_you_mean(str(value), choices)}"
            )
        if not all(_within(number, own) for number in _numbers(value)):
            raise ValueError(f"{name} must be {_bounds(own)}, got {text_of(value)}.")


def take_sequences(instance: object) -> None:
    """Converts the fields declared as sequences to their type, from text as `--set` takes it or from the lists of JSON.

    Call this in `__post_init__`, before `check_fields`.

    Args:
      instance: An instance of a dataclass; it may be frozen.

    Raises:
      ValueError: If the text of a field cannot be read. The message names the field.
    """
    for name, annotation in annotations_of(type(instance)).items():
        if typing.get_origin(annotation) in (tuple, list):
            object.__setattr__(instance, name, _as_sequence(name, getattr(instance, name), annotation))


def _fits(value, annotation):
    origin = typing.get_origin(annotation) or annotation
    if origin in (types.UnionType, typing.Union):
        return any(_fits(value, one) for one in typing.get_args(annotation))
    if origin in (int, bool):
        return type(value) is origin
    if origin is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if origin in (tuple, list):
        own = _element_types(annotation, value) if isinstance(value, origin) else None
        return own is not None and all(map(_fits, value, own))
    if origin in (str, _NONE, Mapping):
        return isinstance(value, origin)
    return True


def _element_types(annotation, values):
    """Returns the type of each value of a sequence; None if there are too few or too many values."""
    own = typing.get_args(annotation)
    if typing.get_origin(annotation) is list or own[1:] == (...,):
        return [own[0]] * len(values)
    return list(own) if len(own) == len(values) else None


def _numbers(value):
    if isinstance(value, tuple | list):
        return [number for part in value for number in _numbers(part)]
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []


def _within(number, own):
    return not (
        (own.at_least is not None and number < own.at_least)
        or (own.above is not None and number <= own.above)
        or (own.at_most is not None and number > own.at_most)
        or (own.below is not None and number >= own.below)
    )


def _bounds(own):
    words = {"at least": own.at_least, "above": own.above, "at most": own.at_most, "below": own.below}
    return " and ".join(f"{word} {bound}" for word, bound in words.items() if bound is not None)


_WORDS = {
    int: "an integer",
    float: "a finite number",
    bool: "true or false",
    str: "a string",
    Mapping: "a mapping",
    _NONE: "None",
}


def _described(annotation):
    origin = typing.get_origin(annotation) or annotation
    if origin in (types.UnionType, typing.Union):
        return " or ".join(map(_described, typing.get_args(annotation)))
    return _WORDS.get(origin, f"a {origin.__name__}")


# ------------------------------------------------------------------------------------------------------------------- text


def override(experiment: typing.Any, assignments: Sequence[str]) -> typing.Any:
    """Returns the experiment with `field=value` strings applied, each value read as the type of its field.

    A sequence is written `24, 512, 512`, a sequence of sequences `4, 12+12, 12`. Brackets as in Python also work.

    Args:
      experiment: An instance of a dataclass.
      assignments: Strings `field=value`.

    Raises:
      ValueError: If a field is unknown (the message lists the valid ones) or a value does not have the type of its field.
    """
    return dataclasses.replace(experiment, **check_assignments(type(experiment), assignments))


def check_assignments(kind: type, assignments: Sequence[str]) -> dict[str, typing.Any]:
    """Returns `{field: value}` of `field=value` strings, each value read as the type of its field.

    Args:
      kind: A dataclass.
      assignments: As for `override`.

    Raises:
      ValueError: As for `override`.
    """
    annotations = annotations_of(kind)
    changes = {}
    for assignment in assignments:
        name, separator, text = assignment.partition("=")
        if not separator:
            raise ValueError(f"--set needs field=value, got {assignment!r}.")
        name = RENAMED.get(name, name)
        if name == "scale" and name in annotations:
            raise ValueError("--set cannot change scale, which says how an experiment was sized; give --scale.")
        if name not in annotations or name == "name":
            valid = sorted(set(annotations) - {"name", "scale"})
            raise ValueError(
                f"{kind.__name__} has no field {name!r} to set.{did_you_mean(name, valid)} Its fields are: "
                f"{', '.join(valid)}."
            )
        changes[name] = _read(f"--set {name}", text, annotations[name])
    return changes


def assigned_fields(assignments: Sequence[str]) -> set[str]:
    """Returns the names of the fields that `field=value` strings set, under their current names.

    Args:
      assignments: As for `override`.
    """
    names = {assignment.partition("=")[0] for assignment in assignments}
    return {RENAMED.get(name, name) for name in names}


def text_of(value: object) -> object:
    """Returns a sequence as text that `--set` takes, and any other value unchanged.

    Example:
      >>> from reproductions.fields import text_of
      >>> text_of(((4,), (12, 12), (12,)))
      '4, 12+12, 12'
    """
    if not isinstance(value, tuple | list):
        return value
    return ", ".join("+".join(map(str, part)) if isinstance(part, tuple | list) else str(part) for part in value)


def as_of_today(kind: type, stored: Mapping[str, object]) -> dict[str, object]:
    """Returns the content of an experiment file of an earlier version in today's form.

    Fields get their current names and types. Fields that were added later get the value that all runs had before.

    Args:
      kind: Class of the experiment.
      stored: JSON values by field name; entries that are not fields are kept as they are.

    Raises:
      ValueError: If the text of a field cannot be read. The message names the field.
    """
    content = dict(renamed(stored))
    for field in dataclasses.fields(kind):
        own = field.metadata.get(_KEY, Setting())
        before = field.default if own.before is _ITS_DEFAULT else own.before
        if field.name not in content and before is not dataclasses.MISSING:
            content[field.name] = before
    for name, annotation in annotations_of(kind).items():
        if name in content and typing.get_origin(annotation) in (tuple, list):
            content[name] = _as_sequence(name, content[name], annotation)
    return content


def _as_sequence(name, value, annotation):
    if isinstance(value, str):
        return _read(name, value, annotation)
    if not isinstance(value, tuple | list):
        return value
    origin, own = typing.get_origin(annotation), _element_types(annotation, value)
    if own is None:
        return origin(value)
    return origin(
        _as_sequence(name, part, one) if typing.get_origin(one) in (tuple, list) else part
        for part, one in zip(value, own, strict=True)
    )


def _read(name, text, annotation):
    """Reads a text as the type of a field."""
    origin = typing.get_origin(annotation) or annotation
    if origin in (types.UnionType, typing.Union):
        return _read_one_of(name, text, typing.get_args(annotation))
    if origin in (tuple, list):
        return _read_sequence(name, text, annotation)
    if origin is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(f"{name} needs true or false, got {text!r}.")
        return text.lower() == "true"
    if origin is _NONE:
        if text.lower() not in ("none", "null"):
            raise ValueError(f"{name} needs none, got {text!r}.")
        return None
    try:
        return origin(text)
    except ValueError:
        raise ValueError(f"{name} needs a value of type {origin.__name__}, got {text!r}.") from None


def _read_one_of(name, text, kinds):
    # None first: any text is a string.
    for kind in sorted(kinds, key=lambda kind: kind is not _NONE):
        try:
            return _read(name, text, kind)
        except ValueError:
            continue
    names = " or ".join("none" if kind is _NONE else getattr(kind, "__name__", str(kind)) for kind in kinds)
    raise ValueError(f"{name} needs a value of type {names}, got {text!r}.")


def _read_sequence(name, text, annotation, separator=","):
    parts = _split(text, separator)
    if len(parts) == 1 and text.strip()[:1] in ("(", "["):
        separator = ","
        parts = _split(text.strip()[1:-1], separator)
    if len(parts) > 1 and not parts[-1] and separator == ",":
        parts.pop()  # (4,)
    if parts == [""] and separator == ",":
        parts = []
    own = _element_types(annotation, parts)
    if own is None:
        raise ValueError(f"{name} needs {len(typing.get_args(annotation))} values, got {text!r}.")
    try:
        return typing.get_origin(annotation)(
            _read_sequence(name, part, one, "+") if typing.get_origin(one) in (tuple, list) else _read(name, part, one)
            for part, one in zip(parts, own, strict=True)
        )
    except ValueError:
        example = "4, 12+12, 12" if typing.get_origin(typing.get_args(annotation)[0]) in (tuple, list) else "24, 512"
        raise ValueError(f"{name} needs a sequence such as {example}, got {text!r}.") from None


def _split(text, separator):
    """Returns the parts between separators that are not in brackets, stripped of blanks."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([") - (letter in ")]")
        if letter == separator and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


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
