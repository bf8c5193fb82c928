"""Names for variables: the path of public attributes that leads to each one."""

from collections.abc import Iterator, Mapping

import keras
import tensorflow as tf

# Bookkeeping that repeats, under another path, what public attributes already hold. The first are
# never followed; the second only for what nothing else reaches (the layers of keras.Sequential).
_NEVER_FOLLOWED = frozenset(
    {
        "_parameters",  # TFP: the constructor's arguments
        "_trainable_variables",
        "_non_trainable_variables",
        "_metrics",
        "_losses",
        "_seed_generators",
    }
)
_FOLLOWED_LAST = frozenset({"_layers"})


def named_variables(module) -> dict[str, tf.Variable]:
    """Maps the path of each variable below `module` to the variable.

    A path joins attribute names, dictionary keys and list positions with '/', such as
    `levels/0/steps/3/actnorm/bias`. Followed are public attributes in the order in which they were
    first set, and a private attribute `_name` whose class has a property `name` (TFP keeps the
    parts of `tfb.Chain` and `tfd.TransformedDistribution`, and Keras the kernel of a layer, so).
    Properties are never evaluated. A variable reached twice keeps its first path.

    The names depend on attribute names alone, not on `variable.name`, the strategy or the number
    of devices, so they can serve as the names of a checkpoint.

    Args:
      module: a `tf.Module` (TFP bijectors and distributions are), a `keras.Layer`, a variable, or
        lists, tuples and dictionaries of these.

    Returns:
      A dictionary from path to `tf.Variable`; Keras variables are represented by their `.value`.

    Raises:
      ValueError: if a variable below `module` has no public path, two variables share a path, or
        a dictionary key contains '/'.
    """
    return _walk(module).found


def count_parameters(module) -> int:
    """The number of trainable scalars below `module`; works under `tf.Graph`, without memory."""
    walk = _walk(module)
    return sum(v.shape.num_elements() for name, v in walk.found.items() if name in walk.trainable)


def parameter_table(module) -> str:
    """A text table with path, shape, dtype and size of each variable, and the trainable total."""
    rows = [("variable", "shape", "dtype", "parameters")]
    walk = _walk(module)
    for path, variable in walk.found.items():
        trained = path in walk.trainable
        size = f"{variable.shape.num_elements():,}" if trained else "not trained"
        rows.append((path, str(tuple(variable.shape)), variable.dtype.name, size))
    rows.append(("total", "", "", f"{count_parameters(module):,}"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    last = max(len(row[3]) for row in rows)
    lines = [
        "  ".join([cell.ljust(width) for cell, width in zip(row, widths, strict=False)]) + "  " + row[3].rjust(last)
        for row in rows
    ]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def _walk(module):
    walk = _Walk()
    walk.visit(module, ())
    walk.expect(module)
    walk.check_complete(module)
    return walk


class _Walk:
    """One depth-first walk over public attributes."""

    def __init__(self):
        self.found: dict[str, tf.Variable] = {}
        self.trainable: set[str] = set()  # a frozen Keras layer says so on its own variables only
        self._named_ids: set[int] = set()
        self._visited: dict[int, object] = {}  # holds the objects, so that ids stay theirs
        self._expected: list[tf.Variable] = []

    def visit(self, value, path: tuple[str, ...]) -> None:
        variable = _as_variable(value)
        if variable is not None:
            self._add(variable, path, value.trainable)
            return
        if not _is_container(value) or id(value) in self._visited:
            return
        self._visited[id(value)] = value
        if isinstance(value, keras.Layer):
            self.expect(value)
        for name, child in _children(value):
            if "/" in name:
                raise ValueError(
                    f"The key {name!r} at {'/'.join(path) or 'the top'!r} contains '/', which "
                    "separates the parts of a variable's path; use another key."
                )
            self.visit(child, (*path, name))

    def expect(self, module) -> None:
        """Notes the variables that `module` itself lists, to compare with those found."""
        variables = getattr(module, "variables", ()) if _is_object(module) else ()
        self._expected.extend(v for v in map(_as_variable, variables) if v is not None)

    def check_complete(self, module) -> None:
        hidden = [v for v in self._expected if id(v) not in self._named_ids]
        if hidden:
            listed = ", ".join(f"{v.name} {tuple(v.shape)}" for v in hidden[:5])
            raise ValueError(
                f"{len(hidden)} of the variables of {type(module).__name__} have no path of public "
                f"attributes: {listed}. Keep the module or variable that holds them in an "
                "attribute whose name does not start with '_'."
            )

    def _add(self, variable, path, trainable):
        if id(variable) in self._named_ids:
            return
        name = "/".join(path) or "value"
        if name in self.found:
            raise ValueError(f"Two variables have the path {name!r}; give one another name.")
        self._named_ids.add(id(variable))
        self.found[name] = variable
        if trainable:
            self.trainable.add(name)


def _as_variable(value) -> tf.Variable | None:
    """The `tf.Variable` that `value` is or, for Keras, wraps; else None."""
    if isinstance(value, keras.Variable):
        return value.value
    return value if isinstance(value, tf.Variable) else None


def _is_object(value) -> bool:
    trackable = (tf.Module, keras.Layer, keras.random.SeedGenerator)
    return isinstance(value, trackable) and not isinstance(value, type)


def _is_container(value) -> bool:
    return _is_object(value) or isinstance(value, list | tuple | Mapping)


def _children(value) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        yield from ((str(key), child) for key, child in value.items())
    elif isinstance(value, list | tuple):
        names = getattr(value, "_fields", None) or map(str, range(len(value)))
        yield from zip(names, value, strict=True)
    else:
        attributes = vars(value)
        last = [name for name in attributes if name in _FOLLOWED_LAST]
        for name in [n for n in attributes if n not in _FOLLOWED_LAST] + last:
            public = name.removeprefix("_")
            if name in _NEVER_FOLLOWED:
                continue
            if public == name or isinstance(getattr(type(value), public, None), property):
                child = attributes[name]
                if name in _FOLLOWED_LAST:
                    # As the property: else a name would depend on whether an input was declared.
                    child = [c for c in child if not isinstance(c, keras.layers.InputLayer)]
                yield public, child
